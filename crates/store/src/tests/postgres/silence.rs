//! Connections that are dead without a sign, and servers that merely take their time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::store::{JobFilter, StoreError};
use tokio_postgres::Client;

use super::proxy::Proxy;
use super::{PostgresOptions, PostgresStore, Schema, client, terminate_all, url};
use crate::conformance::Place;
use crate::conformance::scene::{MANY, Scene, ended};
use crate::postgres::clock::Clock;

/// Looks until the server says so.
async fn until(outsider: &Client, sql: &str) {
    while outsider.query_opt(sql, &[]).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

/// The server's processes that serve stores.
async fn serving(outsider: &Client) -> BTreeSet<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'longshore'";
    outsider.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_connection_that_is_dead_without_a_sign_is_given_up() {
    let schema = Schema::new();
    let proxy = Proxy::before(schema.server).await;
    let scene = Scene::over(schema.open_at(&[proxy.folder()]).await);
    let job = scene.running(scene.job()).await;
    let seen = scene.store.changed(0).await.unwrap();
    proxy.swallow();
    let ending = scene.store.record(job.id, ended(&job, 0), None, scene.now());
    let reading = scene.store.job(job.id);
    let renewing = scene.store.renew(job.state.lease().unwrap().holder, Duration::from_secs(60), scene.now());
    let ((change, _), read, renewed) = tokio::join!(ending, reading, renewing);
    assert_eq!((read.unwrap().unwrap().id, renewed.is_ok()), (job.id, true));
    assert_eq!(scene.read(job.id).await, change.unwrap().job);
    assert_eq!(scene.history(job.id).await.len(), 4, "it ended once");
    // The one that listens is replaced too.
    schema.open().await.submit(scene.job(), None, scene.now()).await.unwrap();
    scene.store.changed(seen).await.unwrap();
}

/// Whoever only ever asks for a moment must not come upon the dead connection again and again.
#[tokio::test]
async fn a_dead_connection_that_nobody_waited_for_is_not_used_again() {
    let schema = Schema::new();
    let proxy = Proxy::before(schema.server).await;
    let scene = Scene::over(schema.open_at(&[proxy.folder()]).await);
    let job = scene.accept(scene.job()).await;
    scene.read(job.id).await;
    let connections = proxy.connections();
    proxy.swallow();
    let moment = tokio::time::timeout(Duration::from_millis(100), scene.store.job(job.id));
    assert!(moment.await.is_err(), "the connection is dead");
    assert_eq!(proxy.connections(), connections);
    scene.store.job(job.id).await.unwrap();
    assert_eq!(proxy.connections(), connections + 1, "another one is used at once");
}

#[tokio::test]
async fn an_answer_that_vanished_after_the_commit_is_found_again() {
    let schema = Schema::new();
    let proxy = Proxy::before(schema.server).await;
    let scene = Scene::over(schema.open_at(&[proxy.folder()]).await);
    scene.accept(scene.job()).await;
    proxy.swallow_next_commit();
    let job = scene.accept(scene.job()).await;
    assert_eq!((proxy.lost(), scene.read(job.id).await), (1, job));
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_is_at_work_is_waited_for() {
    let schema = Schema::on_own_server();
    let proxy = Proxy::before(schema.server).await;
    let scene = Arc::new(Scene::over(schema.open_at(&[proxy.folder()]).await));
    scene.accept(scene.job()).await;
    let outsider = client(&schema).await;
    let (before, connections) = (serving(&outsider).await, proxy.connections());
    outsider.batch_execute("BEGIN; LOCK TABLE event").await.unwrap();
    let submitting = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.accept(scene.job()).await }
    });
    // The store has asked what the server is doing.
    while proxy.connections() == connections {
        tokio::task::yield_now().await;
    }
    outsider.batch_execute("COMMIT").await.unwrap();
    submitting.await.unwrap();
    assert!(before.is_subset(&serving(&outsider).await), "the connection that waited is still there");
}

/// Ending a process that waits for the standby would make its commit visible, and it would look as if it were safe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_its_standby_lacks_is_not_taken_for_done() {
    let schema = Schema::on_own_server();
    schema.open().await.close().await;
    let standby = tokio::task::block_in_place(|| schema.server.standby());
    let proxy = Proxy::before(schema.server).await;
    let patience = Duration::from_secs(2);
    let options = PostgresOptions { url: url(&[proxy.folder()]), patience, ..schema.options() };
    let scene = Arc::new(Scene::over(Arc::new(PostgresStore::open_by(Clock::Callers, options).await.unwrap())));
    scene.accept(scene.job()).await;
    tokio::task::block_in_place(|| standby.end());
    let submitting = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.submit(scene.job()).await }
    });
    let outsider = client(&schema).await;
    until(&outsider, "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'").await;
    proxy.cut();
    let told = submitting.await.unwrap();
    assert!(matches!(told, Err(StoreError::Unknown(_))), "{told:?}");
    terminate_all(&schema).await;
}
