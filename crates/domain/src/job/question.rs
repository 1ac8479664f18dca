//! Something that a person must decide, as a record of the job that waits for it.

use serde::{Deserialize, Serialize};

use crate::access::Principal;
use crate::id::{JobId, QuestionId};
use crate::time::Timestamp;

/// What sort of answer a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Yes or no to an exact plan.
    Approval,
    /// One of several options.
    Choice,
    /// Free text.
    Text,
    /// A flat form of primitive fields.
    Form,
}

/// A question; stored with its job, in the same transaction as the state that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Name of the question; never used again.
    pub id: QuestionId,
    /// The job that waits.
    pub job: JobId,
    /// What sort of answer it wants.
    pub kind: QuestionKind,
    /// What is asked, word for word, the same at every reading.
    pub prompt: String,
    /// Shape of the answer as JSON Schema, for `Choice` and `Form`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it counts as unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// The answer, once there is one. The first one stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// An answer: what was decided, by whom, through which channel, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was decided; a boolean for approvals.
    pub value: serde_json::Value,
    /// Who decided.
    pub decider: Principal,
    /// Through which door it came: `dashboard`, `cli`, `mcp`, `webhook`, `timeout`.
    pub channel: String,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub answered_at: Timestamp,
}
