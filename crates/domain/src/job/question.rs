//! Something that a person must decide, as a record of the job that waits for it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::form;
use super::spec::{SpecProblem, problem, too_large};
use crate::access::Principal;
use crate::id::{AttemptNumber, JobId, QuestionId};
use crate::time::{Timestamp, millis};

/// What sort of answer a question wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Yes or no to an exact plan; for persons only (design rule 9).
    Approval,
    /// One of several options.
    Choice,
    /// Free text.
    Text,
    /// A flat form of primitive fields.
    Form,
}

impl QuestionKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Approval, Self::Choice, Self::Text, Self::Form];

    /// The kind as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Choice => "choice",
            Self::Text => "text",
            Self::Form => "form",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What is to be asked, worded once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionSpec {
    /// Name by which the asker finds it again: 1 to 64 of `a-z A-Z 0-9 . _ -`, once in each attempt.
    pub key: String,
    /// What sort of answer it wants.
    pub kind: QuestionKind,
    /// What is asked, word for word.
    pub prompt: String,
    /// Shape of the answer as JSON Schema, for `Choice` and `Form` alone: a string with `enum`, or an object of
    /// primitive fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// How long it stays open. Absent = as long as its attempt.
    #[serde(default, with = "millis::option", rename = "deadline_ms", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
}

impl QuestionSpec {
    /// Longest key, in bytes.
    pub const KEY_BYTES_MAX: usize = 64;
    /// Longest prompt, in characters.
    pub const PROMPT_CHARS_MAX: usize = 4000;
    /// Largest schema, in bytes of JSON.
    pub const SCHEMA_BYTES_MAX: usize = 16 * 1024;

    /// Checks that it can be asked and answered.
    ///
    /// # Errors
    /// The first problem found; nothing should be asked.
    pub fn check(&self) -> Result<(), SpecProblem> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !(1..=Self::KEY_BYTES_MAX).contains(&self.key.len()) || !self.key.chars().all(good) {
            return problem("key", "must be 1 to 64 letters, digits, dots, dashes or underscores");
        }
        if self.prompt.trim().is_empty() {
            return problem("prompt", "is empty: say what is asked");
        }
        let chars = self.prompt.chars().count();
        if chars > Self::PROMPT_CHARS_MAX {
            return too_large("prompt", format!("has {chars} characters; at most {} fit", Self::PROMPT_CHARS_MAX));
        }
        if self.deadline == Some(Duration::ZERO) {
            return problem("deadline_ms", "must be longer than zero");
        }
        if self.schema.as_ref().is_some_and(|schema| schema.to_string().len() > Self::SCHEMA_BYTES_MAX) {
            return too_large("schema", format!("has more than {} bytes", Self::SCHEMA_BYTES_MAX));
        }
        form::check_schema(self.kind, self.schema.as_ref()).or_else(|wrong| problem("schema", wrong))
    }
}

/// A question that has its name and is about to be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewQuestion {
    /// Its name; random, never used before.
    pub id: QuestionId,
    /// What is asked.
    pub spec: QuestionSpec,
}

/// A question; stored with its job, in the same transaction as the state that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Name of the question; never used again.
    pub id: QuestionId,
    /// The job that waits.
    pub job: JobId,
    /// The attempt that asked; a later one asks anew, under new names.
    pub attempt: AttemptNumber,
    /// Name by which the asker finds it again, once in each attempt.
    pub key: String,
    /// What sort of answer it wants.
    pub kind: QuestionKind,
    /// What is asked, word for word, the same at every reading.
    pub prompt: String,
    /// Shape of the answer as JSON Schema, for `Choice` and `Form`; the same at every reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When it counts as unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
    /// When it was answered, ran out, or lost its meaning because its attempt was over; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// The answer. The first one stands. Closed without one = nobody answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

impl Question {
    /// Longest answer, in bytes of JSON.
    pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

    /// A question that `attempt` of `job` asks `at` that instant.
    pub fn new(new: NewQuestion, job: JobId, attempt: AttemptNumber, at: Timestamp) -> Self {
        let NewQuestion { id, spec: QuestionSpec { key, kind, prompt, schema, deadline } } = new;
        let deadline_at = deadline.map(|deadline| at.plus(deadline));
        Self { id, job, attempt, key, kind, prompt, schema, asked_at: at, deadline_at, closed_at: None, answer: None }
    }

    /// Whether it can still be answered.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// Checks that a decision is one that this question can have.
    ///
    /// # Errors
    /// What is wrong with it, and what was expected.
    pub fn check(&self, decision: &Decision) -> Result<(), SpecProblem> {
        let Decision::Accepted(value) = decision else { return Ok(()) };
        let bytes = value.to_string().len();
        if bytes > Self::ANSWER_BYTES_MAX {
            return too_large("answer", format!("has {bytes} bytes; at most {} fit", Self::ANSWER_BYTES_MAX));
        }
        form::check_answer(self.kind, self.schema.as_ref(), value).or_else(|wrong| problem("answer", wrong))
    }
}

/// What was decided. Each of these closes the question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", content = "value", rename_all = "snake_case")]
pub enum Decision {
    /// The value asked for; a boolean for approvals.
    Accepted(Value),
    /// An explicit refusal to answer.
    Declined,
    /// Put away without a choice.
    Dismissed,
}

/// An answer: what was decided, by whom, through which channel, and why. When: the instant the question was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
    /// Who decided.
    pub decider: Principal,
    /// Through which door it came: `dashboard`, `cli`, `http`, `mcp`, `webhook`.
    pub channel: String,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
