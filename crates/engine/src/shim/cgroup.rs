//! A cgroup of its own for an attempt, where a writable cgroup v2 folder was given. Linux only; elsewhere, and where
//! the folder cannot be used, attempts run without one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use longshore_domain::job::CommandLimits;
use longshore_domain::{AttemptNumber, JobId};
use rustix::io::Errno;
use rustix::process::Pid;

use super::sys::{self, Forked};

/// How the leaf of a probe is called, before the number of the process that makes it.
const PROBE: &str = "probe.";

/// The leaf of one attempt.
pub(super) struct Leaf {
    path: PathBuf,
    /// Whether the kernel holds the tree to its memory limit.
    pub(super) limits_memory: bool,
    /// Whether the kernel holds the tree to its number of processes.
    pub(super) limits_processes: bool,
}

impl Leaf {
    /// Makes the leaf; `None` if its parent is not in a writable cgroup v2.
    pub(super) fn make(path: PathBuf, limits: &CommandLimits) -> Option<Self> {
        fs::create_dir(&path).ok()?;
        if !path.join("cgroup.kill").exists() {
            fs::remove_dir(&path).ok();
            return None;
        }
        // The files are there if the parent hands the controllers on.
        let set = |file: &str, value: Option<u64>| {
            value.is_some_and(|value| fs::write(path.join(file), value.to_string()).is_ok())
        };
        let limits_memory = set("memory.max", limits.memory_bytes);
        // What is swapped out would not count.
        set("memory.swap.max", limits.memory_bytes.map(|_| 0));
        let limits_processes = set("pids.max", limits.processes);
        Some(Self { path, limits_memory, limits_processes })
    }

    /// The file through which a process joins.
    pub(super) fn entrance(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills all that is in it, however it got there. Without it the tree is killed one by one as well.
    pub(super) fn kill(&self) {
        kill(&self.path);
    }

    /// Whether the kernel killed processes in it for want of memory.
    pub(super) fn memory_ran_out(&self) -> bool {
        self.has_counted("memory.events", "oom_kill ")
    }

    /// Whether the kernel refused it a process beyond its number.
    pub(super) fn processes_ran_out(&self) -> bool {
        self.has_counted("pids.events", "max ")
    }

    fn has_counted(&self, file: &str, event: &str) -> bool {
        fs::read_to_string(self.path.join(file)).is_ok_and(|events| has_counted(&events, event))
    }

    /// Removes it once it is empty; a leaf that is not stays and shows what would not die.
    pub(super) fn remove(self) {
        remove(&self.path);
    }
}

/// Whether a process of ours can join a leaf of a folder, found out by one that does. It may be in the way that the folder
/// is none, or is not ours, or that nobody may leave the cgroup of this process for it.
///
/// Call only in a process of one thread that has no children and leaves them to the kernel.
pub(super) fn can_be_joined(parent: &Path) -> bool {
    remove_probes(parent);
    let path = parent.join(format!("{PROBE}{}", std::process::id()));
    let Some(leaf) = Leaf::make(path, &CommandLimits::default()) else { return false };
    let joined = join_once(&leaf).unwrap_or(false);
    leaf.remove();
    joined
}

/// Removes the probes of processes that were killed over them.
fn remove_probes(parent: &Path) {
    let is_over = |folder: &Path| {
        let pid = folder.file_name()?.to_str()?.strip_prefix(PROBE)?.parse().ok()?;
        Some(rustix::process::test_kill_process(Pid::from_raw(pid)?) == Err(Errno::SRCH))
    };
    folders(parent).iter().filter(|folder| is_over(folder) == Some(true)).for_each(|folder| {
        fs::remove_dir(folder).ok();
    });
}

fn join_once(leaf: &Leaf) -> io::Result<bool> {
    let entrance = fs::OpenOptions::new().write(true).open(leaf.entrance())?;
    let (reader, writer) = super::command::pipe()?;
    if let Forked::Child = sys::fork()? {
        let joined = rustix::io::write(&entrance, b"0").is_ok();
        rustix::io::write(&writer, &[u8::from(joined)]).ok();
        sys::exit_now(0);
    }
    drop(writer);
    let mut joined = [0];
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&reader, &mut joined))?;
    // Until none is left: a cgroup with a process in it cannot be removed.
    rustix::process::wait(rustix::process::WaitOptions::empty()).ok();
    Ok(read == 1 && joined == [1])
}

/// Source: memory.events and pids.events in the kernel's admin-guide/cgroup-v2.
fn has_counted(events: &str, event: &str) -> bool {
    let count = events.lines().find_map(|line| line.strip_prefix(event));
    count.is_some_and(|count| count.trim() != "0")
}

/// The leaf of an attempt. Its name is the same in no other installation that uses the folder as well.
pub(crate) fn leaf(parent: &Path, job: JobId, attempt: AttemptNumber) -> PathBuf {
    parent.join(format!("{job}.{attempt}"))
}

/// The attempts that have leaves in a folder.
pub(crate) fn leaves(parent: &Path) -> Vec<(JobId, AttemptNumber)> {
    folders(parent).iter().filter_map(|folder| attempt_of(folder.file_name()?.to_str()?)).collect()
}

fn attempt_of(name: &str) -> Option<(JobId, AttemptNumber)> {
    let (job, attempt) = name.split_once('.')?;
    Some((job.parse().ok()?, AttemptNumber(attempt.parse().ok()?)))
}

/// The processes in a cgroup and in those below it.
pub(crate) fn members(cgroup: &Path) -> Vec<u32> {
    let listed = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let own = listed.lines().filter_map(|line| line.parse().ok());
    own.chain(folders(cgroup).iter().flat_map(|below| members(below))).collect()
}

/// Kills all that is in a cgroup.
pub(crate) fn kill(cgroup: &Path) {
    fs::write(cgroup.join("cgroup.kill"), "1").ok();
}

/// Removes a cgroup with those below it; whether it is gone. One with living processes in it is not.
pub(crate) fn remove(cgroup: &Path) -> bool {
    for below in folders(cgroup) {
        remove(&below);
    }
    fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
}

fn folders(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_held_a_tree_to_is_seen() {
        let events = |killed: &str| format!("low 0\nhigh 0\nmax 12\noom 1\noom_kill {killed}\noom_group_kill 0\n");
        for (text, expected) in
            [(events("1"), true), (events("12"), true), (events("0"), false), (String::new(), false)]
        {
            assert_eq!(has_counted(&text, "oom_kill "), expected, "{text}");
        }
        assert!(has_counted("max 3\n", "max ") && !has_counted("max 0\n", "max "));
    }

    #[test]
    fn only_leaves_of_attempts_are_taken_for_such() {
        let folder = tempfile::tempdir().unwrap();
        let job = JobId::new(longshore_domain::Timestamp::from_millis(1_795_000_000_000), 7);
        let path = leaf(folder.path(), job, AttemptNumber(2));
        for made in [&path, &folder.path().join("longshore"), &folder.path().join("7.1")] {
            fs::create_dir(made).unwrap();
        }
        assert_eq!(leaves(folder.path()), [(job, AttemptNumber(2))]);
        assert_eq!(leaves(&path.join("nowhere")), []);
    }

    #[test]
    fn only_probes_of_processes_that_are_gone_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let [gone, alive] = [child.id(), std::process::id()].map(|pid| folder.path().join(format!("{PROBE}{pid}")));
        let others = ["probe.", "probe.x", "7"].map(|name| folder.path().join(name));
        others.iter().chain([&gone, &alive]).for_each(|path| fs::create_dir(path).unwrap());
        remove_probes(folder.path());
        assert!(!gone.exists());
        assert!(others.iter().chain([&alive]).all(|path| path.exists()));
    }

    #[test]
    fn what_is_below_belongs_to_it_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let leaf = folder.path().join("leaf");
        fs::create_dir_all(leaf.join("below")).unwrap();
        assert!(remove(&leaf) && !leaf.exists());
        assert!(remove(&leaf), "it is gone already");
        fs::create_dir_all(leaf.join("below")).unwrap();
        fs::write(leaf.join("cgroup.procs"), "7\n").unwrap();
        fs::write(leaf.join("below/cgroup.procs"), "8\n9\n").unwrap();
        assert_eq!(members(&leaf), [7, 8, 9]);
        assert!(!remove(&leaf));
    }
}
