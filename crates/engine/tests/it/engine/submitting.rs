//! What is accepted, what is refused, and when it runs.

use std::time::Duration;

use longshore_domain::job::{FailReason, OutcomeStatus, RetryPolicy, StateName};
use longshore_domain::{FaultCode, Position, When};
use longshore_engine::ops::Submit;

use super::kit::{Kit, code, owner, shell};

/// What is said of a difference in what only a digest is kept of.
const UNSEEN: &str = "another environment, start time or list of jobs to wait for";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_becomes_an_outcome() {
    let kit = Kit::new().await;
    let job = kit.submit(shell("echo out; echo err >&2; exit 3")).await;
    let ended = kit.ended(&job).await;
    let outcome = ended.outcome().unwrap();
    assert_eq!((outcome.status, outcome.reason), (OutcomeStatus::Failed, Some(FailReason::Exit)));
    assert_eq!(outcome.report.as_ref().unwrap().exit_code, Some(3));
    assert_eq!(kit.printed(&job).await, "out\nerr\n");
    assert!(ended.submitted_at <= ended.started_at.unwrap() && ended.started_at <= ended.finished_at());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_run_makes_no_job() {
    let kit = Kit::new().await;
    let cases = [
        (Submit { command: vec![], ..shell("") }, FaultCode::InvalidArgument, "command"),
        (Submit { cwd: "/no/such/folder".into(), ..shell("true") }, FaultCode::InvalidArgument, "does not exist"),
        (Submit { cwd: "/etc/passwd".into(), ..shell("true") }, FaultCode::InvalidArgument, "not a directory"),
        (Submit { queue: Some("a b".into()), ..shell("true") }, FaultCode::InvalidArgument, "queue"),
        (Submit { name: Some(String::new()), ..shell("true") }, FaultCode::InvalidArgument, "name"),
        (Submit { key: Some("k".repeat(256)), ..shell("true") }, FaultCode::InvalidArgument, "key"),
        (
            Submit { retry: RetryPolicy { retries_max: 101, ..RetryPolicy::default() }, ..shell("true") },
            FaultCode::InvalidArgument,
            "retry",
        ),
        (Submit { after: vec!["j_none".into()], ..shell("true") }, FaultCode::JobNotFound, "j_none"),
        (Submit { command: vec!["x".repeat(10 * 1024 * 1024)], ..shell("") }, FaultCode::TooLarge, "command"),
    ];
    for (request, expected, word) in cases {
        let fault = kit.refused(request).await;
        assert_eq!(code(&fault), expected, "{fault:?}");
        assert!(fault.message.contains(word), "{fault:?}");
        assert!(fault.next.is_some() || expected == FaultCode::InvalidArgument, "{fault:?}");
    }
    let counts = kit.engine.store().counts().await.unwrap();
    assert_eq!((counts.finished, counts.unfinished.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_a_failed_job_that_says_so() {
    let kit = Kit::new().await;
    let job =
        kit.submit(Submit { command: vec!["no-such-program".into()], cwd: "/".into(), ..Submit::default() }).await;
    let ended = kit.ended(&job).await;
    let outcome = ended.outcome().unwrap();
    assert_eq!(outcome.reason, Some(FailReason::Spawn));
    assert!(outcome.message.as_ref().unwrap().contains("no-such-program"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_job() {
    let kit = Kit::new().await;
    let marks = kit.path("marks");
    let request = || Submit { key: Some("intent".into()), ..shell(format!("echo ran >> {marks}")) };
    let requests = (0..8).map(|_| {
        let (engine, request) = (kit.engine.clone(), request());
        tokio::spawn(async move { engine.submit(&owner(), request).await.unwrap() })
    });
    let mut accepted = vec![];
    for request in requests.collect::<Vec<_>>() {
        accepted.push(request.await.unwrap());
    }
    assert!(accepted.iter().all(|other| other.job.id == accepted[0].job.id));
    assert_eq!(accepted.iter().filter(|other| !other.existing).count(), 1);
    kit.ended(&accepted[0].job).await;
    assert_eq!(std::fs::read_to_string(&marks).unwrap(), "ran\n");

    let cases = [
        ("another command", Submit { command: vec!["something else".into()], ..request() }),
        ("another command", Submit { shell: false, ..request() }),
        ("another name", Submit { name: Some("n".into()), ..request() }),
        ("another priority, retries", Submit { priority: 1, retry: RetryPolicy::times(2), ..request() }),
        ("another cwd, queue", Submit { cwd: kit.path(""), queue: Some("other".into()), ..request() }),
        (UNSEEN, Submit { env: [("A".into(), "b".into())].into(), ..request() }),
        (UNSEEN, Submit { not_before: Some(When::In { length: Duration::from_secs(60) }), ..request() }),
        (UNSEEN, Submit { after: vec!["#1".into()], ..request() }),
    ];
    for (differs, request) in cases {
        let fault = kit.refused(request).await;
        assert_eq!(code(&fault), FaultCode::IdempotencyConflict);
        let why = format!("job {} was submitted with this key and {differs}", accepted[0].job.id);
        assert_eq!(fault.why.as_deref(), Some(why.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_after_those_it_waits_for() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let first = kit.submit(shell(gate.wait())).await;
    let second = kit.submit(Submit { after: vec![first.id.to_string()], ..shell("echo second") }).await;
    let third = kit.submit(Submit { after: vec![format!("#{}", second.number)], ..shell("echo third") }).await;
    assert_eq!(second.state.name(), StateName::Waiting);
    gate.open().await;
    let third = kit.ended(&third).await;
    let second = kit.ended(&second).await;
    assert!(third.outcome().unwrap().is_success());
    assert!(second.finished_at() <= third.started_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_though_its_submitter_leaves_in_the_middle() {
    let kit = Kit::new().await;
    for number in 0..20 {
        let request = || Submit { key: Some(format!("intent {number}")), ..shell("true") };
        // Begins, and goes away before the store has answered.
        let left = tokio::time::timeout(Duration::ZERO, kit.engine.submit(&owner(), request())).await;
        let again = kit.engine.submit(&owner(), request()).await.unwrap();
        assert!(again.existing || left.is_err());
        assert!(kit.ended(&again.job).await.outcome().unwrap().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_submit_finds_its_job_though_what_it_needs_is_gone() {
    let kit = Kit::new().await;
    let cwd = kit.path("gone");
    std::fs::create_dir(&cwd).unwrap();
    let first = kit.submit(shell("true")).await;
    kit.ended(&first).await;
    let request = || {
        let after = vec![first.id.to_string()];
        Submit { key: Some("intent".into()), cwd: cwd.clone(), after, ..shell(format!("rmdir {cwd}")) }
    };
    let job = kit.submit(request()).await;
    assert!(kit.ended(&job).await.outcome().unwrap().is_success());
    kit.engine.remove(&owner(), &first.id.to_string()).await.unwrap();
    let again = kit.engine.submit(&owner(), request()).await.unwrap();
    assert_eq!((again.existing, again.job.id), (true, job.id));
    let other = Submit { key: Some("intent".into()), cwd: cwd.clone(), ..shell("something else") };
    assert!(kit.refused(other).await.message.contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_blocks_all_that_wait_for_it() {
    let kit = Kit::new().await;
    let first = kit.submit(shell("exit 1")).await;
    let second = kit.submit(Submit { after: vec![first.id.to_string()], ..shell("true") }).await;
    let third = kit.submit(Submit { after: vec![second.id.to_string()], ..shell("true") }).await;
    let third = kit.ended(&third).await;
    let second = kit.ended(&second).await;
    for (job, cause) in [(&second, first.id), (&third, second.id)] {
        let outcome = job.outcome().unwrap();
        assert_eq!((outcome.reason, outcome.cause), (Some(FailReason::Blocked), Some(cause)));
        assert_eq!(job.started_at, None);
    }
    let late = kit.submit(Submit { after: vec![first.id.to_string()], ..shell("true") }).await;
    assert_eq!(late.outcome().unwrap().reason, Some(FailReason::Blocked));
    let fault = kit.engine.retry(&owner(), &second.id.to_string()).await.unwrap_err();
    assert!(code(&fault) == FaultCode::StateConflict && fault.message.contains(&first.id.to_string()), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_repeated_as_often_as_allowed() {
    let kit = Kit::new().await;
    let marks = kit.path("marks");
    let retry = RetryPolicy { retries_max: 3, backoff: Duration::from_millis(5), ..RetryPolicy::default() };
    let line = format!("echo try >> {marks}; test $(wc -l < {marks}) = 3");
    let job = kit.submit(Submit { retry, ..shell(line) }).await;
    let ended = kit.ended(&job).await;
    assert!(ended.outcome().unwrap().is_success());
    assert_eq!((ended.attempt.0, ended.failures), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_for_later_waits_until_it_is_due() {
    let kit = Kit::new().await;
    let due = kit.engine.clock().now().plus(Duration::from_millis(60));
    let job = kit.submit(Submit { not_before: Some(due.into()), ..shell("true") }).await;
    assert_eq!(job.state.name(), StateName::Waiting);
    assert!(kit.ended(&job).await.started_at.unwrap() >= due);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_queue_runs_one_job_at_a_time_by_priority() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let narrow = |line: String, priority| Submit { queue: Some("narrow".into()), priority, ..shell(line) };
    let first = kit.submit(narrow(format!("echo runs; {}", gate.wait()), 0)).await;
    kit.speaks(&first).await;
    let low = kit.submit(narrow("true".into(), 0)).await;
    let high = kit.submit(narrow("true".into(), 5)).await;
    let view = kit.engine.show(&owner(), &low.id.to_string()).await.unwrap();
    assert_eq!((view.job.state.name(), view.position), (StateName::Queued, Some(Position::behind(1))));
    gate.open().await;
    let (first, low, high) = (kit.ended(&first).await, kit.ended(&low).await, kit.ended(&high).await);
    assert!(first.finished_at() <= high.started_at && high.finished_at() <= low.started_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_jobs_than_slots_all_run() {
    let kit = Kit::with(|settings| settings.node.capacity = 2).await;
    let mut jobs = vec![];
    for _ in 0..40 {
        jobs.push(kit.submit(shell("true")).await);
    }
    for job in jobs {
        assert!(kit.ended(&job).await.outcome().unwrap().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sees_the_environment_it_may_see() {
    let kit = Kit::new().await;
    let mut request = shell("echo $PATH:$SECRET:$NAMED:$TERM");
    request.inherited = [("PATH", "/usr/bin:/bin"), ("SECRET", "x"), ("BASH_ENV", "/tmp/evil")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    request.env = [("NAMED".to_owned(), "yes".to_owned())].into();
    let job = kit.submit(request).await;
    assert_eq!(kit.printed(&job).await, "/usr/bin:/bin::yes:dumb\n");
}
