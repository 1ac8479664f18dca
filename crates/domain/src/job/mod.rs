//! The job: the one durable thing. Every other thing that is shown anywhere is a view of it.

mod event;
mod fixture;
mod form;
mod lease;
mod machine;
mod outcome;
mod question;
mod retry;
mod spec;
mod state;

pub use event::{Event, EventKind, EventRecord};
pub use fixture::{FixtureEnd, FixtureSpec, FixtureStep};
pub use lease::{Lease, ProcessIdentity, Run};
pub use machine::{Effect, OPEN_QUESTIONS_MAX, Refusal, Step, apply, initial_state};
pub use outcome::{
    AttemptReport, FailReason, LeftoverProcess, Outcome, OutcomeStatus, OutputFacts, ReportedEnd, ResourceUse,
};
pub use question::{Answer, Decision, NewQuestion, Question, QuestionKind, QuestionSpec};
pub use retry::RetryPolicy;
pub use spec::{CommandLimits, CommandSpec, Deadlines, JobKind, JobSpec, OutputMode, QueueName, SpecProblem};
pub use state::{JobState, StateName, StopReason};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::{Conversation, Principal};
use crate::id::{AttemptNumber, JobId, JobNumber};
use crate::label::Labels;
use crate::time::Timestamp;

/// A job as it stands: what never changes after submit, and the state, which only [`apply`] decides.
///
/// What exactly would run is not here but in its [`JobSpec`], which is read only to start an attempt or to show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Name to everybody, for ever.
    pub id: JobId,
    /// Short name for people, given by the store.
    pub number: JobNumber,
    /// Grows by one with every change of the row; guards against lost updates.
    pub version: u64,
    /// What sort of work it is.
    pub kind: JobKind,
    /// Who submitted it and owns it.
    pub principal: Principal,
    /// The chat it belongs to.
    pub conversation: Option<Conversation>,
    /// Name given by the submitter.
    pub name: Option<String>,
    /// One line for lists, made from the spec.
    pub title: String,
    /// The line it stands in.
    pub queue: QueueName,
    /// Labels that the node must have that runs it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub requires: Labels,
    /// Higher runs first within its queue; 0 by default.
    pub priority: i16,
    /// When another attempt may follow a failed one.
    pub retry: RetryPolicy,
    /// Groups like commands, to learn how long they take.
    pub likeness: u64,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// Where it stands.
    pub state: JobState,
    /// Number of the newest attempt; the fencing token of its lease.
    pub attempt: AttemptNumber,
    /// Attempts that ran and failed; given-back attempts do not count.
    pub failures: u32,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// When its first attempt began to run.
    pub started_at: Option<Timestamp>,
    /// When it came into its present state.
    pub changed_at: Timestamp,
    /// Kept for ever by retention.
    pub pinned: bool,
    /// The output was removed by retention.
    pub output_expired: bool,
}

impl Job {
    /// Takes over what [`apply`] decided, as one new version of the row.
    pub fn advance(&mut self, step: Step, now: Timestamp) -> Vec<Effect> {
        self.version += 1;
        if self.state.name() != step.state.name() {
            self.changed_at = now;
        }
        self.state = step.state;
        self.attempt = step.attempt;
        self.failures = step.failures;
        self.started_at = step.started_at;
        step.effects
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            JobState::Finished { outcome, .. } => Some(outcome),
            _ => None,
        }
    }

    /// Since it began to run; once it has ended, what its last attempt took as the report says, or from its start to its
    /// end where nobody saw how long it ran. Absent if it never began.
    pub fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        let started = self.started_at?;
        let seen = self.outcome().and_then(|outcome| outcome.report.as_ref());
        Some(seen.map_or_else(|| self.finished_at().unwrap_or(now).since(started), |report| report.ran))
    }

    /// When its end was recorded, once it was. If no daemon heard of the end at once, the report tells of an earlier one.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match &self.state {
            JobState::Finished { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// Whether it has ended for good.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, JobState::Finished { .. })
    }
}
