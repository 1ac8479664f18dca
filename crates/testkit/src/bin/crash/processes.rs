//! Processes of the machine, as `/proc` shows them.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

pub(crate) struct Process {
    pub(crate) pid: u64,
    command: String,
}

impl Process {
    /// The one of this number, with the name that the kernel shows.
    pub(crate) fn of(pid: u64) -> Self {
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Self { pid, command: command.trim_end().to_owned() }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "process {} ({})", self.pid, self.command)
    }
}

/// Processes whose environment carries the mark of this test.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let ours = |pid: &u64| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(ours).map(Process::of).collect()
}

pub(crate) fn parent(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

pub(crate) fn kill(pid: u64) -> Result<()> {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "process {pid} could not be killed");
    Ok(())
}
