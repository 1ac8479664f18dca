//! Several nodes at once: each lease once, each limit kept, no line of history missed, and hints of what others do.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::try_join_all;
use longshore_domain::access::{Principal, PrincipalClass};
use longshore_domain::id::EventSeq;
use longshore_domain::job::EventRecord;
use longshore_domain::store::{Claim, IdempotencyKey, JobFilter, NewJob, Store, StoreError};

use super::{Schema, client, terminate_all, until_waiting};
use crate::conformance::Place;
use crate::conformance::nodes::new_node;
use crate::conformance::scene::{LEASE, MANY, Scene, ended, node, queue, started};
use crate::postgres::migrations::SCHEMA_NEWEST;

const NODES: u128 = 3;
const JOBS: usize = 120;
const LIMIT: u32 = 4;

/// Reads the history as it grows, until `done` and nothing more comes.
async fn follow(store: Arc<dyn Store>, done: Arc<AtomicBool>) -> Vec<EventRecord> {
    let mut read: Vec<EventRecord> = vec![];
    loop {
        let last_round = done.load(Ordering::SeqCst);
        let after = read.last().map_or(EventSeq(0), |line| line.seq);
        let page = store.events(after, None, 7).await.unwrap();
        if page.is_empty() && last_round {
            return read;
        }
        read.extend(page);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_at_once_keep_limits_run_each_job_once_and_hide_no_line() {
    let schema = Schema::new();
    let scene = Arc::new(Scene::new(&schema).await);
    scene.set_queue("default", LIMIT).await;
    let done = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn(follow(schema.open().await, Arc::clone(&done)));
    let (live, finished) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut workers = vec![];
    for number in 1..=NODES {
        let store = schema.open().await;
        for _ in 0..4 {
            let (store, scene) = (Arc::clone(&store), Arc::clone(&scene));
            let (live, finished) = (Arc::clone(&live), Arc::clone(&finished));
            workers.push(tokio::spawn(async move {
                let mut taken = vec![];
                while finished.load(Ordering::SeqCst) < JOBS as u32 {
                    let room = Claim { holder: node(number), ..scene.room(3) };
                    for claimed in store.claim(room, scene.now()).await.unwrap() {
                        // Counted later than it began and no longer than it lasts: never more than there are.
                        assert!(live.fetch_add(1, Ordering::SeqCst) < LIMIT, "more jobs run than the queue lends");
                        let job = claimed.job;
                        store.record(job.id, started(&job), None, scene.now()).await.0.unwrap();
                        live.fetch_sub(1, Ordering::SeqCst);
                        assert!(store.record(job.id, ended(&job, 0), None, scene.now()).await.0.is_ok());
                        finished.fetch_add(1, Ordering::SeqCst);
                        taken.push(job.id);
                    }
                }
                taken
            }));
        }
    }
    for _ in 0..JOBS {
        scene.accept(scene.job()).await;
    }
    // One that fails ends the test: the others would wait for its jobs.
    let taken: Vec<_> = try_join_all(workers).await.unwrap().into_iter().flatten().collect();
    done.store(true, Ordering::SeqCst);
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (JOBS, JOBS));
    let all = scene.store.events(EventSeq(0), None, MANY).await.unwrap();
    assert_eq!(all.len(), 4 * JOBS);
    assert_eq!(follower.await.unwrap(), all, "a line became visible behind one that was read already");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_submit_under_one_key_one_is_first() {
    let schema = Schema::new();
    let scene = Arc::new(Scene::new(&schema).await);
    let other = schema.open().await;
    for round in 0..20_u8 {
        let key = || Some(longshore_domain::store::IdempotencyKey { key: format!("key {round}"), digest: [round; 32] });
        let new = || NewJob { key: key(), queue: queue(&format!("q{round}")), ..scene.job() };
        let stores = [Arc::clone(&scene.store), Arc::clone(&other)];
        let calls = stores.map(|store| {
            let (new, now) = (new(), scene.now());
            tokio::spawn(async move { store.submit(new, None, now).await.unwrap().0 })
        });
        let [one, two] = calls;
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!((one.job.id, one.existing), (two.job.id, !two.existing));
    }
}

#[tokio::test]
async fn of_classes_that_submit_one_key_of_one_name_on_two_nodes_one_is_first() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let other = schema.open().await;
    let outsider = client(&schema).await;
    let classes = [PrincipalClass::Person, PrincipalClass::Agent, PrincipalClass::Worker];
    for (round, pair) in [[0, 1], [1, 0], [1, 2], [2, 2]].into_iter().enumerate() {
        let key = || Some(IdempotencyKey { key: format!("key {round}"), digest: [7; 32] });
        let calls = [&scene.store, &other].into_iter().zip(pair).map(|(store, class)| {
            let principal = Principal { class: classes[class], name: "ann".into() };
            let (store, new) = (Arc::clone(store), NewJob { principal, key: key(), ..scene.job() });
            let now = scene.now();
            async move { store.submit(new, None, now).await.unwrap().0 }
        });
        // Both have looked for the key before either can write it.
        outsider.batch_execute("BEGIN; LOCK TABLE job IN EXCLUSIVE MODE").await.unwrap();
        let calls: Vec<_> = calls.map(tokio::spawn).collect();
        until_waiting(&schema, "INSERT INTO job %", 2).await;
        outsider.batch_execute("COMMIT").await.unwrap();
        let [one, two] = &try_join_all(calls).await.unwrap()[..] else { unreachable!("two were asked") };
        assert_eq!((one.job.id, one.existing), (two.job.id, !two.existing));
    }
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_report_the_same_attempt_one_is_heard() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let other = schema.open().await;
    for _ in 0..20 {
        let job = scene.running(scene.job()).await;
        let calls = [Arc::clone(&scene.store), Arc::clone(&other)].map(|store| {
            let (job, now) = (job.clone(), scene.now());
            tokio::spawn(async move { store.record(job.id, ended(&job, 0), None, now).await.0 })
        });
        let [one, two] = calls;
        let answers = [one.await.unwrap(), two.await.unwrap()];
        let heard = answers.iter().filter(|answer| answer.is_ok()).count();
        let late = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Refused(_)))).count();
        assert_eq!((heard, late), (1, 1));
    }
}

#[tokio::test]
async fn a_node_hears_what_another_one_changes() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let other = schema.open().await;
    let mut mark = other.changed(0).await.unwrap();
    // Until it listens, the first look counts as a change.
    for _ in 0..3 {
        let job = scene.accept(scene.job()).await;
        mark = other.changed(mark).await.unwrap();
        assert_eq!(other.job(job.id).await.unwrap(), Some(job));
    }
    scene.set_queue("default", 7).await;
    other.changed(mark).await.unwrap();
}

#[tokio::test]
async fn a_node_that_could_not_hear_looks_once_it_can_again() {
    let schema = Schema::on_own_server();
    let scene = Scene::new(&schema).await;
    let other = schema.open().await;
    let mut mark = other.changed(0).await.unwrap();
    for _ in 0..3 {
        terminate_all(&schema).await;
        scene.accept(scene.job()).await;
        mark = other.changed(mark).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_whose_schema_a_newer_one_has_changed_takes_part_no_more() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let (silent, beating) = (schema.open().await, schema.open().await);
    beating.join(new_node(1), LEASE, scene.now()).await.unwrap();
    let job = scene.running(scene.job()).await;
    let newer = client(&schema).await;
    let set = async |version: u32| {
        let sql = format!("UPDATE meta SET schema_version = {version}, compatible_from = {version}");
        newer.batch_execute(&sql).await.unwrap();
    };
    set(99).await;
    let refused = |error| matches!(error, StoreError::Newer { found: 99, .. });
    assert!(refused(scene.record(job.id, ended(&job, 0)).await.unwrap_err()));
    let beat = beating.beat(node(1), new_node(1).incarnation, LEASE, scene.now()).await;
    assert!(refused(beat.unwrap_err()));
    set(SCHEMA_NEWEST).await;
    // It would not know what happened meanwhile: only a new start takes part again.
    for store in [&scene.store, &beating] {
        assert!(refused(store.claim(scene.room(1), scene.now()).await.unwrap_err()));
        assert!(refused(store.job(job.id).await.unwrap_err()));
        assert!(refused(store.facts().await.unwrap_err()));
    }
    assert_eq!(silent.job(job.id).await.unwrap(), Some(job.clone()), "nothing was written");
    scene.store.close().await;
    let scene = scene.with(schema.open().await);
    assert!(scene.happen(job.id, ended(&job, 0)).await.is_finished());
}

/// What a program that knows the first step of the schema alone writes when it accepts a job, and where it looks for
/// those that are ready.
const OLDER_SUBMIT: &str = "INSERT INTO job (number, id, principal_class, principal_name, conversation, kind, name, title, \
     retry, likeness, retry_of, submitted_at, spec) SELECT nextval('job_number'), $1, principal_class, principal_name, \
     conversation, kind, name, title, retry, likeness, retry_of, submitted_at, spec FROM job WHERE id = $2";
const OLDER_STANDING: &str = "INSERT INTO standing (job, version, state, phase, content, attempt, failures, holder, \
     started_at, changed_at, due_at, finished_at, outcome, pinned, output_expired, queue, priority) \
     SELECT (SELECT number FROM job WHERE id = $1), version, state, 'queued', content, attempt, failures, holder, \
     started_at, changed_at, due_at, finished_at, outcome, pinned, output_expired, queue, priority \
     FROM standing AS s JOIN job AS j ON j.number = s.job WHERE j.id = $2";
const OLDER_READY: &str = "SELECT j.id FROM standing AS s JOIN job AS j ON j.number = s.job WHERE s.phase = 'queued'";

#[tokio::test]
async fn an_older_program_goes_on_beside_this_one_and_never_takes_what_it_may_not_run() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let plain = scene.accept(scene.job()).await;
    let labelled = scene.accept(NewJob { requires: "gpu".parse().unwrap(), ..scene.job() }).await;
    let older = client(&schema).await;
    let id = scene.job().id;
    for sql in [OLDER_SUBMIT, OLDER_STANDING] {
        assert_eq!(older.execute(sql, &[&id.to_string(), &plain.id.to_string()]).await.unwrap(), 1);
    }
    let seen: HashSet<String> = older.query(OLDER_READY, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, [plain.id.to_string(), id.to_string()].into());
    assert_eq!(scene.take_ids(9).await, [plain.id, id]);
    let room = Claim { labels: labelled.requires.clone(), ..scene.room(9) };
    assert_eq!(scene.store.claim(room, scene.now()).await.unwrap()[0].job.id, labelled.id);
}

#[tokio::test]
async fn durations_without_a_date_are_dated_in_batches() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let older = "INSERT INTO duration (likeness, samples) SELECT n, '' FROM generate_series(1, 5) AS n";
    client(&schema).await.batch_execute(older).await.unwrap();
    let forget = async |limit| scene.store.forget_samples(LEASE, limit, scene.now()).await.unwrap();
    assert_eq!((forget(2).await, forget(2).await), (2, 2));
    scene.pass(2 * LEASE);
    // One is dated, two are old by now.
    assert_eq!((forget(3).await, forget(3).await, forget(3).await), (3, 2, 0));
    scene.pass(2 * LEASE);
    assert_eq!((forget(3).await, forget(3).await), (1, 0));
}

/// Earlier programs kept keys of one name apart by class.
#[tokio::test]
async fn keys_of_earlier_programs_still_name_their_jobs() {
    let schema = Schema::new();
    let scene = Scene::new(&schema).await;
    let key = Some(IdempotencyKey { key: "once".into(), digest: [1; 32] });
    let job = scene.accept(NewJob { key: key.clone(), ..scene.job() }).await;
    client(&schema).await.batch_execute("UPDATE key SET principal_class = 'agent'").await.unwrap();
    let again = scene.submit(NewJob { key, ..scene.job() }).await.unwrap();
    assert_eq!((again.existing, again.job.id), (true, job.id));
}
