//! Stops what a shim left behind that was itself killed.

use std::time::Duration;

use longshore_domain::Nonce;
use longshore_domain::job::{LeftoverProcess, ProcessIdentity};
use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use crate::shim::tree::{self, Process};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long SIGKILL may take.
const KILL_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Ends every process of an attempt whose shim is gone: those that carry its mark, the command itself, and all their
/// descendants. SIGTERM, up to 5 s, SIGKILL. Returns what was found, and whether it is gone.
///
/// Elsewhere than on Linux nothing can be found for certain, and nothing is touched.
pub async fn kill_leftovers(nonce: Nonce, run: Option<ProcessIdentity>) -> Vec<LeftoverProcess> {
    let mut known: Vec<Process> = vec![];
    let asked = sweep(&mut known, nonce, run.as_ref(), Signal::TERM, GRACE).await;
    if !asked {
        sweep(&mut known, nonce, run.as_ref(), Signal::KILL, KILL_WITHIN).await;
    }
    let alive = find(nonce, run.as_ref()).await;
    let is_gone = |process: &Process| !alive.iter().any(|other| other.identity == process.identity);
    let described = known.into_iter().map(|process| LeftoverProcess {
        pid: process.identity.pid,
        stopped: is_gone(&process),
        command: process.command,
    });
    described.collect()
}

/// Signals all that is found, and all that is born meanwhile, until nothing is left; whether that was within `patience`.
async fn sweep(
    known: &mut Vec<Process>,
    nonce: Nonce,
    run: Option<&ProcessIdentity>,
    signal: Signal,
    patience: Duration,
) -> bool {
    let give_up_at = Instant::now() + patience;
    let mut signalled: Vec<ProcessIdentity> = vec![];
    loop {
        let alive = find(nonce, run).await;
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

async fn find(nonce: Nonce, run: Option<&ProcessIdentity>) -> Vec<Process> {
    let run = run.cloned();
    tokio::task::spawn_blocking(move || find_now(nonce, run.as_ref())).await.unwrap_or_default()
}

fn find_now(nonce: Nonce, run: Option<&ProcessIdentity>) -> Vec<Process> {
    let mut found = tree::marked(nonce);
    if let Some(process) = run.and_then(tree::living) {
        found.push(process);
    }
    let descendants: Vec<Process> = found.iter().flat_map(|process| tree::descendants(process.identity.pid)).collect();
    found.extend(descendants);
    found.sort_by_key(|process| process.identity.pid);
    found.dedup_by(|a, b| a.identity == b.identity);
    found
}
