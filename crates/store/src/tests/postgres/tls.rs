//! Connections that are secured, with as much trust as was asked for, and passwords.

use std::net::TcpListener;

use longshore_domain::store::{Store, StoreError};
use longshore_testkit::postgres::Server;
use tokio_postgres::NoTls;

use super::{PATIENCE, PostgresOptions, PostgresStore};

/// A port that nobody uses just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_server_is_trusted_as_far_as_was_asked_for_and_asks_for_a_password() {
    let port = free_port();
    let server = Server::secured(port);
    let file = |name: &str| format!("sslrootcert={}", server.folder().join(name).display());
    let (root, other) = (file("root.pem"), file("other.pem"));
    let (outsider, connection) =
        tokio_postgres::connect(&format!("postgres://longshore@127.0.0.1:{port}/postgres"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let secured = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'longshore'";
    for (host, query, expected) in [
        ("localhost", "sslmode=disable".to_owned(), Some(false)),
        ("localhost", "sslmode=prefer".to_owned(), Some(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Some(true)),
        ("127.0.0.1", format!("sslmode=require&{other}"), None),
        ("127.0.0.1", format!("sslmode=verify-ca&{root}"), Some(true)),
        ("localhost", format!("sslmode=verify-ca&{other}"), None),
        ("localhost", format!("sslmode=verify-full&{root}"), Some(true)),
        ("127.0.0.1", format!("sslmode=verify-full&{root}"), None),
        ("localhost", "sslmode=verify-full".to_owned(), None),
    ] {
        let url = format!("postgres://longshore@{host}:{port}/postgres?{query}");
        let options = PostgresOptions { patience: PATIENCE, ..PostgresOptions::new(url) };
        match (PostgresStore::open(options).await, expected) {
            (Ok(store), Some(expected)) => {
                let found: bool = outsider.query_one(secured, &[]).await.unwrap().get(0);
                assert_eq!(found, expected, "{host} {query}");
                store.close().await;
                let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'longshore'";
                while outsider.query_one(gone, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
            }
            (Err(StoreError::Unavailable(_)), None) => {}
            (found, _) => panic!("{host} {query}: {:?}", found.map(drop)),
        }
    }
    let role = "CREATE ROLE guarded LOGIN PASSWORD 's3cret'; GRANT CREATE ON DATABASE postgres TO guarded";
    outsider.batch_execute(role).await.unwrap();
    let with = |password: Option<&str>| {
        let url = format!("postgres://guarded@localhost:{port}/postgres?sslmode=verify-full&{root}");
        let password = password.map(Into::into);
        PostgresOptions { password, schema: "guarded".into(), patience: PATIENCE, ..PostgresOptions::new(url) }
    };
    PostgresStore::open(with(Some("s3cret"))).await.unwrap().close().await;
    for password in [Some("wr0ng"), None] {
        let error = PostgresStore::open(with(password)).await.err().unwrap();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("wr0ng"));
    }
}
