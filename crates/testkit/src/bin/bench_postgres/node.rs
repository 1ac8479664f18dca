//! A real daemon with a home of its own on a shared database, and what is asked of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use longshore_testkit::ShimsEnd;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::http::Line;

/// Seconds after which a job that has not ended is a fault.
const WAIT_MAX: u32 = 60;

/// Whatever it started is gone when it is dropped.
pub(crate) struct Node {
    name: String,
    folder: tempfile::TempDir,
    pid: Pid,
    address: String,
    token: String,
}

impl Node {
    pub(crate) fn start(binary: &Path, url: &str, name: &str, settings: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let all = format!("{settings}\n[store]\nurl = \"{url}\"\n[node]\nname = \"{name}\"\n");
        std::fs::write(folder.path().join("config.toml"), all)?;
        let run = |args: &[&str]| {
            let mut command = Command::new(binary);
            command.args(args).env("LONGSHORE_HOME", folder.path()).current_dir("/").stdin(Stdio::null()).output()
        };
        let up = run(&["up"])?;
        ensure!(up.status.success(), "{name} did not start: {}", String::from_utf8_lossy(&up.stderr));
        let facts: Value = serde_json::from_slice(&run(&["doctor", "--json"])?.stdout).context("facts")?;
        let pid = facts["daemon_pid"].as_i64().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let token = std::fs::read_to_string(folder.path().join("token"))?.trim().to_owned();
        let address = facts["listen"].as_str().context("an address")?.to_owned();
        Ok(Self { name: name.to_owned(), pid: pid.context("a process")?, folder, address, token })
    }

    pub(crate) fn line(&self) -> Result<Line> {
        Line::open(&self.address, &self.token)
    }

    /// Has it take no more jobs, or take them again.
    pub(crate) fn drain(&self, draining: bool) -> Result<()> {
        let body = json!({ "draining": draining }).to_string();
        self.line()?.ask("PUT", &format!("/nodes/{}/draining", self.name), &body)?;
        Ok(())
    }

    /// Ends everything of it at once, as when the machine dies.
    pub(crate) fn die(&self) {
        // It may be dead already.
        kill_process(self.pid, Signal::KILL).ok();
        drop(ShimsEnd::of(self.run_dir()));
    }

    fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.die();
    }
}

/// Submits a job; its id.
pub(crate) fn submit(line: &mut Line, job: &Value) -> Result<String> {
    let accepted = line.ask("POST", "/jobs", &job.to_string())?;
    // Fields of the job stand beside what else is said of it.
    let id = accepted["id"].as_str().or(accepted["job"]["id"].as_str());
    Ok(id.with_context(|| format!("an id in {accepted}"))?.to_owned())
}

/// The job once it has ended.
pub(crate) fn wait(line: &mut Line, id: &str) -> Result<Value> {
    let waited = line.get(&format!("/jobs/{id}/wait?timeout_s={WAIT_MAX}"))?;
    ensure!(waited["timed_out"] == false, "job {id} does not end: {waited}");
    Ok(match waited.get("job") {
        Some(job) => job.clone(),
        None => waited,
    })
}

/// The job once it is in this state.
pub(crate) fn wait_for_state(line: &mut Line, id: &str, state: &str) -> Result<Value> {
    loop {
        let job = line.get(&format!("/jobs/{id}"))?;
        if job["state"] == state {
            return Ok(job);
        }
        ensure!(job["state"] != "finished", "job {id} ended before it was {state}: {job}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
