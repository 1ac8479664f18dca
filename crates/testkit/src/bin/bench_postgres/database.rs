//! The server that everything is measured on, with a new database for each measurement.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use longshore_testkit::postgres::Server;
use tokio_postgres::{Client, NoTls};

pub(crate) struct Databases {
    server: &'static Server,
    port: u16,
    count: AtomicUsize,
}

impl Databases {
    pub(crate) fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { server: Server::durable(port), port, count: AtomicUsize::new(0) })
    }

    /// A new database; its URL, for the super-user and without a password.
    pub(crate) fn make(&self) -> String {
        let name = format!("bench{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.server.sql(&format!("CREATE DATABASE {name}"));
        format!("postgres://longshore@127.0.0.1:{}/{name}", self.port)
    }

    /// Removes it: nothing is to be cleaned or written back of it while others are measured.
    pub(crate) fn remove(&self, url: &str) {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.server.sql(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    pub(crate) fn end(&self) {
        self.server.end();
    }
}

pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
