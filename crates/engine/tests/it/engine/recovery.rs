//! What a new engine makes of what an earlier one left.

use std::time::Duration;

use longshore_domain::job::{FailReason, OutcomeStatus, RetryPolicy, StateName};
use longshore_domain::{Job, JobId};
use longshore_engine::ops::{Submit, WaitFor};
use longshore_testkit::CgroupFolder;

use super::kit::{Kit, LIMIT, owner, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_followed_on() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo before; {}; echo after; exit 5", gate.wait()))).await;
    kit.speaks(&job).await;
    kit.restart(|_| {}).await;
    let found = kit.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    assert_eq!((found.state.name(), found.attempt.0), (StateName::Running, 1));
    gate.open().await;
    let ended = kit.ended(&job).await;
    assert_eq!(ended.outcome().unwrap().report.as_ref().unwrap().exit_code, Some(5));
    assert_eq!((ended.attempt.0, kit.printed(&job).await.as_str()), (1, "before\nafter\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_meanwhile_has_its_outcome() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo begun; {}; exit 6", gate.wait()))).await;
    kit.speaks(&job).await;
    kit.engine.close(super::kit::LIMIT).await;
    gate.open().await;
    let record = kit.settings.run_dir.join(format!("{}.1.exit", job.number));
    while !record.exists() {
        tokio::task::yield_now().await;
    }
    kit.restart(|_| {}).await;
    let ended = kit.ended(&job).await;
    let report = ended.outcome().unwrap().report.as_ref().unwrap();
    assert_eq!((report.exit_code, ended.elapsed(ended.changed_at)), (Some(6), Some(report.ran)));
    while record.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_being_stopped_is_stopped_on() {
    let mut kit = Kit::new().await;
    let job = kit.submit(shell("trap 'echo told' TERM; echo ready; while :; do sleep 1000 & wait; done")).await;
    kit.speaks(&job).await;
    kit.engine.cancel(&owner(), &job.id.to_string(), None).await.unwrap();
    kit.restart(|_| {}).await;
    assert_eq!(kit.ended(&job).await.outcome().unwrap().status, OutcomeStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_an_unseen_end_is_lost_and_not_repeated() {
    let mut kit = Kit::new().await;
    let job = kit.submit(shell("echo ready; sleep 1000")).await;
    kit.speaks(&job).await;
    kit.restart(|settings| settings.node.boot = "another boot".into()).await;
    let ended = kit.ended(&job).await;
    let outcome = ended.outcome().unwrap();
    assert_eq!(outcome.reason, Some(FailReason::Lost));
    assert!(outcome.message.as_ref().unwrap().contains("restarted"), "{outcome:?}");
    assert_eq!((ended.attempt.0, kit.printed(&job).await.as_str()), (1, "ready\n"));
    // The machine was not really restarted: end what runs.
    stop_processes_of(&job.id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_shim_is_a_lost_attempt_repeated_only_if_allowed() {
    let kit = Kit::new().await;
    let marks = kit.path("marks");
    let line = format!("echo run >> {marks}; echo ready; test $(wc -l < {marks}) = 1 && sleep 1000; exit 0");
    let retry = RetryPolicy { retries_max: 1, backoff: Duration::from_millis(5), ..RetryPolicy::default() };
    for (retry, attempts) in [(RetryPolicy::default(), 1), (retry, 2)] {
        std::fs::remove_file(&marks).ok();
        let job = kit.submit(Submit { retry, ..shell(line.clone()) }).await;
        kit.speaks(&job).await;
        kill_shim_of(&job.id.to_string());
        let ended = kit.ended(&job).await;
        assert_eq!(ended.attempt.0, attempts);
        match attempts {
            1 => assert_eq!(ended.outcome().unwrap().reason, Some(FailReason::Lost)),
            _ => assert!(ended.outcome().unwrap().is_success(), "{:?}", ended.outcome()),
        }
        assert_eq!(processes_of(&job.id.to_string()), Vec::<u32>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cgroups_of_attempts_whose_shims_were_killed_are_emptied_and_removed() {
    let Some(folder) = CgroupFolder::make("recovery") else { return };
    let mut kit = Kit::with(|settings| settings.cgroup = Some(folder.path().to_owned())).await;
    let of = |job: &Job, attempt: u32| folder.path().join(format!("{}.{attempt}", job.id));
    let job = kit.submit(shell("env -i setsid sleep 1000 & echo ready; sleep 1000")).await;
    kit.speaks(&job).await;
    assert!(of(&job, 1).exists());
    kill_shim_of(&job.id.to_string());
    let outcome = kit.ended(&job).await.outcome().unwrap().clone();
    assert_eq!(outcome.reason, Some(FailReason::Lost));
    assert!(!of(&job, 1).exists(), "{outcome:?}");

    let gate = kit.gate("gate");
    let runs = kit.submit(shell(format!("echo ready; {}", gate.wait()))).await;
    kit.speaks(&runs).await;
    let stranger = folder.path().join(format!("{}.1", JobId::new(job.submitted_at, 1)));
    std::fs::create_dir(of(&job, 1)).unwrap();
    std::fs::create_dir(&stranger).unwrap();
    kit.restart(|_| {}).await;
    let swept = async {
        while of(&job, 1).exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, swept).await.expect("it goes while the engine runs");
    assert!(of(&runs, 1).exists() && stranger.exists());
    gate.open().await;
    assert!(kit.ended(&runs).await.outcome().unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_of_attempts_whose_end_is_stored_are_removed() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let done = kit.ended(&kit.submit(shell("true")).await).await;
    let runs = kit.submit(shell(format!("echo begun; {}", gate.wait()))).await;
    kit.speaks(&runs).await;
    let stale = ["exit", "sock", "exit.tmp"].map(|kind| kit.settings.run_dir.join(format!("{}.1.{kind}", done.number)));
    for path in &stale {
        std::fs::write(path, "{}").unwrap();
    }
    kit.restart(|_| {}).await;
    let removed = async {
        while stale.iter().any(|path| path.exists()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, removed).await.expect("they go while the engine runs");
    gate.open().await;
    assert!(kit.ended(&runs).await.outcome().unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_jobs_and_dependents_survive() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let first = kit.submit(shell(format!("echo begun; {}", gate.wait()))).await;
    let second = kit.submit(Submit { after: vec![first.id.to_string()], ..shell("echo second") }).await;
    let later = kit.engine.clock().now().plus(Duration::from_millis(100));
    let third = kit.submit(Submit { not_before: Some(later.into()), ..shell("echo third") }).await;
    kit.speaks(&first).await;
    kit.restart(|_| {}).await;
    gate.open().await;
    for job in [first, second, third] {
        assert!(kit.ended(&job).await.outcome().unwrap().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_engine_takes_nothing_new_lets_nobody_wait_and_stops_nothing() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(gate.wait())).await;
    kit.engine.drain();
    let fault = kit.refused(shell("true")).await;
    assert_eq!(fault.code, longshore_domain::FaultCode::StoreUnavailable);
    let waited = kit.engine.wait(&owner(), &[job.id.to_string()], WaitFor::All, LIMIT).await.unwrap();
    assert!(waited.timed_out);
    kit.restart(|_| {}).await;
    gate.open().await;
    assert!(kit.ended(&job).await.outcome().unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_shim_holds_nothing_up_and_is_followed_once_it_goes_on() {
    let mut kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo before; {}; exit 5", gate.wait()))).await;
    kit.speaks(&job).await;
    let shim = shim_of(&job.id.to_string());
    signal(shim, "STOP");
    // More starts than a shim that accepts nothing has room for.
    for _ in 0..12 {
        kit.restart(|_| {}).await;
    }
    let other = kit.ended(&kit.submit(shell("echo other")).await).await;
    assert!(other.outcome().unwrap().is_success());
    let found = kit.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    assert_eq!((found.state.name(), found.attempt.0), (StateName::Running, 1));
    signal(shim, "CONT");
    gate.open().await;
    let ended = kit.ended(&job).await;
    let report = ended.outcome().unwrap().report.clone().unwrap();
    assert_eq!((ended.attempt.0, report.exit_code), (1, Some(5)));
    assert_eq!(kit.printed(&job).await, "before\n");
}

pub(super) fn processes_of(job: &str) -> Vec<u32> {
    let variable = format!("LONGSHORE_JOB={job}");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter(|entry| {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|found| found == variable.as_bytes())
    });
    ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub(super) fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn stop_processes_of(job: &str) {
    processes_of(job).into_iter().for_each(|pid| signal(pid, "KILL"));
}

/// The shim is the parent of the first process of the attempt.
pub(super) fn shim_of(job: &str) -> u32 {
    let first = processes_of(job).into_iter().min().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

fn kill_shim_of(job: &str) {
    signal(shim_of(job), "KILL");
}
