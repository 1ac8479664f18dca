//! Cancelling, deadlines, retries by hand, removal.

use std::time::Duration;

use longshore_domain::FaultCode;
use longshore_domain::job::{Deadlines, FailReason, OutcomeStatus, StateName};
use longshore_engine::ops::{Submit, WaitFor};

use super::kit::{Kit, code, owner, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_at_once() {
    let kit = Kit::new().await;
    let later = kit.engine.clock().now().plus(Duration::from_secs(3600));
    let job = kit.submit(Submit { not_before: Some(later.into()), ..shell("true") }).await;
    let job = kit.engine.cancel(&owner(), &job.id.to_string(), Some("changed my mind".into())).await.unwrap();
    let outcome = job.outcome().unwrap();
    assert_eq!((outcome.status, outcome.message.as_deref()), (OutcomeStatus::Cancelled, Some("changed my mind")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_stopped_with_its_whole_tree() {
    let kit = Kit::new().await;
    let job = kit.submit(shell("setsid sleep 1000 & echo ready; sleep 1000")).await;
    kit.speaks(&job).await;
    let name = job.id.to_string();
    let stopping = kit.engine.cancel(&owner(), &name, None).await.unwrap();
    assert!([StateName::Stopping, StateName::Finished].contains(&stopping.state.name()));
    let ended = kit.ended(&job).await;
    let outcome = ended.outcome().unwrap();
    assert_eq!(outcome.status, OutcomeStatus::Cancelled);
    let report = outcome.report.as_ref().unwrap();
    assert!(report.stopped && report.leftovers.iter().all(|process| process.stopped), "{report:?}");
    let mark = format!("LONGSHORE_JOB={name}");
    assert_eq!(processes_with(&mark), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_job_cannot_be_cancelled_and_never_changes() {
    let kit = Kit::new().await;
    let job = kit.ended(&kit.submit(shell("true")).await).await;
    let fault = kit.engine.cancel(&owner(), &job.id.to_string(), None).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::JobFinished);
    assert!(fault.why.unwrap().contains("succeeded"));
    assert_eq!(kit.engine.find(&owner().principal, &job.id.to_string()).await.unwrap(), job);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_job_and_says_so() {
    let kit = Kit::new().await;
    let deadlines = Deadlines { hard: Some(Duration::from_millis(50)), ..Deadlines::default() };
    let job = kit.submit(Submit { deadlines, ..shell("echo begun; sleep 1000") }).await;
    let ended = kit.ended(&job).await;
    assert_eq!(ended.outcome().unwrap().reason, Some(FailReason::Deadline));
    assert_eq!(kit.printed(&job).await, "begun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_retried_as_a_new_one() {
    let kit = Kit::new().await;
    let failed = kit.ended(&kit.submit(shell("exit 9")).await).await;
    let again = kit.engine.retry(&owner(), &failed.id.to_string()).await.unwrap().job;
    assert_eq!(again.retry_of, Some(failed.id));
    assert_ne!(again.id, failed.id);
    assert_eq!(kit.ended(&again).await.outcome().unwrap().report.as_ref().unwrap().exit_code, Some(9));

    let good = kit.ended(&kit.submit(shell("true")).await).await;
    let fault = kit.engine.retry(&owner(), &good.id.to_string()).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::StateConflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_finished_job_is_removed() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo something; {}", gate.wait()))).await;
    let name = job.id.to_string();
    assert_eq!(code(&kit.engine.remove(&owner(), &name).await.unwrap_err()), FaultCode::StateConflict);
    kit.speaks(&job).await;
    gate.open().await;
    kit.ended(&job).await;
    kit.engine.remove(&owner(), &name).await.unwrap();
    assert_eq!(code(&kit.engine.show(&owner(), &name).await.unwrap_err()), FaultCode::JobNotFound);
    assert!(!kit.settings.output_path(&job, longshore_domain::AttemptNumber(1)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_any_or_with_time() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let slow = kit.submit(shell(gate.wait())).await;
    let quick = kit.submit(shell("true")).await;
    let names = [slow.id.to_string(), quick.id.to_string()];
    let waited = kit.engine.wait(&owner(), &names, WaitFor::Any, super::kit::LIMIT).await.unwrap();
    assert!(!waited.timed_out && waited.jobs[1].is_finished() && !waited.jobs[0].is_finished());
    let waited = kit.engine.wait(&owner(), &names, WaitFor::All, Duration::ZERO).await.unwrap();
    assert!(waited.timed_out);
    assert_eq!(
        code(&kit.engine.wait(&owner(), &[], WaitFor::All, Duration::ZERO).await.unwrap_err()),
        FaultCode::InvalidArgument
    );
    gate.open().await;
    kit.ended(&slow).await;
}

/// Processes of this machine whose environment holds the variable.
fn processes_with(variable: &str) -> usize {
    let holds = |entry: &std::fs::DirEntry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|found| found == variable.as_bytes())
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(holds).count()
}
