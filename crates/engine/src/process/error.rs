//! Why an attempt could not be started.

use std::io;
use std::path::PathBuf;

/// Why the spawner, or an attempt through it, could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A spawner of an earlier daemon is still there.
    #[error("an earlier spawner{} still holds `{}`; end that process, then try again", holder(*.pid), .path.display())]
    SpawnerBusy {
        /// Its lock.
        path: PathBuf,
        /// Its process number, if it could be read.
        pid: Option<u32>,
    },
    /// The lock of the spawner cannot be had.
    #[error("the lock `{}` could not be taken", .path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The program did not start, or did not become a spawner.
    #[error("`{}` could not be started as spawner", .program.display())]
    Launch {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The request cannot be written, or is too large.
    #[error("the request for an attempt cannot be passed on: {problem}")]
    Request {
        /// What is wrong with it.
        problem: String,
    },
    /// The spawner ended before it had the whole request.
    #[error("the spawner ended")]
    SpawnerGone,
    /// The shim did not begin.
    #[error("the attempt was not started: {reason}")]
    Refused {
        /// In words.
        reason: String,
    },
    /// The shim ended without a word, after its command may have begun.
    #[error("the shim ended before it said whether the command began")]
    Unknown,
}

impl ProcessError {
    /// Whether the command certainly never began and never will, so that the attempt can be given back.
    pub fn never_started(&self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
