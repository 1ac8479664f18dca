//! Connections that break, servers that crash, answers that are lost: nothing that was acknowledged is, and nothing
//! happens twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::try_join_all;
use longshore_domain::access::Conversation;
use longshore_domain::id::EventSeq;
use longshore_domain::job::{EventKind, Job};
use longshore_domain::store::{Fire, Fired, JobFilter, NewDocument, NewJob, Notice, StoreError};

use super::proxy::Proxy;
use super::{PostgresOptions, PostgresStore, Schema, client, terminate_all, url};
use crate::conformance::Place;
use crate::conformance::scene::{BEGIN, MANY, Scene, ended, queue, started};
use crate::conformance::schedules::new_schedule;

/// Takes jobs through their lives until `done`; gives those that were acknowledged as finished.
async fn lives(scene: Arc<Scene>, line: String, done: Arc<AtomicBool>) -> Vec<Job> {
    let mut finished = vec![];
    while !done.load(Ordering::SeqCst) {
        let new = NewJob { queue: queue(&line), ..scene.job() };
        let (submitted, taken) = scene.store.submit(new, Some(scene.room(1)), scene.now()).await.unwrap();
        assert!(!submitted.existing);
        for taken in taken {
            let job = scene.happen(taken.job.id, started(&taken.job)).await;
            let (change, _) = scene.store.record(job.id, ended(&job, 0), None, scene.now()).await;
            finished.push(change.unwrap().job);
        }
    }
    finished
}

/// Has callers take jobs through their lives while `harm` is done to the server. One that fails ends the test.
async fn live_through(scene: Scene, harm: impl AsyncFn()) {
    let (scene, done) = (Arc::new(scene), Arc::new(AtomicBool::new(false)));
    scene.set_queue("default", 10_000).await;
    let callers = (0..6).map(|at| tokio::spawn(lives(Arc::clone(&scene), format!("q{at}"), Arc::clone(&done))));
    let harmed = async {
        harm().await;
        done.store(true, Ordering::SeqCst);
    };
    let lived = async { try_join_all(callers).await.unwrap() };
    let ((), finished) = tokio::join!(harmed, lived);
    let finished: Vec<_> = finished.into_iter().flatten().collect();
    assert!(!finished.is_empty());
    let mut kinds: HashMap<_, Vec<_>> = HashMap::new();
    for line in scene.store.events(EventSeq(0), None, MANY).await.unwrap() {
        kinds.entry(line.job).or_default().push(line.kind);
    }
    let whole = [EventKind::Submitted, EventKind::Claimed, EventKind::Started, EventKind::Ended];
    for job in &finished {
        assert_eq!(scene.read(job.id).await, *job);
        assert_eq!(kinds[&job.id], whole, "each step happened once");
    }
    let all = scene.store.jobs(JobFilter::default(), MANY).await.unwrap();
    assert_eq!((all.len(), kinds.len()), (finished.len(), finished.len()), "what is there was acknowledged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_nothing() {
    let schema = Schema::on_own_server();
    let scene = Scene::new(&schema).await;
    live_through(scene, async || {
        let mut cut = 0;
        while cut < 30 {
            cut += terminate_all(&schema).await;
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_loses_nothing() {
    let schema = Schema::on_own_server();
    let scene = Scene::new(&schema).await;
    let watcher = schema.open().await;
    live_through(scene, async || {
        for round in 1..=3 {
            while watcher.last_event().await.unwrap().0 < 100 * round {
                tokio::task::yield_now().await;
            }
            tokio::task::block_in_place(|| {
                schema.server.crash();
                schema.server.go_on();
            });
        }
    })
    .await;
}

/// The standby has all that was acknowledged; the store finds it by the second name in its URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_takes_over_has_everything() {
    let schema = Schema::on_own_server();
    schema.open().await.close().await;
    let standby = tokio::task::block_in_place(|| schema.server.standby());
    let scene = Scene::over(schema.open_at(&[schema.server.folder(), standby.folder()]).await);
    let watcher = schema.open().await;
    live_through(scene, async || {
        while watcher.last_event().await.unwrap().0 < 200 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| {
            schema.server.end();
            standby.promote();
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_alone_is_read_only() {
    let schema = Schema::on_own_server();
    schema.open().await.close().await;
    let standby = tokio::task::block_in_place(|| schema.server.standby());
    let patience = std::time::Duration::from_millis(300);
    let options = PostgresOptions { url: url(&[standby.folder()]), patience, ..schema.options() };
    let error = PostgresStore::open(options).await.err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_was_lost_after_the_commit_is_found_again() {
    let schema = Schema::new();
    let proxy = Proxy::before(schema.server).await;
    let scene = Scene::over(schema.open_at(&[proxy.folder()]).await);
    scene.set_queue("default", 100).await;
    // Each connection has a transaction behind it.
    let job = scene.running(scene.job()).await;
    let child = scene.accept(scene.job_after(&[&job])).await;
    let next = scene.accept(scene.job()).await;
    proxy.lose_next_commit();
    let (change, taken) = scene.store.record(job.id, ended(&job, 0), Some(scene.room(1)), scene.now()).await;
    let change = change.unwrap();
    assert_eq!(proxy.lost(), 1);
    assert_eq!(change.effects.last(), Some(&longshore_domain::job::Effect::Settle));
    assert_eq!(scene.read(job.id).await, change.job);
    assert_eq!((taken[0].job.id, &scene.read(next.id).await), (next.id, &taken[0].job));
    assert_eq!(scene.store.spec(next.id).await.unwrap().as_ref(), Some(&taken[0].spec));
    let line = scene.history(job.id).await.pop().unwrap();
    assert_eq!((line.kind, line.seq), (EventKind::Ended, change.seq));
    proxy.lose_next_commit();
    let submitted = scene.accept(scene.job()).await;
    assert_eq!((proxy.lost(), scene.read(submitted.id).await), (2, submitted));
    proxy.lose_next_commit();
    let told = scene.store.settle(scene.now(), MANY).await.unwrap();
    assert_eq!((proxy.lost(), told.len(), told[0].job.id), (3, 1, child.id));
    assert_eq!(scene.history(child.id).await.pop().unwrap().seq, told[0].seq);
    proxy.lose_next_commit();
    assert!(scene.store.pin(job.id, true).await.unwrap().pinned);
    assert_eq!(proxy.lost(), 4);
}

#[tokio::test]
async fn what_leaves_no_history_is_found_again_too() {
    let schema = Schema::new();
    let proxy = Proxy::before(schema.server).await;
    let scene = Scene::over(schema.open_at(&[proxy.folder()]).await);
    let chat = Conversation::new("chat");
    let job = scene.ran(NewJob { conversation: Some(chat.clone()), ..scene.job() }, 0).await;
    let notice =
        Notice { owner: job.principal.name.clone(), conversation: chat, except: vec![], limit: MANY, peek: false };
    proxy.lose_next_commit();
    let told = scene.store.announce(notice.clone()).await.unwrap();
    assert_eq!((proxy.lost(), told.jobs), (1, vec![job]));
    assert_eq!(scene.store.announce(notice).await.unwrap().count, 0);
    for replaces in 0..2 {
        proxy.lose_next_commit();
        let new = NewDocument { name: "tokens".into(), replaces, text: "[]".into(), keep: None };
        assert!(scene.store.write_document(new, scene.now()).await.unwrap());
    }
    let mut schedule = new_schedule(&scene, "nightly", BEGIN);
    for version in 0..2 {
        proxy.lose_next_commit();
        schedule.version = version;
        assert!(scene.store.write_schedule(schedule.clone()).await.unwrap());
    }
    schedule.version = 2;
    proxy.lose_next_commit();
    let made = scene.job();
    let fires = Fire { schedule: schedule.fired(BEGIN, made.id, None), job: Some(made.clone()) };
    let Fired::Job(job) = scene.store.fire(fires, scene.now()).await.unwrap() else { panic!("it fires") };
    assert_eq!((proxy.lost(), job.id, scene.read(job.id).await), (6, made.id, *job));
}

/// The server is told to end the connection in the moment of committing, before the commit is written.
#[tokio::test]
async fn a_commit_that_did_not_happen_is_done_again() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    scene.accept(scene.job()).await;
    let bomb = format!(
        "SET search_path = {}; CREATE SEQUENCE bomb; \
         CREATE FUNCTION explode() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('bomb') <= 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(60); END IF; \
         RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER bomb AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION explode()",
        schema.name
    );
    client(&schema).await.batch_execute(&bomb).await.unwrap();
    let job = scene.accept(scene.job()).await;
    assert_eq!(scene.read(job.id).await, job);
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), 2);
    assert_eq!(scene.history(job.id).await.len(), 1);
}

#[tokio::test]
async fn a_request_that_the_database_cannot_hold_fails_alone() {
    let schema = Schema::new();
    let scene = Arc::new(Scene::new(&schema).await);
    let calls: Vec<_> = (0..20)
        .map(|at| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move {
                let name = if at == 7 { "a\0b" } else { "plain" };
                scene.submit(NewJob { name: Some(name.into()), ..scene.job() }).await
            })
        })
        .collect();
    for (at, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            Ok(submitted) => assert_eq!(scene.read(submitted.job.id).await, submitted.job),
            Err(error) => assert!(at == 7 && matches!(error, StoreError::Failed { .. }), "{at} {error:?}"),
        }
    }
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), 19);
}
