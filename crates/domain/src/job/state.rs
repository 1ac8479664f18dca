//! Where a job stands. Each state carries what that state alone has.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::lease::{Lease, Run};
use super::outcome::Outcome;
use crate::id::QuestionId;
use crate::time::Timestamp;

/// Where a job stands. Only [`apply`](super::apply) makes a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a question before it may run.
    Held {
        /// The question.
        question: QuestionId,
        /// What it will wait for once the answer is yes.
        not_before: Option<Timestamp>,
        /// Jobs that must succeed first.
        after_left: u32,
    },
    /// Waits for an instant or for other jobs.
    Waiting {
        /// Not before this instant.
        until: Option<Timestamp>,
        /// Jobs that must succeed first.
        after_left: u32,
    },
    /// Ready to be claimed.
    Queued,
    /// Somebody holds the lease and has not started yet.
    Claimed {
        /// The right to write.
        lease: Lease,
    },
    /// The command runs.
    Running {
        /// The right to write.
        lease: Lease,
        /// The attempt.
        run: Run,
    },
    /// Runs, with open questions.
    Asking {
        /// The right to write.
        lease: Lease,
        /// The attempt.
        run: Run,
        /// The open questions, oldest first, at least one.
        open: Vec<QuestionId>,
    },
    /// The end was ordered and is not proved yet; still holds its capacity.
    Stopping {
        /// The right to write.
        lease: Lease,
        /// The attempt, if it had begun.
        run: Option<Run>,
        /// Why it is to end.
        why: StopReason,
    },
    /// Ended. Never changes.
    Finished {
        /// How.
        outcome: Outcome,
        /// When that was recorded.
        at: Timestamp,
    },
}

/// Why a job is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked for it.
    Cancelled {
        /// The reason given.
        reason: Option<String>,
    },
    /// Its hard deadline passed.
    Deadline,
}

impl StopReason {
    /// The reason as it is written everywhere.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Cancelled { .. } => "cancelled",
            Self::Deadline => "deadline",
        }
    }
}

/// A state without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    /// See [`JobState::Held`].
    Held,
    /// See [`JobState::Waiting`].
    Waiting,
    /// See [`JobState::Queued`].
    Queued,
    /// See [`JobState::Claimed`].
    Claimed,
    /// See [`JobState::Running`].
    Running,
    /// See [`JobState::Asking`].
    Asking,
    /// See [`JobState::Stopping`].
    Stopping,
    /// See [`JobState::Finished`].
    Finished,
}

impl StateName {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Waiting,
        Self::Queued,
        Self::Claimed,
        Self::Running,
        Self::Asking,
        Self::Stopping,
        Self::Finished,
    ];

    /// The name as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Running => "running",
            Self::Asking => "asking",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether somebody holds the lease in this state, so that it takes capacity.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Claimed | Self::Running | Self::Asking | Self::Stopping)
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JobState {
    /// The state without its contents.
    pub fn name(&self) -> StateName {
        match self {
            Self::Held { .. } => StateName::Held,
            Self::Waiting { .. } => StateName::Waiting,
            Self::Queued => StateName::Queued,
            Self::Claimed { .. } => StateName::Claimed,
            Self::Running { .. } => StateName::Running,
            Self::Asking { .. } => StateName::Asking,
            Self::Stopping { .. } => StateName::Stopping,
            Self::Finished { .. } => StateName::Finished,
        }
    }

    /// The state in words, with the reason of one that is `stopping`.
    pub fn in_words(&self) -> String {
        match self.stop_reason() {
            Some(why) => format!("{} ({})", self.name(), why.as_str()),
            None => self.name().to_string(),
        }
    }

    /// Why the attempt is to end, while it is `stopping`.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        match self {
            Self::Stopping { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The live lease, if somebody holds one.
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Claimed { lease }
            | Self::Running { lease, .. }
            | Self::Asking { lease, .. }
            | Self::Stopping { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// The running attempt, if one has begun.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Running { run, .. } | Self::Asking { run, .. } => Some(run),
            Self::Stopping { run, .. } => run.as_ref(),
            _ => None,
        }
    }

    /// The questions that wait for an answer, oldest first.
    pub fn open_questions(&self) -> &[QuestionId] {
        match self {
            Self::Held { question, .. } => std::slice::from_ref(question),
            Self::Asking { open, .. } => open,
            _ => &[],
        }
    }

    /// The instant before which a job that waits does not run.
    pub fn not_before(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { until, .. } => *until,
            Self::Held { not_before, .. } => *not_before,
            _ => None,
        }
    }

    /// How many jobs must succeed before this one runs.
    pub fn after_left(&self) -> u32 {
        match self {
            Self::Waiting { after_left, .. } | Self::Held { after_left, .. } => *after_left,
            _ => 0,
        }
    }

    /// The instant at which a waiting job falls due, if it waits for nothing but time.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { until, after_left: 0 } => Some(until.unwrap_or_default()),
            _ => None,
        }
    }
}
