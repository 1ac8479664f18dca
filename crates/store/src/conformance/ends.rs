//! Retries, cancelling, and what is learned from successes.

use std::time::Duration;

use longshore_domain::estimate::SAMPLES_MAX;
use longshore_domain::job::{AttemptReport, Effect, Event, FailReason, OutcomeStatus, RetryPolicy, StateName};
use longshore_domain::store::{NewJob, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene, cancel, ended, lost, report, spec, started};

pub async fn a_failed_attempt_is_followed_by_another_after_its_wait(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = scene.running(NewJob { retry: RetryPolicy::times(1), ..scene.job() }).await;
    let change = scene.record(first.id, ended(&first, 3)).await.expect("accepted");
    let ended_at = change.job.changed_at;
    let due = change.job.state.due_at().expect("another attempt waits");
    assert_eq!(change.effects, [Effect::Freed, Effect::Timer(due)]);
    let wait = scene.store.next_due(ended_at).await.expect("read");
    assert_eq!((change.job.failures, wait), (1, Some(due.since(ended_at))));
    assert_eq!(due, change.job.changed_at.plus(first.retry.wait_after(1, first.number.0)));
    scene.store.promote_due(due, MANY).await.expect("done");
    let second = scene.take(1).await.remove(0).job;
    let second = scene.happen(second.id, started(&second)).await;
    assert_eq!(second.started_at, first.started_at, "a job began when its first attempt did");
    let last = scene.record(first.id, ended(&second, 4)).await.expect("accepted");
    let outcome = last.job.outcome().expect("finished").clone();
    assert_eq!((outcome.reason, last.job.failures), (Some(FailReason::Exit), 2));
    assert_eq!(outcome.report.and_then(|report| report.exit_code), Some(4));
    assert_eq!(scene.read(first.id).await, last.job);
}

pub async fn without_leave_to_retry_a_lost_attempt_ends_the_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    let job = scene.happen(job.id, lost(job.attempt)).await;
    assert_eq!(job.outcome().and_then(|outcome| outcome.reason), Some(FailReason::Lost));
    assert_eq!(scene.read(job.id).await, job);
    assert_eq!(scene.take_ids(1).await, []);
}

pub async fn a_job_can_be_cancelled_in_every_state(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let later = Some(BEGIN.plus(Duration::from_secs(60)));
    let waiting = scene.accept(NewJob { not_before: later.map(Into::into), ..scene.job() }).await;
    let queued = scene.accept(scene.job()).await;
    for job in [waiting, queued] {
        let change = scene.record(job.id, cancel()).await.expect("accepted");
        assert_eq!(change.job.outcome().map(|outcome| outcome.status), Some(OutcomeStatus::Cancelled));
        assert_eq!(change.effects, []);
    }
    let claimed = scene.claimed(scene.job()).await;
    let running = scene.running(scene.job()).await;
    let stopped = AttemptReport { exit_code: None, signal: Some(15), stopped: true, ..report(0) };
    for job in [claimed, running] {
        let change = scene.record(job.id, cancel()).await.expect("accepted");
        assert_eq!(change.job.state.name(), StateName::Stopping);
        assert_eq!(change.effects, [Effect::Stop(job.attempt)]);
        assert!(matches!(scene.record(job.id, cancel()).await, Err(StoreError::Refused(_))));
        let end = Event::Ended { token: job.attempt, report: stopped.clone() };
        let outcome = scene.happen(job.id, end).await.outcome().expect("finished").clone();
        assert_eq!((outcome.status, outcome.message.as_deref()), (OutcomeStatus::Cancelled, Some("not needed")));
    }
    assert_eq!(scene.store.next_due(BEGIN).await.expect("read"), None);
    assert_eq!(scene.take_ids(5).await, []);
}

pub async fn what_successes_took_is_remembered_up_to_a_limit(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let took = |seconds| AttemptReport { ran: Duration::from_secs(seconds), ..report(0) };
    let likeness = scene.job().spec.likeness();
    for seconds in 1..=SAMPLES_MAX as u64 + 5 {
        let job = scene.running(scene.job()).await;
        let change = scene.record(job.id, Event::Ended { token: job.attempt, report: took(seconds) }).await;
        let effects = change.expect("accepted").effects;
        assert_eq!(effects, [Effect::Freed, Effect::Learn(Duration::from_secs(seconds))]);
    }
    scene.ran(scene.job(), 1).await;
    scene.ran(NewJob { spec: spec(&["other"]), ..scene.job() }, 0).await;
    let mut samples = scene.store.samples(likeness).await.expect("read");
    samples.sort_unstable();
    let newest = (6..=SAMPLES_MAX as u64 + 5).map(Duration::from_secs).collect::<Vec<_>>();
    assert_eq!(samples, newest);
    assert_eq!(scene.store.samples(!likeness).await.expect("read"), Vec::<Duration>::new());
    let scene = scene.reopened(place).await;
    assert_eq!(scene.store.samples(likeness).await.expect("read").len(), SAMPLES_MAX);
}

pub async fn what_nothing_was_learned_of_for_long_is_forgotten(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let day = Duration::from_secs(86_400);
    let named = |name: &str| NewJob { spec: spec(&[name]), ..scene.job() };
    for name in ["old", "older", "kept"] {
        scene.ran(named(name), 0).await;
    }
    scene.pass(day);
    scene.ran(named("kept"), 0).await;
    let forget = async |limit| scene.store.forget_samples(day / 2, limit, scene.now()).await.expect("done");
    assert_eq!((forget(1).await, forget(MANY).await, forget(MANY).await), (1, 1, 0));
    let left = async |name| scene.store.samples(named(name).spec.likeness()).await.expect("read").len();
    assert_eq!((left("old").await, left("older").await, left("kept").await), (0, 0, 2));
}
