//! Fills the store of a home with finished and queued jobs, through the storage port, for measurements.
//!
//! No daemon may run on that home.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use longshore_domain::job::{AttemptReport, CommandSpec, Event, JobSpec, QueueName};
use longshore_domain::store::{Claim, NewJob, Queue, Store};
use longshore_domain::{JobId, Labels, NodeId, Nonce, Principal, Timestamp};
use longshore_store::{SqliteOptions, SqliteStore};

/// Fills the store of a home.
#[derive(Parser)]
struct Options {
    /// The home; made if need be.
    #[arg(long)]
    home: PathBuf,
    /// Finished jobs to add.
    #[arg(long, default_value_t = 0)]
    finished: u64,
    /// Queued jobs to add, in a queue of their own named `later`.
    #[arg(long, default_value_t = 0)]
    queued: u64,
}

/// Callers at the same time, so that many share a commit.
const CALLERS: u64 = 512;

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = options.home.join("data");
    std::fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(folder.join("jobs.db"), SqliteOptions::default()).context("the store")?;
        let store: Arc<dyn Store> = Arc::new(store);
        limit_default_queue(&store, u32::MAX).await?;
        add(&store, options.finished, true).await?;
        limit_default_queue(&store, 16).await?;
        add(&store, options.queued, false).await?;
        store.close().await;
        Ok(())
    })
}

/// Without a limit every caller gets a job to finish; otherwise most would stay queued.
async fn limit_default_queue(store: &Arc<dyn Store>, concurrency: u32) -> Result<()> {
    Ok(store.set_queue(Queue { name: QueueName::default(), concurrency }).await?)
}

async fn add(store: &Arc<dyn Store>, count: u64, finish: bool) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (store, next) = (Arc::clone(store), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return anyhow::Ok(());
                    }
                    add_one(&store, index, finish).await?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

async fn add_one(store: &Arc<dyn Store>, index: u64, finish: bool) -> Result<()> {
    let at = Timestamp::from_millis(1_780_000_000_000 + i64::try_from(index)?);
    let node = NodeId::new(at, 1);
    let claim = || Claim {
        holder: node,
        labels: Labels::default(),
        boot: "fill".into(),
        lease: Duration::from_secs(30),
        nonces: vec![Nonce::new(u128::from(index))],
    };
    let job = new_job(at, if finish { "default" } else { "later" })?;
    let (_, claimed) = store.submit(job, finish.then(claim), at).await?;
    for job in claimed.into_iter().map(|claimed| claimed.job) {
        let token = job.attempt;
        let report = AttemptReport {
            exit_code: Some(0),
            started_at: at,
            finished_at: at,
            ran: Duration::from_millis(700),
            ..AttemptReport::default()
        };
        store.record(job.id, Event::Started { token, process: None, deadline_at: None }, None, at).await.0?;
        store.record(job.id, Event::Ended { token, report }, None, at).await.0?;
    }
    Ok(())
}

fn new_job(at: Timestamp, queue: &str) -> Result<NewJob> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let spec = JobSpec::Command(CommandSpec::new(&["true"], "/tmp", &[("PATH", "/usr/bin:/bin")]));
    let id = JobId::new(at, u128::from_le_bytes(random));
    Ok(NewJob { queue: QueueName::try_from(queue.to_owned())?, ..NewJob::new(id, Principal::owner(), spec) })
}
