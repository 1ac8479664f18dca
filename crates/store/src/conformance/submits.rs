//! Accepting jobs, and one job per intent.

use std::sync::Arc;

use longshore_domain::access::{Conversation, Principal, PrincipalClass};
use longshore_domain::id::{AttemptNumber, EventSeq, JobId, JobNumber};
use longshore_domain::job::{CommandSpec, EventKind, Job, JobSpec, JobState, RetryPolicy};
use longshore_domain::store::{IdempotencyKey, JobFilter, NewJob, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene, cancel, command, queue, spec};

fn key(text: &str, digest: u8) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: text.into(), digest: [digest; 32] })
}

pub async fn a_submitted_job_reads_back_as_it_was_answered(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let earlier = scene.accept(scene.job()).await;
    let new = NewJob {
        principal: Principal::agent("coder"),
        conversation: Some(Conversation::new("chat 7")),
        name: Some("build \u{1f6a2} it's".into()),
        spec: spec(&["cargo", "build", "--all"]),
        queue: queue("builds"),
        priority: -3,
        retry: RetryPolicy::times(4),
        retry_of: Some(earlier.id),
        ..scene.job()
    };
    let submitted = scene.submit(new.clone()).await.expect("accepted");
    let job = submitted.job;
    assert!(!submitted.existing);
    assert_eq!(job.id, new.id);
    assert_eq!((job.principal.clone(), job.conversation.clone()), (new.principal, new.conversation));
    assert_eq!((job.name.clone(), job.queue.clone(), job.priority), (new.name, new.queue, -3));
    assert_eq!((job.retry.clone(), job.retry_of), (new.retry, Some(earlier.id)));
    assert_eq!((job.title.clone(), job.likeness), (new.spec.title(), new.spec.likeness()));
    assert_eq!((job.state.clone(), job.attempt, job.failures), (JobState::Queued, AttemptNumber(0), 0));
    assert_eq!((job.started_at, job.submitted_at), (None, job.changed_at));
    assert!(!job.pinned && !job.output_expired);
    assert_eq!(scene.read(job.id).await, job);
    assert_eq!(scene.store.job_by_number(job.number).await.expect("read"), Some(job.clone()));
    assert_eq!(scene.store.spec(job.id).await.expect("read"), Some(new.spec));
    assert_eq!(scene.store.jobs(JobFilter::default(), 1).await.expect("read"), [job]);
}

pub async fn a_long_spec_is_kept_word_for_word(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let plain = command(&["printf", "%s\n", "a\tb \"c\" 'd' \\ \u{fffd} \u{1f6a2}", ""]);
    let env = (0..500).map(|at| (format!("NAME_{at}"), "x\n".repeat(500))).collect();
    let long = JobSpec::Command(CommandSpec { env, ..plain });
    let job = scene.claimed(NewJob { spec: long.clone(), ..scene.job() }).await;
    assert_eq!(scene.store.spec(job.id).await.expect("read"), Some(long));
}

pub async fn numbers_and_versions_count_up_from_one(place: &dyn Place) {
    let scene = Scene::new(place).await;
    for expected in 1..=5 {
        let job = scene.accept(scene.job()).await;
        assert_eq!((job.number, job.version), (JobNumber(expected), 1));
    }
}

pub async fn what_does_not_exist_is_absent(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let id = JobId::new(BEGIN, 999);
    let store = &scene.store;
    assert_eq!(store.job(id).await.expect("read"), None);
    assert_eq!(store.job_by_number(JobNumber(1)).await.expect("read"), None);
    assert_eq!(store.job_by_number(JobNumber(u64::MAX)).await.expect("read"), None);
    assert_eq!(store.spec(id).await.expect("read"), None);
    assert_eq!(store.position(id).await.expect("read"), None);
    assert_eq!(store.events(EventSeq(0), Some(id), MANY).await.expect("read"), []);
    assert_eq!(store.last_event().await.expect("read"), EventSeq(0));
    assert_eq!(store.next_due(BEGIN).await.expect("read"), None);
    assert_eq!(store.remove(vec![id]).await.expect("nothing to do"), []);
    assert_eq!(store.output_expired(vec![id]).await.expect("nothing to do"), []);
    let unknown = |error| matches!(error, StoreError::JobNotFound(found) if found == id);
    assert!(unknown(scene.record(id, cancel()).await.expect_err("unknown")));
    assert!(unknown(store.pin(id, true).await.expect_err("unknown")));
}

async fn named(scene: &Scene, text: &str, digest: u8) -> Result<Option<Job>, StoreError> {
    let key = key(text, digest).expect("a key");
    scene.store.job_by_key(&scene.job().principal, &key).await
}

pub async fn the_same_key_gives_the_same_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = scene.accept(NewJob { key: key("once", 1), ..scene.job() }).await;
    let again = scene.submit(NewJob { key: key("once", 1), ..scene.job() }).await.expect("found");
    assert_eq!((again.existing, &again.job), (true, &first));
    let cancelled = scene.happen(first.id, cancel()).await;
    let again = scene.submit(NewJob { key: key("once", 1), ..scene.job() }).await.expect("found");
    assert_eq!((again.existing, &again.job), (true, &cancelled));
    assert_eq!(named(&scene, "once", 1).await.expect("read"), Some(cancelled));
    assert_eq!(named(&scene, "never", 1).await.expect("read"), None);
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read").len(), 1);
    assert_eq!(scene.history(first.id).await.len(), 2);
}

pub async fn the_same_key_for_something_else_is_a_conflict(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = scene.accept(NewJob { key: key("once", 1), ..scene.job() }).await;
    let error = scene.submit(NewJob { key: key("once", 2), ..scene.job() }).await.expect_err("another digest");
    assert!(matches!(error, StoreError::KeyConflict { job } if job == first.id));
    let error = named(&scene, "once", 2).await.expect_err("another digest");
    assert!(matches!(error, StoreError::KeyConflict { job } if job == first.id));
    let with_room = scene.store.submit(NewJob { key: key("once", 2), ..scene.job() }, Some(scene.room(1)), scene.now());
    with_room.await.expect_err("another digest");
    assert_eq!(scene.read(first.id).await, first, "a refused submit claims nothing");
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read").len(), 1);
}

pub async fn keys_of_different_principals_are_apart(place: &dyn Place) {
    let scene = Scene::new(place).await;
    for principal in [Principal::agent("a"), Principal::agent("b"), Principal::owner()] {
        let new = NewJob { principal, key: key("once", 1), ..scene.job() };
        assert!(!scene.submit(new).await.expect("accepted").existing);
    }
}

pub async fn principals_of_one_name_share_their_keys(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let of = |class| Principal { class, name: "a".into() };
    let submit = async |class| {
        let new = NewJob { principal: of(class), key: key("once", 1), ..scene.job() };
        scene.submit(new).await.expect("accepted or found")
    };
    let first = submit(PrincipalClass::Person).await;
    for class in [PrincipalClass::Agent, PrincipalClass::Worker] {
        let again = submit(class).await;
        assert_eq!((again.existing, again.job.id), (true, first.job.id));
        let once = key("once", 1).expect("a key");
        let found = scene.store.job_by_key(&of(class), &once).await.expect("read").expect("it is there");
        assert_eq!(found.id, first.job.id);
    }
}

pub async fn concurrent_submits_of_one_key_make_one_job(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let calls = (0..50).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.submit(NewJob { key: key("once", 1), ..scene.job() }).await })
    });
    let mut answers = vec![];
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.expect("no panic").expect("accepted or found"));
    }
    assert_eq!(answers.iter().filter(|answer| !answer.existing).count(), 1);
    assert!(answers.iter().all(|answer| answer.job.id == answers[0].job.id));
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read").len(), 1);
}

pub async fn a_taken_id_is_refused_and_changes_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = scene.accept(scene.job()).await;
    let new = NewJob { id: first.id, queue: queue("other"), ..scene.job() };
    assert!(matches!(scene.submit(new).await, Err(StoreError::Failed { .. })));
    assert_eq!(scene.read(first.id).await, first);
    assert_eq!(scene.history(first.id).await.len(), 1);
    assert_eq!(scene.store.queues().await.expect("read").len(), 1);
}

pub async fn a_submit_with_room_takes_whoever_is_first(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let older = scene.accept(scene.job()).await;
    let (submitted, taken) = scene.store.submit(scene.job(), Some(scene.room(1)), scene.now()).await.expect("accepted");
    assert_eq!(submitted.job.state, JobState::Queued);
    assert_eq!(taken.iter().map(|taken| taken.job.id).collect::<Vec<_>>(), [older.id]);
    let (submitted, taken) = scene.store.submit(scene.job(), Some(scene.room(5)), scene.now()).await.expect("accepted");
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[1].job.id, submitted.job.id);
    assert_eq!(scene.read(submitted.job.id).await, taken[1].job);
    let kinds: Vec<_> = scene.history(submitted.job.id).await.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [EventKind::Submitted, EventKind::Claimed]);
}
