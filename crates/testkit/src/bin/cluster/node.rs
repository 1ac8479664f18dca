//! One daemon with a home of its own, its line to the database, and what can be done to both.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore_testkit::ShimsEnd;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::plan::{NARROW, NARROW_PLACES};
use crate::proxy::Proxy;

/// Longest wait for a command: a node that stands still answers nobody.
const COMMAND_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a daemon to start: its database may be away.
const START_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Commands of one node that run at once, and of one queue.
const CAPACITY: usize = 16;
const QUEUE_PLACES: usize = 100;

/// A node under test. Whatever it started is gone when it is dropped.
pub(crate) struct Node {
    binary: PathBuf,
    home: PathBuf,
    pub(crate) line: Proxy,
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    token: OnceLock<String>,
    consent: Option<Consent>,
}

/// A variable for a daemon, and its value.
pub(crate) type Consent = (&'static str, &'static str);

/// What all nodes have in common.
pub(crate) struct Fleet<'f> {
    pub(crate) binary: &'f Path,
    /// What the first node runs instead.
    pub(crate) older: Option<&'f Path>,
    pub(crate) folder: &'f Path,
    /// Where the database's socket is.
    pub(crate) database: &'f Path,
    /// How long a lease lasts.
    pub(crate) lease: &'f str,
    /// For a program that runs only if it is told to.
    pub(crate) consent: Option<Consent>,
}

impl Node {
    /// The one of this number, from 1, at a loopback address of its own.
    pub(crate) fn new(fleet: &Fleet<'_>, number: u8) -> Result<Self> {
        let name = format!("node-{number}");
        let line = Proxy::before(fleet.database, fleet.folder.join(format!("line-{number}")))?;
        let home = fleet.folder.join(&name);
        std::fs::create_dir_all(&home)?;
        let listen = TcpListener::bind((Ipv4Addr::new(127, 0, 0, number + 1), 0))?.local_addr()?;
        let settings = format!(
            "listen = \"{listen}\"\nlease = \"{}\"\ncapacity = {CAPACITY}\nqueue_concurrency = {QUEUE_PLACES}\n\
             [store]\nurl = \"{}\"\n[node]\nname = \"{name}\"\nlabels = [\"{name}\"]\n\
             [queues.{NARROW}]\nconcurrency = {NARROW_PLACES}\n",
            fleet.lease,
            line.url()
        );
        std::fs::write(home.join("config.toml"), settings)?;
        let binary = fleet.older.filter(|_| number == 1).unwrap_or(fleet.binary).to_owned();
        let consent = fleet.consent;
        Ok(Self { binary, home, line, name, listen, token: OnceLock::new(), consent })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("LONGSHORE_HOME", &self.home).stdin(Stdio::null()).current_dir("/").envs(self.consent);
        command
    }

    /// The token of whoever owns its home.
    pub(crate) fn token(&self) -> Result<&str> {
        if let Some(token) = self.token.get() {
            return Ok(token);
        }
        let token = std::fs::read_to_string(self.home.join("token")).context("the token")?;
        Ok(self.token.get_or_init(|| token.trim().to_owned()))
    }

    /// What a command came to; nothing if it did not end in time.
    pub(crate) fn cli(&self, args: &[&str]) -> Result<Option<Output>> {
        let mut child = self.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > COMMAND_MAX {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(Some(child.wait_with_output()?))
    }

    /// What a command printed. Waits for as long as it takes.
    pub(crate) fn read(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.command().args(args).output()?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        serde_json::from_slice(&self.read(args)?).with_context(|| format!("what {args:?} printed"))
    }

    /// Starts it, unless it runs; tries again while it cannot.
    pub(crate) fn up(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let output = self.command().arg("up").output()?;
            match output.status.success() {
                true => return Ok(()),
                false if started.elapsed() > START_MAX => {
                    bail!("{} does not start: {}", self.name, String::from_utf8_lossy(&output.stderr))
                }
                false => {}
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let info: Value = match std::fs::read(self.home.join("daemon.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            // It does not run, so there is nothing to be done to it.
            Err(_) => return Ok(()),
        };
        let pid = info["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("a pid")?;
        // It may be dead already.
        kill_process(pid, signal).ok();
        Ok(())
    }

    /// Traces of attempts that it left in its home.
    pub(crate) fn traces(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.home.join("run")).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with(|first: char| first.is_ascii_digit())).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nobody is left to tell if it does not end.
        self.signal(Signal::CONT).ok();
        self.signal(Signal::KILL).ok();
        drop(ShimsEnd::of(self.home.join("run")));
    }
}
