//! What the engine is told by whoever wires it: resolved, checked, with units.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use longshore_domain::job::QueueName;
use longshore_domain::node::NewNode;
use longshore_domain::{AttemptNumber, Job, JobId, Timestamp};

use crate::keeping::Keeping;
use crate::shim::cgroup;

/// Everything the engine needs to know from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What this node is to the others; its `boot` tells whether processes of before can live, its `capacity` how many
    /// attempts run here at once.
    pub node: NewNode,
    /// Sockets, locks and exit records of running attempts; on a local disk.
    pub run_dir: PathBuf,
    /// Output of attempts, one folder a day.
    pub output_dir: PathBuf,
    /// Compressed records of jobs that retention removed, where output is not kept elsewhere.
    pub archive_dir: PathBuf,
    /// Program that acts as spawner and shim, with the arguments that make it so.
    pub shim_program: PathBuf,
    /// See `shim_program`.
    pub shim_args: Vec<OsString>,
    /// Put the spawner into a systemd scope of its own, because this process belongs to a systemd service.
    pub shim_scope: bool,
    /// A writable cgroup v2 folder under which each attempt gets a leaf of its own.
    pub cgroup: Option<PathBuf>,
    /// Files that commands may have open at once unless they ask for more (the soft limit); absent = as many as this process.
    pub open_files: Option<u64>,
    /// Limits of queues, set at start.
    pub queues: BTreeMap<QueueName, u32>,
    /// Length of a lease; renewed at a third of it, so that two renewals may be late.
    pub lease: Duration,
    /// Variables that commands inherit beyond the usual ones.
    pub env_allow: Vec<String>,
    /// What is removed when.
    pub retention: Retention,
    /// Where artifacts are kept; absent = nowhere.
    pub artifacts: Option<Keeping>,
    /// Accept jobs of the kind `fixture`, which exist for tests alone: no configuration sets this.
    pub fixtures: bool,
}

/// What is removed when. Pinned jobs and unfinished ones never are.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Output and results are kept this long after the end.
    pub output: Duration,
    /// Records are kept this long after the end, then moved to the archive.
    pub record: Duration,
    /// All output together may have this many bytes; beyond it the oldest goes first.
    pub output_bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self { output: 7 * DAY, record: 90 * DAY, output_bytes_max: 10 * 1024 * 1024 * 1024 }
    }
}

impl Settings {
    /// Where the output of one attempt is kept.
    pub fn output_path(&self, job: &Job, attempt: AttemptNumber) -> PathBuf {
        self.output_day(job.submitted_at).join(format!("{}.{attempt}.log", job.id))
    }

    /// The cgroup that an attempt has to itself, if it has one.
    pub(crate) fn leaf(&self, job: JobId, attempt: AttemptNumber) -> Option<PathBuf> {
        self.cgroup.as_deref().map(|parent| cgroup::leaf(parent, job, attempt))
    }

    fn output_day(&self, at: Timestamp) -> PathBuf {
        let text = at.to_string();
        self.output_dir.join(text.get(..10).unwrap_or("undated"))
    }
}
