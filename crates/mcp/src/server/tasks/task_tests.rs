use longshore_domain::job::{
    AttemptReport, FailReason, JobKind, JobState, Lease, OutcomeStatus, QueueName, ReportedEnd, RetryPolicy, StateName,
    StopReason,
};
use longshore_domain::{AttemptNumber, JobNumber, NodeId, Nonce, Outcome, Position, Principal, QuestionId};

use super::super::view::{self, Ending};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn at(after: Duration) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000).plus(after)
}

fn job(state: JobState) -> Job {
    Job {
        id: JobId::new(at(Duration::ZERO), 1),
        number: JobNumber(1),
        version: 1,
        kind: JobKind::Command,
        principal: Principal::agent("owner"),
        conversation: None,
        name: None,
        title: "make all".into(),
        queue: QueueName::default(),
        requires: longshore_domain::Labels::default(),
        priority: 0,
        retry: RetryPolicy::default(),
        likeness: 0,
        retry_of: None,
        state,
        attempt: AttemptNumber(1),
        failures: 0,
        submitted_at: at(Duration::ZERO),
        started_at: None,
        changed_at: at(Duration::ZERO),
        pinned: false,
        output_expired: false,
    }
}

fn question() -> QuestionId {
    QuestionId::new(at(Duration::ZERO), 1)
}

fn lease() -> Lease {
    Lease {
        token: AttemptNumber(1),
        holder: NodeId::new(at(Duration::ZERO), 1),
        boot: "b".into(),
        nonce: Nonce::new(1),
        until: at(HOUR),
    }
}

fn finished(outcome: Outcome) -> Job {
    job(JobState::Finished { outcome, at: at(Duration::ZERO) })
}

fn outcome(status: OutcomeStatus, reason: Option<FailReason>) -> Outcome {
    Outcome { status, reason, message: None, cause: None, report: None::<AttemptReport> }
}

#[test]
fn unfinished_jobs_are_shown_by_generation_and_by_what_the_caller_can_be_asked() {
    use Status::{Cancelled, InputRequired, Working};
    let held = JobState::Held { question: question(), not_before: None, after_left: 0 };
    let waiting = JobState::Waiting { until: None, after_left: 1 };
    let cancelled = StopReason::Cancelled { reason: None };
    let stopping = |why| JobState::Stopping { lease: lease(), run: None, why };
    // state, cancel on record; extension unasked, asked; legacy unasked, asked
    let table = [
        (held.clone(), false, [Working, InputRequired, Working, InputRequired]),
        (waiting, false, [Working; 4]),
        (JobState::Queued, false, [Working; 4]),
        (JobState::Claimed { lease: lease() }, false, [Working; 4]),
        (stopping(cancelled), true, [Working, Working, Cancelled, Cancelled]),
        (stopping(StopReason::Deadline), false, [Working; 4]),
    ];
    for (state, cancelled, expected) in table {
        let job = job(state);
        let found = [
            view::modern(&job, false),
            view::modern(&job, true),
            view::legacy(&job, false, cancelled),
            view::legacy(&job, true, cancelled),
        ];
        assert_eq!(found, expected, "{:?}", job.state.name());
    }
}

#[test]
fn every_outcome_has_its_ending_in_both_generations() {
    use FailReason::{Denied, Exit, Gate, Policy, Push, Signal, Unanswered};
    use OutcomeStatus::{Failed, Skipped, Succeeded};
    let shown = |outcome: Outcome| {
        let job = finished(outcome);
        (view::modern(&job, true), view::legacy(&job, true, false), error(&job).is_some())
    };
    for status in [Succeeded, Skipped] {
        assert_eq!(shown(outcome(status, None)), (Status::Completed, Status::Completed, false));
    }
    assert_eq!(shown(Outcome::cancelled(None)).0, Status::Cancelled);
    for reason in FailReason::ALL {
        let with_result = [Exit, Signal, Denied, Unanswered, Policy, Gate, Push].contains(&reason);
        let expected = match with_result {
            true => (Status::Completed, Status::Failed, false),
            false => (Status::Failed, Status::Failed, true),
        };
        assert_eq!(shown(outcome(Failed, Some(reason))), expected, "{reason}");
    }
    // Work that ended by itself after it was cancelled is a success in one generation, and stays cancelled in the other.
    let late = finished(outcome(Succeeded, None));
    assert_eq!((view::modern(&late, true), view::legacy(&late, true, true)), (Status::Completed, Status::Cancelled));
    assert_eq!(Ending::of(&outcome(Failed, None)), Ending::Error);
    // A result that says that the tool failed is one in one generation, and a failure in the other.
    let end = Some(ReportedEnd::ToolError);
    let report = AttemptReport { end, ..AttemptReport::default() };
    let reported = finished(Outcome { report: Some(report), ..outcome(Succeeded, None) });
    let shown = (view::modern(&reported, true), view::legacy(&reported, true, false));
    assert_eq!(shown, (Status::Completed, Status::Failed));
}

#[test]
fn the_life_of_a_task_counts_from_its_creation_and_grows_while_it_runs() {
    let retention = Retention { output: 7 * DAY, record: 90 * DAY, output_bytes_max: 1 };
    let running = job(JobState::Queued);
    let life = |job: &Job, after: Duration| ttl(job, at(after), &retention);
    for (after, expected) in [
        (Duration::ZERO, 7 * DAY),
        (HOUR - Duration::from_millis(1), 7 * DAY),
        (HOUR, 7 * DAY + HOUR),
        (100 * DAY, 107 * DAY),
    ] {
        assert_eq!(life(&running, after), Some(expected), "{after:?}");
    }
    let mut ended = job(JobState::Finished { outcome: Outcome::cancelled(None), at: at(2 * HOUR) });
    assert_eq!(life(&ended, 50 * DAY), Some(7 * DAY + 2 * HOUR));
    ended.pinned = true;
    assert_eq!(life(&ended, DAY), None);
    let short = Retention { record: HOUR, ..retention.clone() };
    assert_eq!(ttl(&running, at(Duration::ZERO), &short), Some(HOUR));
    // What is kept for less than a step: still, no unfinished task is older than its life.
    let shorter = Retention { output: Duration::from_secs(60), ..retention };
    for (seconds, expected) in [(0, 60), (59, 60), (60, 120), (1800, 1860), (7199, 7200)] {
        let life = ttl(&running, at(Duration::from_secs(seconds)), &shorter);
        assert_eq!(life, Some(Duration::from_secs(expected)), "{seconds} s");
    }
}

fn view(job: Job, seconds: u64) -> JobView {
    JobView {
        job,
        at: at(Duration::from_secs(seconds)),
        elapsed: Some(Duration::from_secs(seconds)),
        estimate: None,
        remaining: None,
        progress: None,
        output_bytes: Some(0),
        silent_for: None,
        position: Some(Position::behind(3)),
        poll_after: Duration::from_secs(5),
    }
}

#[test]
fn a_client_that_is_asked_itself_looks_again_soon() {
    let view = view(job(JobState::Queued), 1);
    let pause = |status| Task::new(&view, status, None, &Retention::default()).poll_after;
    assert_eq!(pause(Status::Working), Some(Duration::from_secs(5)));
    assert_eq!(pause(Status::InputRequired), Some(Duration::from_secs(2)));
    assert_eq!(pause(Status::Completed), None);
}

#[test]
fn the_message_names_state_and_work_and_does_not_change_with_the_clock() {
    let queued = job(JobState::Queued);
    assert_eq!(message(&view(queued.clone(), 1), None), "queued: make all, 3 before it in the queue");
    assert_eq!(message(&view(queued.clone(), 1), None), message(&view(queued.clone(), 99), None));
    assert_eq!(queued.state.name(), StateName::Queued);
    let held = message(&view(queued, 1), Some("a person must answer"));
    assert_eq!(held, "queued: make all, 3 before it in the queue; a person must answer");
    let failed = finished(Outcome::failed(FailReason::Lost, "nobody saw how it ended"));
    assert_eq!(message(&view(failed.clone(), 1), None), "failed (lost: nobody saw how it ended): make all");
    let error = error(&failed).unwrap();
    assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32603), &json!("lost")));
    assert_eq!(error["message"], "failed (lost: nobody saw how it ended)");
}
