//! A cgroup of its own for an attempt, where a writable cgroup v2 folder was given. Linux only; elsewhere, and where
//! the folder cannot be used, attempts run without one.

use std::fs;
use std::path::{Path, PathBuf};

use longshore_domain::job::CommandLimits;

/// The leaf of one attempt.
pub(super) struct Leaf {
    path: PathBuf,
    /// Whether the kernel holds the tree to its memory limit.
    pub(super) limits_memory: bool,
    /// Whether the kernel holds the tree to its number of processes.
    pub(super) limits_processes: bool,
}

impl Leaf {
    /// Makes the leaf; `None` if the folder is not a writable cgroup v2.
    pub(super) fn make(parent: &Path, name: &str, limits: &CommandLimits) -> Option<Self> {
        let path = parent.join(name);
        fs::create_dir(&path).ok()?;
        if !path.join("cgroup.kill").exists() {
            fs::remove_dir(&path).ok();
            return None;
        }
        let set = |file: &str, value: Option<u64>| {
            value.is_some_and(|value| fs::write(path.join(file), value.to_string()).is_ok())
        };
        let limits_memory = set("memory.max", limits.memory_bytes);
        let limits_processes = set("pids.max", limits.processes);
        Some(Self { path, limits_memory, limits_processes })
    }

    /// The file through which a process joins.
    pub(super) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills all that is in it, however it got there.
    pub(super) fn kill(&self) {
        // Without it the tree is killed one by one as well.
        fs::write(self.path.join("cgroup.kill"), "1").ok();
    }

    /// Removes it once it is empty; a leaf that is not stays and shows what would not die.
    pub(super) fn remove(self) {
        fs::remove_dir(&self.path).ok();
    }
}
