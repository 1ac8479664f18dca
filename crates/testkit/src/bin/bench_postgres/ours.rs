//! Jobs through our own storage port, without processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use longshore_domain::job::{AttemptReport, CommandSpec, Event, JobSpec, QueueName};
use longshore_domain::store::{Claim, ClaimedJob, NewJob, Queue, Store};
use longshore_domain::{JobId, Labels, NodeId, Nonce, Principal, Timestamp};
use longshore_store::{PostgresOptions, PostgresStore};

/// Only ids are made of it: what happens when is the database's to say.
const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

static IDS: AtomicU64 = AtomicU64::new(1);

/// A store on this database, whose usual queue has room for everything.
pub(crate) async fn open(url: &str) -> Result<Arc<PostgresStore>> {
    let store = PostgresStore::open(PostgresOptions::new(url)).await?;
    store.set_queue(Queue { name: QueueName::default(), concurrency: 1_000_000 }).await?;
    Ok(Arc::new(store))
}

pub(crate) fn unique() -> u128 {
    u128::from(IDS.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

pub(crate) fn spec() -> JobSpec {
    let words = ["cargo", "test", "--workspace", "--all-features"];
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/home/dev"), ("LANG", "C.UTF-8")];
    JobSpec::Command(CommandSpec::new(&words, "/home/dev/project", &env))
}

fn new_job(queue: QueueName) -> NewJob {
    let id = JobId::new(NOW.plus(Duration::from_millis(IDS.load(Ordering::Relaxed))), unique());
    NewJob { queue, ..NewJob::new(id, Principal::agent("coder"), spec()) }
}

pub(crate) async fn submit(store: &PostgresStore) -> Result<()> {
    submit_to(store, QueueName::default()).await
}

pub(crate) async fn submit_to(store: &PostgresStore, queue: QueueName) -> Result<()> {
    store.submit(new_job(queue), None, NOW).await?;
    Ok(())
}

/// Room for one job.
fn room() -> Claim {
    Claim {
        holder: NodeId::new(NOW, 1),
        labels: Labels::default(),
        boot: "2f1c3a5e-0b1d-4c2e-9f3a-6b7c8d9e0f1a".into(),
        lease: Duration::from_secs(30),
        nonces: vec![Nonce::new(unique())],
    }
}

/// The next job, if one is ready.
pub(crate) async fn claim(store: &PostgresStore) -> Result<Option<ClaimedJob>> {
    Ok(store.claim(room(), NOW).await?.pop())
}

pub(crate) fn report() -> AttemptReport {
    AttemptReport {
        exit_code: Some(0),
        started_at: NOW,
        finished_at: NOW.plus(Duration::from_secs(1)),
        ran: Duration::from_secs(1),
        ..AttemptReport::default()
    }
}

/// Stores the end of a job; with `more` the next one is taken in the same transaction, as nodes do it.
pub(crate) async fn finish(store: &PostgresStore, taken: &ClaimedJob, more: bool) -> Result<Option<ClaimedJob>> {
    let ended = Event::Ended { token: taken.job.attempt, report: report() };
    let (done, mut next) = store.record(taken.job.id, ended, more.then(room), NOW).await;
    done?;
    Ok(next.pop())
}

/// How a caller goes about its jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Submits one, takes one, finishes it: three calls for each job.
    Apart,
    /// Submits one; finishes the one it has and takes the next with that, as nodes do it: two calls.
    Riding,
}

/// Whole jobs per second of so many callers.
pub(crate) async fn lives(store: &Arc<PostgresStore>, way: Way, callers: usize, length: Duration) -> Result<f64> {
    let begin = Instant::now();
    let live = |store: Arc<PostgresStore>| async move {
        let (mut finished, mut held) = (0_usize, None);
        while begin.elapsed() < length {
            submit(&store).await?;
            held = match held {
                Some(taken) => {
                    finished += 1;
                    finish(&store, &taken, way == Way::Riding).await?
                }
                None => None,
            };
            if held.is_none() {
                held = claim(&store).await?;
            }
        }
        anyhow::Ok(finished)
    };
    let tasks: Vec<_> = (0..callers).map(|_| tokio::spawn(live(Arc::clone(store)))).collect();
    let mut finished = 0;
    for task in tasks {
        finished += task.await??;
    }
    Ok(finished as f64 / begin.elapsed().as_secs_f64())
}
