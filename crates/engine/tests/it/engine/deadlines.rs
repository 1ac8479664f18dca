//! Deadlines that pass while a command goes on.

use std::time::Duration;

use longshore_domain::job::{Deadlines, EventKind, FailReason, OutcomeStatus, RetryPolicy, StateName, StopReason};
use longshore_domain::{EventSeq, Job};
use longshore_engine::ops::Submit;

use super::kit::{Kit, LIMIT, owner, shell};
use super::recovery::{processes_of, shim_of, signal};

const HOUR: Duration = Duration::from_secs(3_600);
/// Goes on when it is asked to end.
const STUBBORN: &str = "trap '' TERM; echo ready; exec sleep 1000";

/// Long enough for a command to get ready.
const SOON: Duration = Duration::from_secs(1);

/// Never ends by itself, and its deadline comes soon.
fn stubborn(grace: Duration) -> Submit {
    let deadlines = Deadlines { hard: Some(SOON), grace, ..Deadlines::default() };
    Submit { deadlines, ..shell(STUBBORN) }
}

/// The job once it is being stopped.
async fn stopping(kit: &Kit, job: &Job) -> Job {
    let mut seen = kit.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    while seen.state.name() != StateName::Stopping {
        assert!(!seen.is_finished(), "{:?}", seen.state);
        seen = kit.engine.wait_change(&seen, LIMIT).await.unwrap();
    }
    seen
}

async fn count(kit: &Kit, job: &Job, kind: EventKind) -> usize {
    let name = job.id.to_string();
    let (events, _) = kit.engine.events(&owner(), Some(&name), EventSeq(0), Duration::ZERO).await.unwrap();
    events.into_iter().filter(|event| event.kind == kind).count()
}

fn kill(job: &Job) {
    processes_of(&job.id.to_string()).into_iter().for_each(|pid| signal(pid, "KILL"));
}

/// Stops the shim of a job, and returns once it stands still.
fn freeze(job: &Job) {
    let shim = shim_of(&job.id.to_string());
    signal(shim, "STOP");
    while !std::fs::read_to_string(format!("/proc/{shim}/stat")).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_being_stopped_from_its_deadline_to_its_end() {
    let kit = Kit::new().await;
    let job = kit.submit(stubborn(HOUR)).await;
    let seen = stopping(&kit, &job).await;
    assert_eq!(
        (seen.state.stop_reason(), seen.state.in_words().as_str()),
        (Some(&StopReason::Deadline), "stopping (deadline)")
    );
    kill(&job);
    let outcome = kit.ended(&job).await.outcome().unwrap().clone();
    assert_eq!((outcome.status, outcome.reason), (OutcomeStatus::Failed, Some(FailReason::Deadline)));
    let report = outcome.report.unwrap();
    assert!(report.deadline_passed && !report.stopped, "{report:?}");
    assert_eq!(count(&kit, &job, EventKind::DeadlinePassed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_follows_a_deadline_unless_the_job_is_cancelled() {
    let kit = Kit::new().await;
    let retry = RetryPolicy { retries_max: 1, backoff: Duration::from_millis(5), ..RetryPolicy::default() };
    for cancelled in [false, true] {
        let job = kit.submit(Submit { retry: retry.clone(), ..stubborn(HOUR) }).await;
        stopping(&kit, &job).await;
        if cancelled {
            kit.engine.cancel(&owner(), &job.id.to_string(), None).await.unwrap();
        }
        kill(&job);
        if !cancelled {
            while count(&kit, &job, EventKind::Started).await < 2 {
                tokio::task::yield_now().await;
            }
            kill(&job);
        }
        let ended = kit.ended(&job).await;
        let outcome = ended.outcome().unwrap();
        assert_eq!((ended.attempt.0, outcome.status), (if cancelled { 1 } else { 2 }, OutcomeStatus::Failed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_does_not_pass_is_not_told_of() {
    let kit = Kit::new().await;
    let deadlines = Deadlines { hard: Some(LIMIT), ..Deadlines::default() };
    let job = kit.submit(Submit { deadlines, ..shell("true") }).await;
    assert!(kit.ended(&job).await.outcome().unwrap().is_success());
    assert_eq!(count(&kit, &job, EventKind::DeadlinePassed).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_without_a_daemon_is_told_of_by_the_next() {
    let mut kit = Kit::new().await;
    let job = kit.submit(stubborn(HOUR)).await;
    kit.speaks(&job).await;
    kit.restart(|_| {}).await;
    let seen = stopping(&kit, &job).await;
    assert_eq!(seen.state.stop_reason(), Some(&StopReason::Deadline));
    kit.restart(|_| {}).await;
    kill(&job);
    assert_eq!(kit.ended(&job).await.outcome().unwrap().reason, Some(FailReason::Deadline));
    assert_eq!(count(&kit, &job, EventKind::DeadlinePassed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_shim_is_woken_to_end_what_is_overdue_or_cancelled() {
    let mut kit = Kit::new().await;
    let overdue = kit.submit(stubborn(Duration::ZERO)).await;
    let cancelled = kit.submit(shell("echo ready; sleep 1000")).await;
    for (job, restarted) in [(&overdue, true), (&cancelled, false)] {
        kit.speaks(job).await;
        freeze(job);
        if restarted {
            kit.restart(|_| {}).await;
        }
    }
    kit.engine.cancel(&owner(), &cancelled.id.to_string(), None).await.unwrap();
    assert_eq!(kit.ended(&cancelled).await.outcome().unwrap().status, OutcomeStatus::Cancelled);
    let outcome = kit.ended(&overdue).await.outcome().unwrap().clone();
    assert_eq!(outcome.reason, Some(FailReason::Deadline), "{outcome:?}");
    assert_eq!(processes_of(&overdue.id.to_string()), Vec::<u32>::new());
}
