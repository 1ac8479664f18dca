//! Other queues over PostgreSQL beside ours: whole no-op jobs per second, enqueued while they are worked off, from the
//! first enqueueing to the last stored end. Each peer is driven by a program in its own language (`bench/peers`), set up
//! in several ways of which the best counts, with as many connections and a payload as long as ours.
//!
//! Compared are callers that each wait for their job to be accepted, as all of ours do. What peers reach that are given
//! hundreds of jobs in one call is shown beside it: our port has no such call.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use longshore_domain::store::Store;
use longshore_store::PostgresStore;
use tokio::sync::Notify;

use crate::database::Databases;
use crate::statistics::median;
use crate::{ours, say, verdict};

/// Ours against the best of them.
const TIMES_MIN: f64 = 1.2;
const CALLERS: usize = 100;
const BATCH_CALLERS: usize = 4;
const OUR_JOBS: usize = 20_000;
const OUR_WORKERS: usize = 100;
const OUR_TURNS: usize = 3;

struct Peer {
    name: &'static str,
    /// Where `bench/postgres` installs what runs it, and what that is to run, if anything.
    program: &'static str,
    script: Option<&'static str>,
    /// How many jobs it works on at once, each a way to set it up.
    workers: &'static [usize],
    singles: usize,
    in_batches: usize,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "Graphile Worker 0.18.0",
        program: "graphile-worker/node_modules/.bin/node",
        script: Some("graphile-worker/run.mjs"),
        workers: &[10, 24],
        singles: 2_500,
        in_batches: 40_000,
    },
    Peer {
        name: "Procrastinate 3.10.0",
        program: "procrastinate/bin/python",
        script: Some("procrastinate/run.py"),
        workers: &[10, 50],
        singles: 1_000,
        in_batches: 1_000,
    },
    Peer {
        name: "awa 0.6.9",
        program: "awa/release/awa-peer",
        script: None,
        workers: &[64, 256],
        singles: 2_500,
        in_batches: 20_000,
    },
];

pub(crate) async fn measure(databases: &Databases, installed: &Path) -> Result<bool> {
    let mut turns = vec![ours(databases).await?];
    let (mut best_single, mut best_in_batches) = (0.0_f64, 0.0_f64);
    for peer in &PEERS {
        let single = best(databases, installed, peer, "single", peer.singles, CALLERS)?;
        let in_batches = best(databases, installed, peer, "batch", peer.in_batches, BATCH_CALLERS)?;
        say(&format!(
            "peers: {}: {:.0} whole jobs/s enqueued singly by {CALLERS} callers ({} workers), {:.0} in batches of 500 \
             ({} workers)",
            peer.name, single.0, single.1, in_batches.0, in_batches.1
        ));
        best_single = best_single.max(single.0);
        best_in_batches = best_in_batches.max(in_batches.0);
        if turns.len() < OUR_TURNS {
            turns.push(ours(databases).await?);
        }
    }
    let rate = median(&mut turns);
    let met = rate >= TIMES_MIN * best_single;
    say(&format!(
        "peers: ours: {rate:.0} whole jobs/s enqueued singly by {CALLERS} callers: {:.2} times the best of them; goal: \
         {TIMES_MIN}: {} ({:.2} times the best in batches)",
        rate / best_single,
        verdict(met),
        rate / best_in_batches
    ));
    Ok(met)
}

/// Its best figure in this mode, and the number of workers that gave it.
fn best(
    databases: &Databases,
    installed: &Path,
    peer: &Peer,
    mode: &str,
    jobs: usize,
    callers: usize,
) -> Result<(f64, usize)> {
    let mut best = (0.0, 0);
    for workers in peer.workers {
        let url = databases.make();
        let mut command = Command::new(installed.join(peer.program));
        // Installed beside its script, for those whose language finds what they need there.
        command.args(peer.script.map(|script| installed.join(script)));
        command.args([&url, mode, &jobs.to_string(), &callers.to_string(), &workers.to_string()]);
        command.arg(serde_json::to_string(&ours::spec())?);
        let output = command.stderr(Stdio::inherit()).output().with_context(|| peer.name)?;
        ensure!(output.status.success(), "{}, {mode}, {workers} workers: {}", peer.name, output.status);
        let rate: f64 = String::from_utf8(output.stdout)?.trim().parse().with_context(|| peer.name)?;
        if rate > best.0 {
            best = (rate, *workers);
        }
        databases.remove(&url);
    }
    Ok(best)
}

/// The same with ours: some submit, others take what is ready, finish it and take the next with that.
async fn ours(databases: &Databases) -> Result<f64> {
    let url = databases.make();
    let store = ours::open(&url).await?;
    let work = Arc::new(Work { submitted: Notify::new(), left: AtomicUsize::new(OUR_JOBS) });
    let workers: Vec<_> =
        (0..OUR_WORKERS).map(|_| tokio::spawn(work_off(Arc::clone(&store), Arc::clone(&work)))).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let submit = |store: Arc<PostgresStore>, next: Arc<AtomicUsize>, work: Arc<Work>| async move {
        while next.fetch_add(1, Ordering::Relaxed) < OUR_JOBS {
            ours::submit(&store).await?;
            work.submitted.notify_one();
        }
        anyhow::Ok(())
    };
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(submit(Arc::clone(&store), Arc::clone(&next), Arc::clone(&work)))).collect();
    for task in callers.into_iter().chain(workers) {
        task.await??;
    }
    let rate = OUR_JOBS as f64 / begin.elapsed().as_secs_f64();
    store.close().await;
    databases.remove(&url);
    Ok(rate)
}

struct Work {
    submitted: Notify,
    /// Jobs that are not finished yet.
    left: AtomicUsize,
}

async fn work_off(store: Arc<PostgresStore>, work: Arc<Work>) -> Result<()> {
    let mut taken = None;
    loop {
        taken = match taken {
            Some(job) => {
                let next = ours::finish(&store, &job, true).await?;
                if work.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    work.submitted.notify_waiters();
                }
                next
            }
            None => {
                let submitted = work.submitted.notified();
                tokio::pin!(submitted);
                submitted.as_mut().enable();
                let next = ours::claim(&store).await?;
                if next.is_none() {
                    if work.left.load(Ordering::SeqCst) == 0 {
                        return Ok(());
                    }
                    submitted.await;
                }
                next
            }
        }
    }
}
