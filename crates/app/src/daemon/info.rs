//! What a running daemon leaves in its home for those who look for it.

use std::net::SocketAddr;

use longshore_domain::fault::Fault;
use serde::{Deserialize, Serialize};

use super::machine;
use crate::home::Home;
use crate::problem::file_failed;

const FILE: &str = "daemon.json";

/// A daemon that is ready. Written when it is, removed when it ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DaemonInfo {
    pub(crate) pid: u32,
    /// Start of the process in clock ticks since boot, where the system tells.
    pub(crate) started_ticks: Option<u64>,
    pub(crate) listen: SocketAddr,
    pub(crate) version: String,
    pub(crate) boot: String,
}

impl DaemonInfo {
    /// This process as a daemon that listens at `listen`.
    pub(crate) fn of_this_process(listen: SocketAddr) -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started_ticks: machine::started_ticks(pid),
            listen,
            version: env!("CARGO_PKG_VERSION").into(),
            boot: machine::boot(),
        }
    }

    /// Whether a note of a daemon is there, living or not: one that ends by itself takes its note away.
    pub(crate) fn announced(home: &Home) -> bool {
        home.file(FILE).exists()
    }

    /// The daemon of `home`, if one that still lives has left its note.
    pub(crate) fn find(home: &Home) -> Option<Self> {
        let text = std::fs::read(home.file(FILE)).ok()?;
        let info: Self = serde_json::from_slice(&text).ok()?;
        info.lives().then_some(info)
    }

    /// Whether the process that wrote this still exists; another one with its number does not count.
    pub(crate) fn lives(&self) -> bool {
        let same_start = || match self.started_ticks {
            Some(ticks) => machine::started_ticks(self.pid) == Some(ticks),
            None => true,
        };
        self.boot == machine::boot() && machine::exists(self.pid) && same_start()
    }

    /// Leaves the note.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn write(&self, home: &Home) -> Result<(), Fault> {
        home.replace(FILE, &serde_json::to_vec_pretty(self).map_err(Fault::internal)?)
    }

    /// Takes the note away again.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn remove(home: &Home) -> Result<(), Fault> {
        let path = home.file(FILE);
        std::fs::remove_file(&path).map_err(|error| file_failed(&path, "removed", &error))
    }
}
