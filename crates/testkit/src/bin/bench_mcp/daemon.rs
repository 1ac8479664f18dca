//! A daemon in a temporary home, and what the machine says of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Queue from which nothing is ever started.
pub(crate) const PAUSED: &str = "paused";

/// Linux counts processor time in hundredths of a second wherever we run.
const TICK_MS: u64 = 10;

pub(crate) struct Daemon {
    binary: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) pid: u32,
}

/// What a write would change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoreState(Vec<(&'static str, u64, SystemTime)>);

impl Daemon {
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir_all(home(&folder))?;
        std::fs::write(home(&folder).join("config.toml"), format!("[queues.{PAUSED}]\nconcurrency = 0\n"))?;
        let mut daemon =
            Self { binary: binary.to_owned(), folder, address: String::new(), token: String::new(), pid: 0 };
        let up = daemon.cli(&["up"])?;
        ensure!(up.status.success(), "the daemon did not start: {}", String::from_utf8_lossy(&up.stderr));
        let facts: Value = serde_json::from_slice(&daemon.cli(&["doctor", "--json"])?.stdout).context("facts")?;
        daemon.address = facts["listen"].as_str().context("an address")?.to_owned();
        daemon.pid = facts["daemon_pid"].as_u64().and_then(|pid| pid.try_into().ok()).context("a process")?;
        daemon.token = std::fs::read_to_string(home(&daemon.folder).join("token"))?.trim().to_owned();
        Ok(daemon)
    }

    fn cli(&self, args: &[&str]) -> Result<Output> {
        let home = home(&self.folder);
        Ok(Command::new(&self.binary).args(args).env("LONGSHORE_HOME", home).stdin(Stdio::null()).output()?)
    }

    /// A folder on the disk of the daemon's store.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu(self.pid)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("resident memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Bytes that it has had written to disk.
    pub(crate) fn written(&self) -> Result<u64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid))?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:")).context("bytes written")?;
        Ok(line.trim().parse()?)
    }

    pub(crate) fn store(&self) -> Result<StoreState> {
        let state = |name: &'static str| {
            let found = std::fs::metadata(home(&self.folder).join(name))?;
            anyhow::Ok((name, found.len(), found.modified()?))
        };
        Ok(StoreState(["data/jobs.db", "data/jobs.db-wal"].into_iter().map(state).collect::<Result<_>>()?))
    }
}

/// Processor time that a process has used, of the user and of the system.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(") ").context("the state of the process")?;
    // Fields 14 and 15 of proc_pid_stat(5), of which two are gone.
    let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * TICK_MS))
}

fn home(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("home")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.pid != 0 {
            // Nothing is lost: the home goes with it.
            self.cli(&["down"]).ok();
        }
    }
}
