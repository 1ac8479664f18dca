//! Stops what a shim left behind that was itself killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_domain::Nonce;
use longshore_domain::job::{LeftoverProcess, ProcessIdentity};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::shim::cgroup;
use crate::shim::tree::{self, Process};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long SIGKILL may take.
const KILL_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// How the processes of an attempt are found whose shim is gone.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The mark that they carry.
    pub nonce: Nonce,
    /// The command itself, if it began.
    pub command: Option<ProcessIdentity>,
    /// The cgroup that they may have had.
    pub leaf: Option<PathBuf>,
}

/// Ends every process of an attempt whose shim is gone: those that carry its mark, the command itself, all their
/// descendants, and whatever is in its cgroup, which is then removed. SIGTERM, up to 5 s, SIGKILL. Returns what was found,
/// and whether it is gone.
///
/// Elsewhere than on Linux nothing can be found for certain, and nothing is touched.
pub async fn kill_leftovers(traces: &Traces) -> Vec<LeftoverProcess> {
    let mut known: Vec<Process> = vec![];
    let asked = sweep(&mut known, traces, Signal::TERM, GRACE).await;
    if !asked {
        traces.leaf.as_deref().into_iter().for_each(cgroup::kill);
        sweep(&mut known, traces, Signal::KILL, KILL_WITHIN).await;
    }
    if let Some(leaf) = &traces.leaf {
        remove(leaf).await;
    }
    let alive = find(traces).await;
    let is_gone = |process: &Process| !alive.iter().any(|other| other.identity == process.identity);
    let described = known.into_iter().map(|process| LeftoverProcess {
        pid: process.identity.pid,
        stopped: is_gone(&process),
        command: process.command,
    });
    described.collect()
}

/// Kills whatever is left in the cgroup of an attempt that is over, and removes it.
pub async fn end_leaf(leaf: &Path) {
    cgroup::kill(leaf);
    remove(leaf).await;
}

/// Those that were killed may take a moment to leave. A cgroup that they do not leave stays and shows them.
async fn remove(leaf: &Path) {
    let give_up_at = Instant::now() + KILL_WITHIN;
    while !cgroup::remove(leaf) {
        if Instant::now() >= give_up_at {
            return tracing::warn!(path = %leaf.display(), "a cgroup could not be removed: something in it does not die");
        }
        sleep(PAUSE).await;
    }
}

/// Signals all that is found, and all that is born meanwhile, until nothing is left; whether that was within `patience`.
async fn sweep(known: &mut Vec<Process>, traces: &Traces, signal: Signal, patience: Duration) -> bool {
    let give_up_at = Instant::now() + patience;
    let mut signalled: Vec<ProcessIdentity> = vec![];
    loop {
        let alive = find(traces).await;
        if alive.is_empty() {
            return true;
        }
        for process in alive {
            if !signalled.contains(&process.identity) {
                tree::signal(&process.identity, signal);
                signalled.push(process.identity.clone());
            }
            if !known.iter().any(|other| other.identity == process.identity) {
                known.push(process);
            }
        }
        if Instant::now() >= give_up_at {
            return false;
        }
        sleep(PAUSE).await;
    }
}

async fn find(traces: &Traces) -> Vec<Process> {
    let traces = traces.clone();
    tokio::task::spawn_blocking(move || find_now(&traces)).await.unwrap_or_default()
}

fn find_now(traces: &Traces) -> Vec<Process> {
    let mut found = tree::marked(traces.nonce);
    found.extend(traces.command.as_ref().and_then(tree::living));
    let descendants: Vec<Process> = found.iter().flat_map(|process| tree::descendants(process.identity.pid)).collect();
    found.extend(descendants);
    let members = traces.leaf.as_deref().map(cgroup::members).unwrap_or_default();
    found.extend(members.into_iter().filter_map(|pid| tree::living(&tree::identify(pid)?)));
    found.sort_by_key(|process| process.identity.pid);
    found.dedup_by(|a, b| a.identity == b.identity);
    found
}
