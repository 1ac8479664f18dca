//! What can happen to a job, and the line of history that each event leaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lease::{Lease, ProcessIdentity};
use super::outcome::AttemptReport;
use super::question::{Answer, NewQuestion};
use super::state::StateName;
use crate::access::Principal;
use crate::id::{AttemptNumber, EventSeq, JobId, JobNumber, QuestionId};
use crate::time::{Timestamp, millis};

/// Something that happened, or that somebody asks for. Events say what is, never what should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The question before the start was answered with yes.
    Approved {
        /// The question.
        question: QuestionId,
        /// The answer.
        answer: Answer,
    },
    /// The question before the start was answered with no.
    Denied {
        /// The question.
        question: QuestionId,
        /// The answer.
        answer: Answer,
    },
    /// The deadline of the question passed.
    Unanswered {
        /// The question.
        question: QuestionId,
    },
    /// The time it waits for may have come.
    Due,
    /// A job that it waits for succeeded.
    DependencySucceeded {
        /// That job.
        on: JobId,
    },
    /// A job that it waits for ended otherwise.
    DependencyFailed {
        /// That job.
        on: JobId,
    },
    /// A holder took it for the next attempt.
    Claimed {
        /// The new lease; its token must be the next attempt's number.
        lease: Lease,
    },
    /// The holder gave it back before anything ran.
    GivenBack {
        /// Token of the holder.
        token: AttemptNumber,
        /// Why.
        reason: String,
    },
    /// The command began to run.
    Started {
        /// Token of the holder.
        token: AttemptNumber,
        /// The command's process.
        process: Option<ProcessIdentity>,
        /// When the hard deadline falls due.
        deadline_at: Option<Timestamp>,
    },
    /// The holder is still there.
    Renewed {
        /// Token of the holder.
        token: AttemptNumber,
        /// How long the lease lasts from now on, at least.
        #[serde(with = "millis", rename = "lease_ms")]
        lease: Duration,
    },
    /// The running job asks a person: all of these at once.
    Asked {
        /// Token of the holder.
        token: AttemptNumber,
        /// The questions, at least one.
        questions: Vec<NewQuestion>,
    },
    /// A question of the running job was answered.
    Answered {
        /// The question.
        question: QuestionId,
        /// The answer.
        answer: Answer,
    },
    /// Somebody wants it to end.
    CancelRequested {
        /// Who.
        by: Principal,
        /// The reason given.
        reason: Option<String>,
    },
    /// The hard deadline passed while it ran.
    DeadlinePassed {
        /// Token of the attempt.
        token: AttemptNumber,
    },
    /// The attempt ended and its end was seen.
    Ended {
        /// Token of the holder.
        token: AttemptNumber,
        /// What was seen.
        report: AttemptReport,
    },
    /// The attempt is proved to be over, and nobody saw how it ended.
    Lost {
        /// Token of the attempt.
        token: AttemptNumber,
        /// How that came to be, for people.
        message: String,
        /// What is known of it all the same.
        report: Option<AttemptReport>,
    },
    /// The lease ran out, and its holder is given up.
    Expired {
        /// Token of the lease.
        token: AttemptNumber,
        /// What became of the holder, for people.
        message: String,
        /// What is known of the attempt all the same.
        report: Option<AttemptReport>,
    },
}

/// The name of an event, as it is written in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the event of the same name; `Submitted` is the first line of every job")]
pub enum EventKind {
    Submitted,
    Approved,
    Denied,
    Unanswered,
    Due,
    DependencySucceeded,
    DependencyFailed,
    Claimed,
    GivenBack,
    Started,
    Renewed,
    Asked,
    Answered,
    CancelRequested,
    DeadlinePassed,
    Ended,
    Lost,
    Expired,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::Submitted,
        Self::Approved,
        Self::Denied,
        Self::Unanswered,
        Self::Due,
        Self::DependencySucceeded,
        Self::DependencyFailed,
        Self::Claimed,
        Self::GivenBack,
        Self::Started,
        Self::Renewed,
        Self::Asked,
        Self::Answered,
        Self::CancelRequested,
        Self::DeadlinePassed,
        Self::Ended,
        Self::Lost,
        Self::Expired,
    ];

    /// The name as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Unanswered => "unanswered",
            Self::Due => "due",
            Self::DependencySucceeded => "dependency_succeeded",
            Self::DependencyFailed => "dependency_failed",
            Self::Claimed => "claimed",
            Self::GivenBack => "given_back",
            Self::Started => "started",
            Self::Renewed => "renewed",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::CancelRequested => "cancel_requested",
            Self::DeadlinePassed => "deadline_passed",
            Self::Ended => "ended",
            Self::Lost => "lost",
            Self::Expired => "expired",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl Event {
    /// The name of the event.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Approved { .. } => EventKind::Approved,
            Self::Denied { .. } => EventKind::Denied,
            Self::Unanswered { .. } => EventKind::Unanswered,
            Self::Due => EventKind::Due,
            Self::DependencySucceeded { .. } => EventKind::DependencySucceeded,
            Self::DependencyFailed { .. } => EventKind::DependencyFailed,
            Self::Claimed { .. } => EventKind::Claimed,
            Self::GivenBack { .. } => EventKind::GivenBack,
            Self::Started { .. } => EventKind::Started,
            Self::Renewed { .. } => EventKind::Renewed,
            Self::Asked { .. } => EventKind::Asked,
            Self::Answered { .. } => EventKind::Answered,
            Self::CancelRequested { .. } => EventKind::CancelRequested,
            Self::DeadlinePassed { .. } => EventKind::DeadlinePassed,
            Self::Ended { .. } => EventKind::Ended,
            Self::Lost { .. } => EventKind::Lost,
            Self::Expired { .. } => EventKind::Expired,
        }
    }

    /// The sentence that the history keeps beside the event's name: a reason, a cause, an end. Never a secret.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Denied { answer, .. } => answer.reason.clone(),
            Self::CancelRequested { reason, .. } => reason.clone(),
            Self::DependencySucceeded { on } | Self::DependencyFailed { on } => Some(on.to_string()),
            Self::Claimed { lease } => Some(lease.holder.to_string()),
            Self::GivenBack { reason, .. } => Some(reason.clone()),
            Self::Started { process: Some(process), .. } => Some(format!("process {}", process.pid)),
            Self::Asked { questions, .. } => {
                let ids: Vec<_> = questions.iter().map(|question| question.id.to_string()).collect();
                Some(ids.join(" "))
            }
            Self::Answered { question, .. } | Self::Unanswered { question } => Some(question.to_string()),
            Self::Lost { message, .. } | Self::Expired { message, .. } => Some(message.clone()),
            Self::Ended { report, .. } => report.verdict().2,
            _ => None,
        }
    }
}

/// One line of a job's history, written in the same transaction as the change it tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Position in the history of the whole store.
    pub seq: EventSeq,
    /// The job.
    pub job: JobId,
    /// The job's short name.
    pub number: JobNumber,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Where the job stood afterwards.
    pub state: StateName,
    /// The newest attempt at that time.
    pub attempt: AttemptNumber,
    /// A reason, a cause, an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
