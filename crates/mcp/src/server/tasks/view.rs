//! What a task of either generation shows of a job. Nothing of it is stored, so the two can never disagree.

use longshore_domain::Job;
use longshore_domain::job::{FailReason, JobState, Outcome, OutcomeStatus, ReportedEnd};
use serde::Serialize;

/// Where a task stands, in the words of both generations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    /// Whether it can change no more.
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What an ended job leaves to whoever called it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The result of the tool, which may report a failure.
    Result,
    /// No result, because the call itself came to nothing.
    Error,
    /// Somebody stopped it.
    Cancelled,
}

impl Ending {
    /// What the outcome leaves.
    pub(super) fn of(outcome: &Outcome) -> Self {
        use FailReason::{
            Blocked, Deadline, Denied, Exit, Gate, Internal, Lost, Policy, Push, Signal, Spawn, Unanswered, Upstream,
        };
        match (outcome.status, outcome.reason) {
            (OutcomeStatus::Succeeded | OutcomeStatus::Skipped, _) => Self::Result,
            (OutcomeStatus::Cancelled, _) => Self::Cancelled,
            (OutcomeStatus::Failed, Some(Exit | Signal | Denied | Unanswered | Policy | Gate | Push)) => Self::Result,
            (OutcomeStatus::Failed, None | Some(Spawn | Deadline | Lost | Upstream | Blocked | Internal)) => {
                Self::Error
            }
        }
    }
}

/// The status in the tasks extension. `asks` = the caller can be asked what the job waits for.
pub(super) fn modern(job: &Job, asks: bool) -> Status {
    match job.outcome().map(Ending::of) {
        Some(Ending::Result) => Status::Completed,
        Some(Ending::Error) => Status::Failed,
        Some(Ending::Cancelled) => Status::Cancelled,
        None if asks && waits_for_a_person(job) => Status::InputRequired,
        None => Status::Working,
    }
}

/// The status in the tasks of 2025-11-25, where a cancelled task is so from the moment it was asked for, and for ever.
pub(super) fn legacy(job: &Job, asks: bool, cancelled: bool) -> Status {
    match job.outcome() {
        _ if cancelled => Status::Cancelled,
        Some(outcome) if outcome.is_success() && !reports_an_error(outcome) => Status::Completed,
        Some(_) => Status::Failed,
        None if asks && waits_for_a_person(job) => Status::InputRequired,
        None => Status::Working,
    }
}

/// Whether the result says that the tool failed, though the job did what was asked.
fn reports_an_error(outcome: &Outcome) -> bool {
    outcome.report.as_ref().is_some_and(|report| report.end == Some(ReportedEnd::ToolError))
}

/// Whether the job goes on only once a person has answered.
pub(super) fn waits_for_a_person(job: &Job) -> bool {
    matches!(job.state, JobState::Held { .. } | JobState::Asking { .. })
}
