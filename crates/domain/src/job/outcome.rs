//! How jobs and attempts end.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::time::{Timestamp, format_length, millis};

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailReason {
    /// The program ended with an exit code other than 0.
    Exit,
    /// A signal that Longshore did not send ended the program.
    Signal,
    /// The program could not be started.
    Spawn,
    /// It ran longer than it was allowed to.
    Deadline,
    /// A person said no.
    Denied,
    /// Nobody answered in time.
    Unanswered,
    /// Nobody saw how it ended.
    Lost,
    /// The upstream server failed.
    Upstream,
    /// A check did not pass.
    Gate,
    /// The work could not be pushed.
    Push,
    /// A job that it waits for did not succeed.
    Blocked,
    /// A rule forbade it.
    Policy,
    /// A bug in Longshore.
    Internal,
}

impl FailReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Exit,
        Self::Signal,
        Self::Spawn,
        Self::Deadline,
        Self::Denied,
        Self::Unanswered,
        Self::Lost,
        Self::Upstream,
        Self::Gate,
        Self::Push,
        Self::Blocked,
        Self::Policy,
        Self::Internal,
    ];

    /// Whether an attempt ended this way, so that another attempt could end otherwise.
    pub fn of_an_attempt(self) -> bool {
        matches!(
            self,
            Self::Exit
                | Self::Signal
                | Self::Spawn
                | Self::Deadline
                | Self::Lost
                | Self::Upstream
                | Self::Gate
                | Self::Push
        )
    }

    /// The reason as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Spawn => "spawn",
            Self::Deadline => "deadline",
            Self::Denied => "denied",
            Self::Unanswered => "unanswered",
            Self::Lost => "lost",
            Self::Upstream => "upstream",
            Self::Gate => "gate",
            Self::Push => "push",
            Self::Blocked => "blocked",
            Self::Policy => "policy",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a finished job ended. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// It did what was asked.
    Succeeded,
    /// It did not; the reason is beside it.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It was found not to be needed.
    Skipped,
}

impl OutcomeStatus {
    /// The status as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// The end of a job: status, reason, a sentence, and what was seen of its last attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub status: OutcomeStatus,
    /// Why it failed; present exactly when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailReason>,
    /// A sentence for people and models, without a full stop at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The job whose failure blocked this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<JobId>,
    /// What was seen of the last attempt, if one ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<AttemptReport>,
}

impl Outcome {
    /// A failure with its sentence.
    pub fn failed(reason: FailReason, message: impl Into<String>) -> Self {
        Self {
            status: OutcomeStatus::Failed,
            reason: Some(reason),
            message: Some(message.into()),
            cause: None,
            report: None,
        }
    }

    /// A cancelled job with the reason that was given.
    pub fn cancelled(message: Option<String>) -> Self {
        Self { status: OutcomeStatus::Cancelled, reason: None, message, cause: None, report: None }
    }

    /// Adds what was seen of the last attempt.
    #[must_use]
    pub fn with_report(mut self, report: Option<AttemptReport>) -> Self {
        self.report = report;
        self
    }

    /// Whether dependents may run.
    pub fn is_success(&self) -> bool {
        matches!(self.status, OutcomeStatus::Succeeded | OutcomeStatus::Skipped)
    }
}

/// How an attempt that ran no program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedEnd {
    /// With a result.
    Result,
    /// With a result that says that the tool failed: the call itself did what was asked.
    ToolError,
    /// Without a result.
    Failed {
        /// Why.
        reason: FailReason,
        /// A sentence for people and models.
        message: String,
    },
}

/// What was seen of one attempt: by the shim, which writes it to the exit record before it tells anybody, or by
/// whoever ran what is no program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// Exit code, when the program ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why the program could not be started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawn_error: Option<String>,
    /// How it ended, when it ran no program and ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ReportedEnd>,
    /// It could not be started because there is no such program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub program_missing: bool,
    /// The hard deadline passed before it ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deadline_passed: bool,
    /// It was stopped because somebody asked for it, and had not ended by itself before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// When the program began.
    pub started_at: Timestamp,
    /// When its end was seen.
    pub finished_at: Timestamp,
    /// How long it ran by a clock that nobody can set.
    #[serde(with = "millis", rename = "ran_ms")]
    pub ran: Duration,
    /// What it printed.
    #[serde(default)]
    pub output: OutputFacts,
    /// Processes of its tree that outlived it and were stopped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<LeftoverProcess>,
    /// The kernel killed processes of its tree for want of memory. Seen only where the attempt had a cgroup of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub memory_ran_out: bool,
    /// The kernel refused it a process beyond its limit. Seen only where the attempt had a cgroup of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processes_ran_out: bool,
    /// What it used.
    #[serde(default)]
    pub usage: ResourceUse,
}

impl AttemptReport {
    /// How an attempt with this report ended, as if nobody had asked it to stop.
    pub fn verdict(&self) -> (OutcomeStatus, Option<FailReason>, Option<String>) {
        let failed = |reason, message| (OutcomeStatus::Failed, Some(reason), Some(message));
        match self {
            Self { spawn_error: Some(error), .. } => failed(FailReason::Spawn, error.clone()),
            Self { deadline_passed: true, ran, .. } => {
                failed(FailReason::Deadline, format!("stopped at its deadline after {}", format_length(*ran)))
            }
            Self { end: Some(ReportedEnd::Result), .. } => (OutcomeStatus::Succeeded, None, None),
            Self { end: Some(ReportedEnd::ToolError), .. } => {
                (OutcomeStatus::Succeeded, None, Some("the tool reported an error".into()))
            }
            Self { end: Some(ReportedEnd::Failed { reason, message }), .. } => failed(*reason, message.clone()),
            Self { exit_code: Some(0), .. } => (OutcomeStatus::Succeeded, None, self.held_to().map(str::to_owned)),
            Self { exit_code: Some(code), .. } => {
                failed(FailReason::Exit, self.with_limits(format!("ended with exit code {code}")))
            }
            Self { signal: Some(signal), .. } => {
                failed(FailReason::Signal, self.with_limits(format!("ended by signal {signal}")))
            }
            _ => failed(FailReason::Lost, "nobody saw how it ended".into()),
        }
    }

    /// Which limits the kernel held it to, if it came upon any.
    pub fn held_to(&self) -> Option<&'static str> {
        match (self.memory_ran_out, self.processes_ran_out) {
            (true, _) => Some("the kernel killed processes of it for want of memory"),
            (false, true) => Some("the kernel refused it more processes than its limit"),
            (false, false) => None,
        }
    }

    fn with_limits(&self, end: String) -> String {
        self.held_to().map_or(end.clone(), |limit| format!("{end}; {limit}"))
    }

    /// The outcome of a job whose last attempt has this report.
    pub fn into_outcome(self) -> Outcome {
        let (status, reason, message) = self.verdict();
        Outcome { status, reason, message, cause: None, report: Some(self) }
    }
}

/// Exact counts of what a command printed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFacts {
    /// Bytes printed.
    pub bytes: u64,
    /// Lines printed; a last line without a newline counts.
    pub lines: u64,
    /// Bytes between head and tail that were not kept.
    #[serde(default)]
    pub omitted_bytes: u64,
    /// Newlines among the bytes that were not kept.
    #[serde(default)]
    pub omitted_lines: u64,
    /// A process that outlived the command still held the stream, so there may have been more to come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_off: bool,
    /// The output could not be written (a full disk, say); from then on bytes were only counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_error: Option<String>,
}

/// A process that outlived its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftoverProcess {
    /// Process number.
    pub pid: u32,
    /// Its command name as the kernel shows it.
    pub command: String,
    /// Whether it was gone when the job ended.
    pub stopped: bool,
}

/// What a command and those of its children that it waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceUse {
    /// Processor time in user mode.
    #[serde(default)]
    pub user_ms: u64,
    /// Processor time in the kernel.
    #[serde(default)]
    pub system_ms: u64,
    /// Largest resident size of one process.
    #[serde(default)]
    pub memory_max_bytes: u64,
}
