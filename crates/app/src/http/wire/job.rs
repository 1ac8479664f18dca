//! A job as it is sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A job at this moment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct JobBody {
    /// Its name for ever.
    pub(crate) id: String,
    /// Its short name for people.
    pub(crate) number: u64,
    /// Name given by the submitter.
    pub(crate) name: Option<String>,
    /// What sort of work it is: `command`.
    pub(crate) kind: String,
    /// One line that says what it runs.
    pub(crate) title: String,
    /// `held`, `waiting`, `queued`, `claimed`, `running`, `asking`, `stopping` or `finished`.
    pub(crate) state: String,
    /// Why it is `stopping`: `cancelled` or `deadline`; null unless it is.
    #[serde(default)]
    pub(crate) stop_reason: Option<String>,
    /// How it ended; null until it has.
    pub(crate) outcome: Option<OutcomeBody>,
    /// The line it stands in.
    pub(crate) queue: String,
    /// Higher runs first within its queue.
    pub(crate) priority: i16,
    /// Labels that the node which runs it must have.
    pub(crate) requires: Vec<String>,
    /// Who submitted it.
    pub(crate) principal: PrincipalBody,
    /// The chat it belongs to.
    pub(crate) conversation: Option<String>,
    /// Number of the newest attempt; 0 = none yet.
    pub(crate) attempt: u32,
    /// Attempts allowed after the first.
    pub(crate) retries_max: u32,
    /// Id of the job that this one repeats.
    pub(crate) retry_of: Option<String>,
    /// When it was accepted (RFC 3339, UTC).
    #[schema(format = DateTime)]
    pub(crate) submitted_at: String,
    /// Before this it does not run, while it waits: a delay, or the pause before another attempt.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub(crate) not_before: Option<String>,
    /// How many jobs must succeed before it runs; 0 once it waits for none.
    #[serde(default)]
    pub(crate) after_left: u32,
    /// When its first attempt began.
    #[schema(format = DateTime)]
    pub(crate) started_at: Option<String>,
    /// When its end was recorded; `report.finished_at` is when it was seen.
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
    /// Since it began to run, or what its last attempt took: `report.ran_ms`, where there is a report.
    pub(crate) elapsed_ms: Option<u64>,
    /// How long like jobs took.
    pub(crate) estimate: Option<EstimateBody>,
    /// What is probably left, by its progress if that tells, otherwise by like jobs.
    pub(crate) remaining_ms: Option<u64>,
    /// What its output says of its progress.
    pub(crate) progress: Option<ProgressBody>,
    /// Bytes printed by the newest attempt; null if only a node knows that does not answer, or was not asked for a list.
    pub(crate) output_bytes: Option<u64>,
    /// How long it has printed nothing, while it runs; null as `output_bytes`.
    pub(crate) silent_ms: Option<u64>,
    /// Ready jobs before it, while it is queued; 100 = that many or more.
    pub(crate) position: Option<u64>,
    /// When to ask again; 0 = it is finished.
    pub(crate) poll_after_ms: u64,
    /// What was seen of its last attempt.
    pub(crate) report: Option<ReportBody>,
    /// Kept from retention.
    pub(crate) pinned: bool,
    /// The output was removed by retention.
    pub(crate) output_expired: bool,
}

/// How a job ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OutcomeBody {
    /// `succeeded`, `failed`, `cancelled` or `skipped`.
    pub(crate) status: String,
    /// Why it failed: `exit`, `signal`, `spawn`, `deadline`, `lost`, `blocked` and others; null unless it failed.
    pub(crate) reason: Option<String>,
    /// Exit code, when the program ended by itself.
    pub(crate) exit_code: Option<i32>,
    /// Number of the signal that ended it.
    pub(crate) signal: Option<i32>,
    /// A sentence for people.
    pub(crate) message: Option<String>,
    /// Id of the job whose failure blocked this one.
    pub(crate) cause: Option<String>,
}

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct PrincipalBody {
    /// `person`, `agent`, `worker` or `node`.
    pub(crate) class: String,
    /// Jobs belong to the principal with this name.
    pub(crate) name: String,
}

/// A range in which four of five like jobs ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EstimateBody {
    /// A tenth ended sooner.
    pub(crate) low_ms: u64,
    /// Half ended sooner.
    pub(crate) middle_ms: u64,
    /// A tenth took longer.
    pub(crate) high_ms: u64,
    /// How many successes this rests on.
    pub(crate) samples: u32,
}

/// What the output says of a job's progress.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProgressBody {
    /// 0 to 100.
    pub(crate) percent: f64,
    /// The line that says so.
    pub(crate) text: String,
}

/// What was seen of one attempt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ReportBody {
    /// Exit code, when the program ended by itself.
    pub(crate) exit_code: Option<i32>,
    /// Number of the signal that ended it.
    pub(crate) signal: Option<i32>,
    /// Why the program could not be started.
    pub(crate) spawn_error: Option<String>,
    /// It could not be started because there is no such program.
    #[serde(default)]
    pub(crate) program_missing: bool,
    /// The deadline passed before it ended.
    pub(crate) deadline_passed: bool,
    /// It was stopped because somebody asked for it.
    pub(crate) stopped: bool,
    /// When the program began.
    #[schema(format = DateTime)]
    pub(crate) started_at: String,
    /// When its end was seen.
    #[schema(format = DateTime)]
    pub(crate) finished_at: String,
    /// How long it ran by a clock that nobody can set.
    pub(crate) ran_ms: u64,
    /// What it printed.
    pub(crate) output: OutputFactsBody,
    /// Processes of its tree that outlived it and were stopped.
    pub(crate) leftovers: Vec<LeftoverBody>,
    /// The kernel killed processes of it for want of memory; seen only where a cgroup is used.
    #[serde(default)]
    pub(crate) memory_ran_out: bool,
    /// The kernel refused it a process beyond its limit; seen only where a cgroup is used.
    #[serde(default)]
    pub(crate) processes_ran_out: bool,
    /// What it used.
    pub(crate) usage: UsageBody,
}

/// Exact counts of what a command printed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OutputFactsBody {
    /// Bytes printed.
    pub(crate) bytes: u64,
    /// Lines printed.
    pub(crate) lines: u64,
    /// Bytes between head and tail that were not kept.
    pub(crate) omitted_bytes: u64,
    /// Newlines among them.
    pub(crate) omitted_lines: u64,
    /// A process that outlived the command still held the stream.
    pub(crate) cut_off: bool,
    /// Why the output could not be written.
    pub(crate) write_error: Option<String>,
}

/// A process that outlived its command.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LeftoverBody {
    /// Process number.
    pub(crate) pid: u32,
    /// Its command name.
    pub(crate) command: String,
    /// Whether it was gone when the job ended.
    pub(crate) stopped: bool,
}

/// What a command has used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UsageBody {
    /// Processor time in user mode.
    pub(crate) user_ms: u64,
    /// Processor time in the kernel.
    pub(crate) system_ms: u64,
    /// Largest resident size of one process.
    pub(crate) memory_max_bytes: u64,
}

/// A job with what it runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct JobDetailBody {
    #[serde(flatten)]
    pub(crate) job: JobBody,
    /// Name of the node that runs its newest attempt, or ran it; null if there was none, or the node was forgotten.
    #[serde(default)]
    pub(crate) node: Option<String>,
    /// What it runs.
    pub(crate) spec: SpecBody,
}

/// What a job runs. Of its environment only the names are shown.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SpecBody {
    /// Program and arguments, or one line for the shell.
    pub(crate) command: Vec<String>,
    /// Whether the command is a line for `/bin/sh -c`.
    pub(crate) shell: bool,
    /// Working directory.
    pub(crate) cwd: String,
    /// Names of its environment variables.
    pub(crate) env: Vec<String>,
    /// It may run this long.
    pub(crate) deadline_ms: Option<u64>,
    /// After this long it is asked once to end.
    pub(crate) soft_deadline_ms: Option<u64>,
    /// Between the request to end and force.
    pub(crate) grace_ms: u64,
    /// Limit on memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Limit on processes.
    pub(crate) processes: Option<u64>,
    /// Niceness added.
    pub(crate) nice: Option<u8>,
    /// Bytes of output kept.
    pub(crate) output_bytes_max: u64,
    /// Standard output and standard error are captured apart.
    pub(crate) split: bool,
}
