//! Servers and databases that do not serve: full, read-only, newer, away, or closed to us.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::store::{JobFilter, Store, StoreError};

use super::{Schema, client, terminate_all, until_waiting};
use crate::conformance::Place;
use crate::conformance::scene::{BEGIN, LEASE, MANY, Scene, node};
use crate::postgres::migrations::SCHEMA_NEWEST;
use crate::{PostgresOptions, PostgresStore};

/// Where the end of the patience is what is tested.
const SHORT: Duration = Duration::from_millis(300);
/// The schema of the next release.
const NEXT: u32 = SCHEMA_NEWEST + 1;

async fn open_error(options: PostgresOptions) -> StoreError {
    PostgresStore::open(PostgresOptions { patience: SHORT, ..options }).await.err().unwrap()
}

/// The error and all its causes, as a log would have them.
fn told(error: &StoreError) -> String {
    let mut text = format!("{error:?} {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error:?} {error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_newer_schema_is_served_if_it_says_so_and_else_left_alone() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let job = scene.accept(scene.job()).await;
    let outsider = client(&schema).await;
    outsider.batch_execute(&format!("UPDATE meta SET schema_version = {NEXT}, compatible_from = 1")).await.unwrap();
    let store = schema.open().await;
    assert_eq!(store.job(job.id).await.unwrap(), Some(job));
    assert_eq!(store.facts().await.unwrap().schema, NEXT);
    outsider.batch_execute(&format!("UPDATE meta SET compatible_from = {NEXT}")).await.unwrap();
    let error = open_error(schema.options()).await;
    assert!(matches!(error, StoreError::Newer { found: NEXT, known: SCHEMA_NEWEST }), "{error:?}");
}

#[tokio::test]
async fn a_node_that_is_too_old_stops_serving_with_its_next_connection() {
    let schema = Schema::on_own_server();
    let scene = Scene::new(&schema).await;
    scene.accept(scene.job()).await;
    let newer = format!("UPDATE meta SET schema_version = {NEXT}, compatible_from = {NEXT}");
    client(&schema).await.batch_execute(&newer).await.unwrap();
    terminate_all(&schema).await;
    let error = scene.submit(scene.job()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: NEXT, known: SCHEMA_NEWEST }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_make_one_schema() {
    let schema = Schema::new();
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let options = schema.options();
            tokio::spawn(async move { PostgresStore::open(options).await.unwrap() })
        })
        .collect();
    for (at, node) in nodes.into_iter().enumerate() {
        let scene = Scene::over(Arc::new(node.await.unwrap()));
        assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), at);
        scene
            .submit(longshore_domain::store::NewJob {
                id: longshore_domain::JobId::new(scene.now(), at as u128),
                ..scene.job()
            })
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_heals_once_there_is_room() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let job = scene.accept(scene.job()).await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'could not extend file: no space left on device' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER full_disk BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION full_disk()";
    let outsider = client(&schema).await;
    outsider.batch_execute(full).await.unwrap();
    let error = scene.submit(scene.job()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    let claim = scene.store.claim(scene.room(1), scene.now()).await;
    assert!(matches!(claim, Err(StoreError::Full(_))));
    assert_eq!(scene.read(job.id).await, job);
    outsider.batch_execute("DROP TRIGGER full_disk ON event").await.unwrap();
    assert_eq!(scene.take_ids(2).await, [job.id]);
    scene.accept(scene.job()).await;
}

#[tokio::test]
async fn a_statement_that_is_cut_off_changes_nothing_and_is_tried_again_for_a_while() {
    let schema = Schema::new();
    let options = PostgresOptions { patience: SHORT, ..schema.options() };
    let scene = Scene::over(Arc::new(PostgresStore::open(options).await.unwrap()));
    let job = scene.accept(scene.job()).await;
    // As `statement_timeout` does it: so often, and then no more.
    let cut = |times: u32| {
        format!(
            "CREATE SEQUENCE cuts; CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('cuts') <= {times} THEN RAISE EXCEPTION 'canceling statement due to statement timeout' \
             USING ERRCODE = 'query_canceled'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER cut BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION cut()"
        )
    };
    let outsider = client(&schema).await;
    outsider.batch_execute(&cut(1_000_000)).await.unwrap();
    let error = scene.submit(scene.job()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(told(&error).contains("57014"), "{error:?}");
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap(), std::slice::from_ref(&job));
    outsider.batch_execute("DROP FUNCTION cut CASCADE; DROP SEQUENCE cuts").await.unwrap();
    outsider.batch_execute(&cut(2)).await.unwrap();
    scene.accept(scene.job()).await;
    assert_eq!(scene.history(job.id).await.len(), 1);
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_that_has_no_more_connections_says_so() {
    let schema = Schema::new();
    schema.open().await.close().await;
    let name = &schema.name;
    let role = format!(
        "CREATE ROLE few_{name} LOGIN CONNECTION LIMIT 1; GRANT ALL ON SCHEMA {name} TO few_{name}; \
         GRANT ALL ON ALL TABLES IN SCHEMA {name} TO few_{name}; GRANT ALL ON ALL SEQUENCES IN SCHEMA {name} TO few_{name}"
    );
    client(&schema).await.batch_execute(&role).await.unwrap();
    let url = schema.options().url.replace("longshore@", &format!("few_{name}@"));
    let options = PostgresOptions { url, patience: SHORT, ..schema.options() };
    let error = match PostgresStore::open(options).await {
        Ok(store) => store.submit(Scene::over(schema.open().await).job(), None, BEGIN).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, StoreError::Unavailable(_)) && told(&error).contains("53300"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_read_only_and_heals() {
    let schema = Schema::on_own_server();
    let options = PostgresOptions { patience: SHORT, ..schema.options() };
    let scene = Scene::over(Arc::new(PostgresStore::open(options.clone()).await.unwrap()));
    let job = scene.accept(scene.job()).await;
    let outsider = client(&schema).await;
    outsider.batch_execute("ALTER ROLE longshore SET default_transaction_read_only = on").await.unwrap();
    terminate_all(&schema).await;
    for error in [scene.submit(scene.job()).await.unwrap_err(), open_error(options).await] {
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
    }
    outsider.batch_execute("SET transaction_read_only = off; ALTER ROLE longshore RESET ALL").await.unwrap();
    assert_eq!(scene.take_ids(2).await, [job.id]);
}

#[tokio::test]
async fn who_may_not_write_is_told_so() {
    let schema = Schema::new();
    schema.open().await.close().await;
    let role = format!("CREATE ROLE guest_{0} LOGIN; GRANT USAGE ON SCHEMA {0} TO guest_{0}", schema.name);
    let read = format!("; GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO guest_{0}", schema.name);
    client(&schema).await.batch_execute(&(role + &read)).await.unwrap();
    let url = schema.options().url.replace("longshore@", &format!("guest_{}@", schema.name));
    let store = PostgresStore::open(PostgresOptions { url: url.clone(), ..schema.options() }).await.unwrap();
    let scene = Scene::over(Arc::new(store));
    assert!(matches!(scene.submit(scene.job()).await, Err(StoreError::ReadOnly(_))));
    let elsewhere = PostgresOptions { url, schema: format!("other_{}", schema.name), ..schema.options() };
    assert!(matches!(open_error(elsewhere).await, StoreError::ReadOnly(_)));
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_why_without_secrets() {
    let schema = Schema::new();
    let url = |from: &str, to: &str| schema.options().url.replace(from, to);
    for url in [
        url("longshore@", "nobody:s3cret@"),
        url("/postgres", "/nothing?password=s3cret"),
        "postgres://longshore:s3cret@%2Fnowhere/postgres".to_owned(),
        "postgres://longshore:s3cret@127.0.0.1:9/postgres?sslmode=require".to_owned(),
    ] {
        let error = open_error(PostgresOptions { url: url.clone(), ..schema.options() }).await;
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!told(&error).contains("s3cret"), "{url}");
        let fault = longshore_domain::fault::Fault::from(error);
        assert_eq!(fault.code.as_str(), "store_unavailable");
    }
    for options in [
        PostgresOptions { url: "mysql://longshore:s3cret@db/x".into(), ..schema.options() },
        PostgresOptions { schema: "no good\"".into(), ..schema.options() },
        PostgresOptions { url: url("/postgres", "/postgres?sslmode=require&sslrootcert=/none"), ..schema.options() },
    ] {
        let error = open_error(options).await;
        assert!(matches!(error, StoreError::Failed { .. } | StoreError::Unavailable(_)), "{error:?}");
        assert!(!told(&error).contains("s3cret"));
    }
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_taken_says_so_and_goes_on() {
    let schema = Schema::new();
    let options = PostgresOptions { connections: 1, patience: SHORT, ..schema.options() };
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    let scene = Scene::over(Arc::clone(&store) as Arc<dyn Store>);
    let job = scene.accept(scene.job()).await;
    let outsider = client(&schema).await;
    outsider.batch_execute("BEGIN; LOCK TABLE standing").await.unwrap();
    let stuck = tokio::spawn(async move { store.job(job.id).await });
    until_waiting(&schema, "SELECT j.number, j.id%", 1).await;
    let error = scene.store.queues().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    outsider.batch_execute("COMMIT").await.unwrap();
    assert!(stuck.await.unwrap().unwrap().is_some());
    assert_eq!(scene.store.queues().await.unwrap().len(), 1);
}

#[tokio::test]
async fn leases_are_kept_though_all_who_read_are_stuck() {
    let schema = Schema::new();
    let options = PostgresOptions { connections: 1, patience: SHORT, ..schema.options() };
    let store = Arc::new(PostgresStore::open(options).await.unwrap());
    let scene = Scene::over(Arc::clone(&store) as Arc<dyn Store>);
    let job = scene.running(scene.job()).await;
    let outsider = client(&schema).await;
    outsider.batch_execute("BEGIN; LOCK TABLE question").await.unwrap();
    let stuck = tokio::spawn(async move { store.questions(job.id).await });
    until_waiting(&schema, "%FROM job AS j JOIN question AS q%", 1).await;
    let held = scene.store.renew(node(1), LEASE, scene.now()).await.unwrap();
    assert_eq!(held.iter().map(|held| held.job).collect::<Vec<_>>(), [job.id]);
    outsider.batch_execute("COMMIT").await.unwrap();
    assert_eq!(stuck.await.unwrap().unwrap(), []);
}

#[tokio::test]
async fn commits_wait_for_the_disk_whatever_the_server_is_set_to() {
    let schema = Schema::on_own_server();
    let weak = "ALTER ROLE longshore SET synchronous_commit = off";
    client(&schema).await.batch_execute(weak).await.unwrap();
    let facts = schema.open().await.facts().await.unwrap();
    assert_eq!(facts.durability, "synchronous_commit=on, fsync=off");
    assert!(facts.engine.starts_with("PostgreSQL 1") && facts.bytes.is_some());
    assert!(facts.location.ends_with(&format!("/postgres, schema {}", schema.name)), "{}", facts.location);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_damage() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let job = scene.accept(scene.job()).await;
    client(&schema).await.batch_execute("UPDATE standing SET content = '{\"state\":\"asleep\"}'").await.unwrap();
    assert!(matches!(scene.store.job(job.id).await, Err(StoreError::Corrupt(_))));
    assert!(matches!(scene.store.claim(scene.room(1), scene.now()).await, Err(StoreError::Corrupt(_))));
}
