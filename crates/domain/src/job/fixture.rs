//! Work that does nothing but sleep, ask and end as its script says: for tests of everything around a job.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::{FailReason, ReportedEnd};
use super::question::{Decision, Question, QuestionSpec};
use super::spec::{SpecProblem, problem, too_large};
use crate::time::{format_length, millis};

/// A script. Each attempt plays it from its start; played again after a restart it skips what is already over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixtureSpec {
    /// What it does, in this order.
    #[serde(default)]
    pub steps: Vec<FixtureStep>,
    /// How it ends after the last step.
    pub end: FixtureEnd,
    /// How long it may run, counted from its start. Absent = for ever.
    #[serde(default, with = "millis::option", rename = "deadline_ms", skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixtureStep {
    /// Lets time pass, counted from where the steps before had ended.
    #[serde(rename = "sleep_ms")]
    Sleep(#[serde(with = "millis")] Duration),
    /// Asks all of these at once and goes on when each is answered, whatever the decision. One that runs out ends
    /// the attempt as unanswered.
    Ask(Vec<QuestionSpec>),
}

/// How a script ends. `{key}` in a text stands for the answer to the question of that key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FixtureEnd {
    /// With this text as its result.
    Text(String),
    /// With this text as a result that says that the tool failed.
    ToolError(String),
    /// Without a result.
    ProtocolError {
        /// Code as JSON-RPC has it.
        code: i64,
        /// What went wrong.
        message: String,
    },
}

impl FixtureSpec {
    /// Most steps.
    pub const STEPS_MAX: usize = 100;
    /// Most questions of one step.
    pub const QUESTIONS_MAX: usize = 16;
    /// Longest message of a protocol error, in characters: it stands in the outcome.
    pub const MESSAGE_CHARS_MAX: usize = 1000;
    /// Largest script, in bytes of JSON.
    pub const BYTES_MAX: usize = 1024 * 1024;

    /// Checks that it can be played.
    ///
    /// # Errors
    /// The first problem found; nothing should be stored.
    pub fn check(&self) -> Result<(), SpecProblem> {
        if self.steps.len() > Self::STEPS_MAX {
            return too_large("steps", format!("has {} steps; at most {} fit", self.steps.len(), Self::STEPS_MAX));
        }
        if self.json().len() > Self::BYTES_MAX {
            return too_large("fixture", format!("has more than {} bytes", Self::BYTES_MAX));
        }
        if self.deadline == Some(Duration::ZERO) {
            return problem("deadline_ms", "must be longer than zero");
        }
        if let FixtureEnd::ProtocolError { message, .. } = &self.end
            && message.chars().count() > Self::MESSAGE_CHARS_MAX
        {
            return too_large("message", format!("has more than {} characters", Self::MESSAGE_CHARS_MAX));
        }
        let mut keys = HashSet::new();
        for asked in self.steps.iter().filter_map(FixtureStep::asks) {
            if !(1..=Self::QUESTIONS_MAX).contains(&asked.len()) {
                return problem("ask", format!("must have 1 to {} questions", Self::QUESTIONS_MAX));
            }
            for question in asked {
                question.check()?;
                if !keys.insert(&question.key) {
                    return problem("key", format!("`{}` is asked twice", question.key));
                }
            }
        }
        Ok(())
    }

    /// What a job that played this script to its end gives, its questions being these.
    ///
    /// Answers of the newest attempt that asked count. Decisions without a value stand there by name.
    pub fn result(&self, questions: &[Question]) -> FixtureEnd {
        let newest = questions.iter().map(|question| question.attempt).max();
        let asked = questions.iter().filter(|question| Some(question.attempt) == newest);
        let answers = asked.filter_map(|question| Some((question.key.as_str(), shown(question)?))).collect();
        match &self.end {
            FixtureEnd::Text(text) => FixtureEnd::Text(filled(text, &answers)),
            FixtureEnd::ToolError(text) => FixtureEnd::ToolError(filled(text, &answers)),
            FixtureEnd::ProtocolError { code, message } => {
                FixtureEnd::ProtocolError { code: *code, message: filled(message, &answers) }
            }
        }
    }

    pub(super) fn title(&self) -> String {
        let steps = self.steps.iter().map(|step| match step {
            FixtureStep::Sleep(length) => format!("sleep {}", format_length(*length)),
            FixtureStep::Ask(asked) => {
                let keys: Vec<_> = asked.iter().map(|question| question.key.as_str()).collect();
                format!("ask {}", keys.join("+"))
            }
        });
        let end = match &self.end {
            FixtureEnd::Text(_) => "text",
            FixtureEnd::ToolError(_) => "tool error",
            FixtureEnd::ProtocolError { .. } => "protocol error",
        };
        let words: Vec<_> = steps.chain([end.to_owned()]).collect();
        format!("fixture {}", words.join(", "))
    }

    pub(super) fn likeness(&self) -> u64 {
        let digest = Sha256::digest(self.json());
        digest.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl FixtureStep {
    fn asks(&self) -> Option<&[QuestionSpec]> {
        match self {
            Self::Ask(asked) => Some(asked),
            Self::Sleep(_) => None,
        }
    }
}

impl FixtureEnd {
    /// What the report of an attempt that came to this end says.
    pub fn reported(&self) -> ReportedEnd {
        match self {
            Self::Text(_) => ReportedEnd::Result,
            Self::ToolError(_) => ReportedEnd::ToolError,
            Self::ProtocolError { code, message } => ReportedEnd::Failed {
                reason: FailReason::Upstream,
                message: format!("ended with error {code}: {message}"),
            },
        }
    }
}

/// An answer as it stands in a text.
fn shown(question: &Question) -> Option<String> {
    Some(match &question.answer.as_ref()?.decision {
        Decision::Accepted(serde_json::Value::String(text)) => text.clone(),
        Decision::Accepted(value) => value.to_string(),
        Decision::Declined => "declined".into(),
        Decision::Dismissed => "dismissed".into(),
    })
}

/// The text with each `{key}` replaced, once; braces around anything else stay as they are.
fn filled(text: &str, answers: &BTreeMap<&str, String>) -> String {
    let mut full = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        full.push_str(before);
        let answer = from[1..].split_once('}').and_then(|(key, after)| Some((answers.get(key)?, after)));
        match answer {
            Some((answer, after)) => {
                full.push_str(answer);
                rest = after;
            }
            None => {
                full.push('{');
                rest = &from[1..];
            }
        }
    }
    full + rest
}
