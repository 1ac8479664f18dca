//! Ends what a test has started: shims are made to outlive everything else.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than it takes unless a process hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends, when it is dropped, the spawner and every shim that work in a folder, with all that they started. Whoever
/// might start new ones must have been stopped before.
#[derive(Debug)]
pub struct ShimsEnd {
    run_dir: PathBuf,
}

impl ShimsEnd {
    /// For the spawner and the shims of `run_dir`.
    pub fn of(run_dir: impl Into<PathBuf>) -> Self {
        Self { run_dir: run_dir.into() }
    }
}

impl Drop for ShimsEnd {
    fn drop(&mut self) {
        let Ok(run_dir) = self.run_dir.canonicalize() else { return };
        let give_up_at = Instant::now() + PATIENCE;
        while Instant::now() < give_up_at {
            let shims = at_work(&run_dir);
            if shims.is_empty() {
                return;
            }
            // A stopped shim starts nothing, and what its children leave behind stays its own.
            signal(&shims, Signal::STOP);
            let mut below = below(&shims);
            while !below.is_empty() && Instant::now() < give_up_at {
                signal(&below, Signal::KILL);
                std::thread::yield_now();
                below = self::below(&shims);
            }
            signal(&shims, Signal::KILL);
            std::thread::yield_now();
        }
    }
}

fn signal(processes: &HashSet<i32>, signal: Signal) {
    for pid in processes.iter().copied().filter_map(Pid::from_raw) {
        // It may have ended by itself.
        kill_process(pid, signal).ok();
    }
}

fn numbers() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The spawner and the shims that still work in a folder after so long; waits for each to end until then.
///
/// # Errors
/// If there is no such folder: nobody would be found in it.
pub fn working_in(run_dir: &Path, patience: Duration) -> io::Result<HashSet<i32>> {
    let run_dir = run_dir.canonicalize()?;
    let give_up_at = Instant::now() + patience;
    loop {
        let found = at_work(&run_dir);
        let left = give_up_at.saturating_duration_since(Instant::now());
        match found.iter().next() {
            Some(&one) if !left.is_zero() => wait_for_end(one, left),
            _ => return Ok(found),
        }
    }
}

/// Returns when a process has ended, at the latest after so long.
#[cfg(target_os = "linux")]
fn wait_for_end(pid: i32, at_most: Duration) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};

    let handle = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    // Without one it is gone already.
    let Some(handle) = handle else { return };
    let timeout = Timespec::try_from(at_most).ok();
    // Whoever asked looks again, whatever this came to.
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], timeout.as_ref()).ok();
}

/// Without `/proc` nobody is found who could be waited for.
#[cfg(not(target_os = "linux"))]
fn wait_for_end(_: i32, _: Duration) {}

/// Living processes whose current directory is this one: only the spawner and shims stay there.
fn at_work(folder: &Path) -> HashSet<i32> {
    numbers().filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)).collect()
}

/// Living descendants of these processes, themselves aside.
fn below(processes: &HashSet<i32>) -> HashSet<i32> {
    let living: Vec<(i32, i32)> = numbers().filter_map(|pid| Some((pid, living_parent(pid)?))).collect();
    let mut found = HashSet::new();
    loop {
        let is_new = |pid: i32, parent: i32, found: &HashSet<i32>| {
            !processes.contains(&pid)
                && !found.contains(&pid)
                && (processes.contains(&parent) || found.contains(&parent))
        };
        let more: Vec<i32> =
            living.iter().filter(|(pid, parent)| is_new(*pid, *parent, &found)).map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// The parent of a process that is no zombie. Source: proc_pid_stat(5).
fn living_parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.next()?.parse().ok(),
    }
}
