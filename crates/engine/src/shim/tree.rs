//! Finds processes and signals them, never one that merely took over a number.

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{descendants, identify, living, marked, signal, stopped_parent};
#[cfg(target_os = "linux")]
pub(crate) use linux::{descendants, identify, living, marked, signal, stopped_parent};

use longshore_domain::job::ProcessIdentity;

/// A living process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) identity: ProcessIdentity,
    pub(crate) parent: u32,
    /// Its name as the kernel shows it.
    pub(crate) command: String,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::{HashMap, HashSet};
    use std::fs;
    use std::io::Read;

    use longshore_domain::Nonce;
    use longshore_domain::job::ProcessIdentity;
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

    use super::Process;
    use crate::shim::wire::MARK_VARIABLE;

    /// The process with this number, if it lives or waits to be reaped.
    pub(crate) fn identify(pid: u32) -> Option<ProcessIdentity> {
        Some(read(pid)?.process.identity)
    }

    /// Longer than any such line: 52 numbers and a name of 64 bytes at most.
    const STAT_BYTES_MAX: usize = 2048;

    struct Stat {
        process: Process,
        alive: bool,
        /// By a signal, until another one has it go on.
        stopped: bool,
    }

    /// Source: proc_pid_stat(5).
    fn read(pid: u32) -> Option<Stat> {
        let mut buffer = [0; STAT_BYTES_MAX];
        let length = fs::File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        let (before, after) = text.rsplit_once(')')?;
        let (_, command) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let threads: u64 = fields.get(17)?.parse().ok()?;
        let state = *fields.first()?;
        let dead = matches!(state, "Z" | "X") && threads <= 1;
        let identity = ProcessIdentity { pid, started_ticks: fields.get(19)?.parse().ok()? };
        let process = Process { identity, parent: fields.get(1)?.parse().ok()?, command: command.to_owned() };
        Some(Stat { process, alive: !dead, stopped: state == "T" })
    }

    /// The process itself, if exactly it still lives.
    pub(crate) fn living(identity: &ProcessIdentity) -> Option<Process> {
        let found = read(identity.pid).filter(|stat| stat.alive && stat.process.identity == *identity);
        found.map(|stat| stat.process)
    }

    /// The parent of exactly this process, which may wait to be reaped, if that parent was stopped by a signal.
    pub(crate) fn stopped_parent(child: &ProcessIdentity) -> Option<ProcessIdentity> {
        let child = read(child.pid).filter(|stat| stat.process.identity == *child)?;
        let parent = read(child.process.parent).filter(|parent| parent.stopped)?;
        Some(parent.process.identity)
    }

    /// All living descendants of a process.
    pub(crate) fn descendants(root: u32) -> Vec<Process> {
        let children = match children_listed(root) {
            Some(_) => |pid| children_listed(pid).unwrap_or_default(),
            None => return descendants_by_parent(root),
        };
        let mut found = vec![];
        let mut seen = HashSet::from([root]);
        let mut open = vec![root];
        while let Some(pid) = open.pop() {
            for child in children(pid).into_iter().filter(|&child| seen.insert(child)) {
                open.push(child);
                found.extend(read(child).filter(|stat| stat.alive).map(|stat| stat.process));
            }
        }
        found
    }

    /// The children as the kernel lists them; `None` if the process is gone or the kernel has no such lists.
    fn children_listed(pid: u32) -> Option<Vec<u32>> {
        let mut children = vec![];
        for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let Ok(list) = fs::read_to_string(thread.ok()?.path().join("children")) else { continue };
            children.extend(list.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        fs::exists(format!("/proc/{pid}/task/{pid}/children")).unwrap_or(false).then_some(children)
    }

    fn descendants_by_parent(root: u32) -> Vec<Process> {
        let mut by_parent: HashMap<u32, Vec<Stat>> = HashMap::new();
        for stat in all().into_iter().filter_map(read) {
            by_parent.entry(stat.process.parent).or_default().push(stat);
        }
        let mut found = vec![];
        let mut open = vec![root];
        while let Some(pid) = open.pop() {
            for stat in by_parent.remove(&pid).unwrap_or_default() {
                open.push(stat.process.identity.pid);
                if stat.alive {
                    found.push(stat.process);
                }
            }
        }
        found
    }

    fn all() -> Vec<u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// All living processes whose environment carries the mark of an attempt. Others' environments cannot be read.
    pub(crate) fn marked(nonce: Nonce) -> Vec<Process> {
        let mark = format!("{MARK_VARIABLE}={nonce}").into_bytes();
        let carries = |pid: &u32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environment| environment.split(|&byte| byte == 0).any(|entry| entry == mark))
        };
        let found = all().into_iter().filter(carries).filter_map(read);
        found.filter(|stat| stat.alive).map(|stat| stat.process).collect()
    }

    /// Sends a signal to exactly this process; whether it was still there.
    pub(crate) fn signal(target: &ProcessIdentity, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(target.pid).ok().and_then(Pid::from_raw) else { return false };
        let handle = pidfd_open(pid, PidfdFlags::empty());
        // Whoever has the number now has it for as long as the handle is open.
        if identify(target.pid).as_ref() != Some(target) {
            return false;
        }
        match handle {
            Ok(handle) => pidfd_send_signal(handle, signal).is_ok(),
            Err(rustix::io::Errno::NOSYS) => kill_process(pid, signal).is_ok(),
            Err(_) => false,
        }
    }
}

/// Without `/proc` nothing but a process group can be found; callers fall back to it.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use longshore_domain::Nonce;
    use longshore_domain::job::ProcessIdentity;
    use rustix::process::Signal;

    use super::Process;

    pub(crate) fn identify(pid: u32) -> Option<ProcessIdentity> {
        Some(ProcessIdentity { pid, started_ticks: 0 })
    }

    pub(crate) fn living(_identity: &ProcessIdentity) -> Option<Process> {
        None
    }

    pub(crate) fn stopped_parent(_child: &ProcessIdentity) -> Option<ProcessIdentity> {
        None
    }

    pub(crate) fn descendants(_root: u32) -> Vec<Process> {
        vec![]
    }

    pub(crate) fn marked(_nonce: Nonce) -> Vec<Process> {
        vec![]
    }

    pub(crate) fn signal(_target: &ProcessIdentity, _signal: Signal) -> bool {
        false
    }
}
