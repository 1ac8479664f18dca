//! What callers send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A job to be accepted.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitBody {
    /// Program and arguments; with `shell` one line.
    pub(crate) command: Vec<String>,
    /// Give the command to `/bin/sh -c`.
    #[serde(default)]
    pub(crate) shell: bool,
    /// Absolute working directory on the daemon's machine.
    pub(crate) cwd: String,
    /// Variables for the command.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    /// Variables of the submitter's own environment, of which only allowed ones are passed on. No part of what
    /// an idempotency key stands for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) inherited: BTreeMap<String, String>,
    /// A name for people, 1 to 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The line to stand in; `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<String>,
    /// Higher runs first within its queue.
    #[serde(default)]
    pub(crate) priority: i16,
    /// Labels that the node which runs it must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) requires: Vec<String>,
    /// It may run this long; for ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deadline_ms: Option<u64>,
    /// After this long it is asked once to end (SIGTERM); must be shorter than the deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) soft_deadline_ms: Option<u64>,
    /// Between SIGTERM and SIGKILL; 5000 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grace_ms: Option<u64>,
    /// Limit on memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory_bytes: Option<u64>,
    /// Limit on processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<u64>,
    /// Niceness added, 0 to 19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nice: Option<u8>,
    /// Bytes of output kept, at least 65536; 104857600 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) output_bytes_max: Option<u64>,
    /// Capture standard output and standard error apart.
    #[serde(default)]
    pub(crate) split: bool,
    /// Attempts allowed after the first, 0 to 100. Running twice must be harmless.
    #[serde(default)]
    pub(crate) retries: u32,
    /// Not before this instant (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) not_before: Option<String>,
    /// Not before this long from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// Jobs that must succeed first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) after: Vec<String>,
    /// One job per intent: the same key gives the same job. The header `Idempotency-Key` does the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The chat it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<String>,
}

/// Why a job is to end.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBody {
    /// A reason for people; cut at 500 characters.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// Whether to keep a job from retention.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinBody {
    /// Keep it.
    pub(crate) pinned: bool,
}

/// Jobs to wait for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitBody {
    /// 1 to 100 jobs.
    pub(crate) jobs: Vec<String>,
    /// Until one has ended, instead of all.
    #[serde(default)]
    pub(crate) any: bool,
    /// Wait at most this long, 0 to 60.
    #[serde(default)]
    pub(crate) timeout_s: Option<f64>,
}

/// Whether to remove what has grown old, or only to count it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GcBody {
    /// Change nothing.
    #[serde(default)]
    pub(crate) dry_run: bool,
}
