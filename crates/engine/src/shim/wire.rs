//! What daemon, spawner and shim say to one another, and the names of the files they share.
//!
//! Shims outlive upgrades of the daemon, so this must stay compatible for ever: fields are only added, with a default;
//! unknown messages and fields are ignored.

use std::path::PathBuf;

use longshore_domain::job::{AttemptReport, CommandSpec, ProcessIdentity};
use longshore_domain::{AttemptNumber, JobId, JobNumber, Nonce, Timestamp};
use serde::{Deserialize, Serialize};

/// Version of the protocol between daemon and shim.
pub const PROTOCOL: u32 = 1;
/// Version of the exit record.
pub const RECORD_VERSION: u32 = 1;
/// Largest request that a spawner accepts, in bytes.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest line that either side of a shim's socket accepts, in bytes.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Variable that marks every process of an attempt with its nonce.
pub const MARK_VARIABLE: &str = "LONGSHORE_MARK";
/// Variable that tells a command its job's id.
pub const JOB_VARIABLE: &str = "LONGSHORE_JOB";
/// Variable that tells a command the number of its attempt.
pub const ATTEMPT_VARIABLE: &str = "LONGSHORE_ATTEMPT";
/// File in the run folder that a living spawner holds locked.
pub const SPAWNER_LOCK: &str = "spawner.lock";

/// File in the run folder that the traces of attempts are other names of, and that living shims hold a byte of.
pub const BEGUN: &str = "begun";

/// All that a shim must know to run one attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AttemptPlan {
    /// The job.
    pub job: JobId,
    /// Its short name.
    pub number: JobNumber,
    /// Which attempt of it this is.
    pub attempt: AttemptNumber,
    /// The attempt's secret.
    pub nonce: Nonce,
    /// Boot of this machine.
    pub boot: String,
    /// What to run.
    pub spec: CommandSpec,
    /// Where its output goes; the folder must exist.
    pub output_path: PathBuf,
}

/// First message to a spawner; the descriptor passed with it is its lock.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// Folder of sockets and exit records.
    pub(crate) run_dir: PathBuf,
    /// Folder in a cgroup v2 hierarchy under which attempts get leaves of their own.
    #[serde(default)]
    pub(crate) cgroup: Option<PathBuf>,
    /// Soft limit on the files that commands may have open.
    #[serde(default)]
    pub(crate) open_files: Option<u64>,
}

/// The spawner's only answer: it is ready for requests.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Its process number.
    pub(crate) pid: u32,
    /// Whether commands can join leaves of the folder of cgroups; false if there is none.
    pub(crate) leaves: bool,
}

/// What a shim says, one JSON object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromShim {
    /// Who it is; the first line on every connection that it accepted.
    Hello(Hello),
    /// The command runs.
    Started(Started),
    /// It certainly never began, and never will.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// The command printed something, or its progress changed.
    Output {
        /// Bytes printed so far.
        total: u64,
        /// The newest progress, if any was recognised.
        #[serde(default)]
        progress: Option<Progress>,
    },
    /// It is over.
    Ended(AttemptReport),
}

/// Who a shim is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the shim.
    pub protocol: u32,
    /// The job.
    pub job: JobId,
    /// The attempt.
    pub attempt: AttemptNumber,
    /// The attempt's secret.
    pub nonce: Nonce,
    /// The shim's own process number.
    pub pid: u32,
}

/// The command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The command's own process.
    pub process: ProcessIdentity,
    /// When it began.
    pub at: Timestamp,
    /// When its hard deadline falls due, by the clock as it stood at the start.
    #[serde(default)]
    pub deadline_at: Option<Timestamp>,
}

/// How far a command says it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100; never less than before.
    pub percent: f64,
    /// The words it was read from, such as `[3/7]`.
    pub text: String,
}

/// What a daemon says, one JSON object a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToShim {
    /// End the command: SIGTERM, grace, SIGKILL to its whole tree.
    Stop {
        /// Without SIGTERM and grace.
        #[serde(default)]
        kill: bool,
    },
    /// Tell of new output from now on, or no longer.
    Follow {
        /// Whether to tell.
        on: bool,
    },
}

/// The durable record of how an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// [`RECORD_VERSION`] of the shim.
    pub version: u32,
    /// The job.
    pub job: JobId,
    /// Its short name.
    pub number: JobNumber,
    /// The attempt.
    pub attempt: AttemptNumber,
    /// The attempt's secret.
    pub nonce: Nonce,
    /// Boot in which it ran.
    pub boot: String,
    /// How it ended.
    pub report: AttemptReport,
}

/// Name within the run folder of the trace of an attempt, which is there before the command begins, and of the socket
/// that takes its place once nobody is connected to the shim.
pub fn socket_name(number: JobNumber, attempt: AttemptNumber) -> String {
    format!("{number}.{attempt}.sock")
}

/// Name of an exit record within the run folder.
pub fn record_name(number: JobNumber, attempt: AttemptNumber) -> String {
    format!("{number}.{attempt}.exit")
}

/// The attempt that a file of the run folder is a trace of.
pub(crate) fn attempt_of(name: &str) -> Option<(JobNumber, AttemptNumber)> {
    let (number, rest) = name.split_once('.')?;
    let (attempt, kind) = rest.split_once('.')?;
    let known = ["sock", "sock.new", "exit", "exit.tmp"].contains(&kind);
    known.then_some((JobNumber(number.parse().ok()?), AttemptNumber(attempt.parse().ok()?)))
}

/// One message as a line.
pub(crate) fn to_line<M: Serialize>(message: &M) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A request for a spawner: length in four bytes, then JSON.
pub(crate) fn to_frame<M: Serialize>(message: &M) -> serde_json::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}
