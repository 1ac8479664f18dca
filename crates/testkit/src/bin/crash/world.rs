//! The program under test, its home, and what can be done to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use longshore_testkit::ShimsEnd;
use serde_json::Value;

use crate::processes::{kill, marked, parent};

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) killed: AtomicUsize,
    pub(crate) resubmitted: AtomicUsize,
    pub(crate) shims_killed: AtomicUsize,
}

/// Whatever the program has started is gone when this is dropped.
pub(crate) struct World {
    binary: PathBuf,
    home: PathBuf,
    pub(crate) marks: PathBuf,
    pub(crate) tally: Tally,
    pub(crate) stop: AtomicBool,
}

impl World {
    /// For this program, with all that it keeps in this folder.
    pub(crate) fn new(binary: PathBuf, folder: &Path) -> Result<Self> {
        let (home, marks) = (folder.join("home"), folder.join("marks"));
        std::fs::create_dir_all(&marks)?;
        Ok(Self { binary, home, marks, tally: Tally::default(), stop: AtomicBool::new(false) })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("LONGSHORE_HOME", &self.home).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// A variable that every process of this test's jobs inherits.
    pub(crate) fn mark(&self) -> String {
        format!("CRASH_TEST={}", self.marks.display())
    }

    /// Where traces of attempts are, and where the spawner and every shim stay for as long as they live.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.home.join("run")
    }

    pub(crate) fn cli(&self, args: &[&str]) -> Result<Output> {
        self.command().args(args).output().context("the program under test starts")
    }

    /// What a command that must succeed printed.
    pub(crate) fn read(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.cli(args)?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        serde_json::from_slice(&self.read(args)?).with_context(|| format!("what {args:?} printed"))
    }

    pub(crate) fn up(&self) -> Result<()> {
        self.read(&["up"]).map(drop).context("the daemon did not start")
    }

    pub(crate) fn down(&self) -> Result<()> {
        self.read(&["down"]).map(drop).context("the daemon did not stop")
    }

    pub(crate) fn kill_daemon(&self) -> Result<()> {
        let Some(pid) = self.json(&["doctor", "--json"])?["daemon_pid"].as_u64() else { return Ok(()) };
        kill(pid)?;
        self.tally.killed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Kills the shim of some running job: the parent of a marked process that does not carry the mark itself.
    pub(crate) fn kill_a_shim(&self) {
        let marked: Vec<u64> = marked(&self.mark()).into_iter().map(|process| process.pid).collect();
        let shim = marked.iter().filter_map(|&pid| parent(pid)).find(|pid| *pid > 1 && !marked.contains(pid));
        if shim.is_some_and(|pid| kill(pid).is_ok()) {
            self.tally.shims_killed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Nobody is left to tell if it does not end.
        self.down().ok();
        drop(ShimsEnd::of(self.run_dir()));
    }
}
