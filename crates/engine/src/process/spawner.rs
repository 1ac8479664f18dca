//! Has attempts started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use super::launch::{Line, launch};
use super::passing::{Taken, receive_line, send_frame};
use super::{AttemptPlan, ProcessError, ShimLink};
use crate::shim::wire::{REQUEST_BYTES_MAX, record_name, socket_name, to_frame};

/// How to start spawners.
#[derive(Clone, Debug)]
pub struct SpawnerOptions {
    /// The program that calls [`crate::shim::run_spawner`] first thing.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Folder of sockets, locks and exit records, on a local disk.
    pub run_dir: PathBuf,
    /// Folder in a writable cgroup v2 hierarchy, for a cgroup per attempt.
    pub cgroup: Option<PathBuf>,
    /// Start it in a systemd scope of its own, so that it is not stopped together with this service.
    pub scope: bool,
    /// See [`Settings::open_files`](crate::Settings).
    pub open_files: Option<u64>,
}

/// Where shims and commands are, as was seen when the spawner started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// In a systemd scope of their own.
    pub scope: bool,
    /// Commands can join leaves of the folder of cgroups.
    pub leaves: bool,
}

/// Starts attempts through a spawner of its own. When it is dropped the spawner ends; the shims go on.
pub struct Spawner {
    options: SpawnerOptions,
    line: Mutex<Option<Line>>,
}

impl Spawner {
    /// Waits until no spawner of an earlier daemon is left, at most 10 s, and starts one.
    ///
    /// Once it returns, an attempt of an earlier daemon that left no trace will never begin.
    ///
    /// # Errors
    /// If an earlier spawner does not end, or the program does not become a spawner.
    pub async fn launch(options: SpawnerOptions) -> Result<Self, ProcessError> {
        let line = launch(&options).await?;
        Ok(Self { options, line: Mutex::new(Some(line)) })
    }

    /// Starts an attempt; returns when its shim has said its first word. A spawner that has died is replaced once.
    ///
    /// # Errors
    /// [`ProcessError::never_started`] tells whether the attempt may be given back; if not, look it up.
    ///
    /// Not cancel safe: an attempt whose start was given up may run all the same.
    pub async fn spawn(&self, plan: AttemptPlan) -> Result<ShimLink, ProcessError> {
        let frame = to_frame(&plan).map_err(|error| ProcessError::Request { problem: error.to_string() })?;
        if frame.len() > REQUEST_BYTES_MAX {
            let problem = format!("it has {} bytes, of which {REQUEST_BYTES_MAX} are allowed", frame.len());
            return Err(ProcessError::Request { problem });
        }
        match self.try_spawn(&plan, &frame).await {
            Err(ProcessError::SpawnerGone) => {
                tracing::warn!("the spawner has ended; starting another");
                self.try_spawn(&plan, &frame).await
            }
            result => result,
        }
    }

    /// Where the spawner that runs is, and with it what it starts; nowhere if it has ended and is not replaced yet.
    pub async fn placed(&self) -> Placed {
        self.line.lock().await.as_ref().map(|line| line.placed).unwrap_or_default()
    }

    /// Ends the spawner; the shims go on. Call it once no attempt will be started any more.
    pub async fn close(&self) {
        *self.line.lock().await = None;
    }

    async fn try_spawn(&self, plan: &AttemptPlan, frame: &[u8]) -> Result<ShimLink, ProcessError> {
        let (mut line, taken) = self.take_line().await?;
        // The next one is asked for second, since making it would hold this one up; but then at once, so that a frozen
        // shim that reads nothing holds up no other.
        let (sent, ()) = tokio::join!(biased; send_frame(&line, frame, None), async move { drop(taken) });
        if sent.is_err() {
            // It has ended, and may have said why; should it live, it must not wait for the rest.
            line.shutdown().await.ok();
        }
        let mut link = ShimLink::new(line);
        match link.first_word().await {
            Some(Ok(())) => Ok(link),
            Some(Err(reason)) => Err(ProcessError::Refused { reason }),
            None if self.left_traces(plan) => Err(ProcessError::Unknown),
            None => Err(ProcessError::SpawnerGone),
        }
    }

    /// The line to a shim that waits for a request.
    async fn take_line(&self) -> Result<(UnixStream, Taken), ProcessError> {
        let mut spawner = self.line.lock().await;
        let current = match spawner.take() {
            Some(current) => current,
            None => launch(&self.options).await?,
        };
        let current = spawner.insert(current);
        match receive_line(&current.socket).await {
            Ok(line) => Ok((line, Taken(Arc::clone(&current.socket)))),
            Err(_) => {
                *spawner = None;
                Err(ProcessError::SpawnerGone)
            }
        }
    }

    /// Whether a shim of the attempt has been there. It makes its socket before it starts the command.
    fn left_traces(&self, plan: &AttemptPlan) -> bool {
        let names = [socket_name(plan.number, plan.attempt), record_name(plan.number, plan.attempt)];
        names.iter().any(|name| self.options.run_dir.join(name).symlink_metadata().is_ok())
    }
}
