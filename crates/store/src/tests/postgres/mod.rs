//! The suite over PostgreSQL, and what only a server that others share can suffer.

mod clocks;
mod limits;
mod loss;
mod nodes;
mod pair;
mod plans;
mod proxy;
mod silence;
mod suite;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::store::Store;
use longshore_testkit::postgres::Server;
use tokio_postgres::{Client, NoTls};

use crate::conformance::Place;
use crate::postgres::clock::Clock;
use crate::{PostgresOptions, PostgresStore};

/// A schema of its own on a server.
pub(super) struct Schema {
    server: &'static Server,
    name: String,
}

impl Schema {
    /// One on the server that all tests share.
    pub(super) fn new() -> Self {
        Self::on(Server::shared())
    }

    /// One on a server that no other test uses.
    fn on_own_server() -> Self {
        Self::on(Server::own())
    }

    fn on(server: &'static Server) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self { server, name: format!("s{}", COUNT.fetch_add(1, Ordering::Relaxed)) }
    }

    pub(super) fn options(&self) -> PostgresOptions {
        PostgresOptions {
            schema: self.name.clone(),
            patience: PATIENCE,
            ..PostgresOptions::new(url(&[self.server.folder()]))
        }
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::open_by(Clock::Callers, self.options()).await.unwrap()
    }

    async fn open_at(&self, folders: &[&Path]) -> Arc<dyn Store> {
        let options = PostgresOptions { url: url(folders), ..self.options() };
        Arc::new(PostgresStore::open_by(Clock::Callers, options).await.unwrap())
    }
}

/// Far longer than anything takes here: no test waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// The servers whose sockets are in these folders.
fn url(folders: &[&Path]) -> String {
    let hosts = folders.iter().map(|folder| folder.display().to_string().replace('/', "%2F"));
    format!("postgres://longshore@{}/postgres", hosts.collect::<Vec<_>>().join(","))
}

/// A connection of an outsider.
async fn client(schema: &Schema) -> Client {
    let address = format!("{}?application_name=outsider", url(&[schema.server.folder()]));
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("SET search_path = {}", schema.name)).await.unwrap();
    client
}

/// Cuts all connections of stores on this server; returns how many.
async fn terminate_all(schema: &Schema) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'longshore'";
    client(schema).await.query_one(sql, &[]).await.unwrap().get(0)
}

/// Returns once so many queries like that wait for a lock.
async fn until_waiting(schema: &Schema, query: &str, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1";
    // Not whoever holds the lock: within a transaction it would see the same activity for ever.
    let observer = client(schema).await;
    while observer.query_one(waiting, &[&query]).await.unwrap().get::<_, i64>(0) < count {}
}

#[async_trait]
impl Place for Schema {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self::on(self.server))
    }
}
