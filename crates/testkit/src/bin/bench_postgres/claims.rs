//! What a claim costs behind ten thousand finished jobs and behind a million. The first are made through the port; the
//! others are copies of their rows, history and all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use longshore_domain::store::Store;
use longshore_store::PostgresStore;
use tokio_postgres::Client;

use crate::database::{Databases, connect};
use crate::ours::Way;
use crate::statistics::{millis, percentile};
use crate::{ours, say, verdict};

const TIMES_MAX: f64 = 1.5;
const FEW: usize = 10_000;
/// Copies of each of the few.
const COPIES: i64 = 99;
const CALLERS: usize = 100;
const CLAIMS: usize = 1_000;
const TURN: Duration = Duration::from_secs(3);

// Only what is finished is copied: a claim counts what is live.
const COPY_JOBS: &str = "INSERT INTO job SELECT j.number + k * $1, 'c' || k || substr(id, 2), principal_class, \
     principal_name, conversation, kind, name, title, retry, likeness, retry_of, submitted_at, spec, requires \
     FROM job AS j JOIN standing AS s ON s.job = j.number CROSS JOIN generate_series(1, $2::bigint) AS k \
     WHERE s.state = 'finished' AND j.number <= $3";
const COPY_EVENTS: &str = "INSERT INTO event SELECT e.seq + k * $3, e.job + k * $1, at, kind, e.state, e.attempt, detail \
     FROM event AS e JOIN standing AS s ON s.job = e.job CROSS JOIN generate_series(1, $2::bigint) AS k \
     WHERE s.state = 'finished' AND s.job <= $4";
const COPY_STANDINGS: &str = "INSERT INTO standing SELECT job + k * $1, version, state, phase, content, attempt, \
     failures, queue, priority, holder, started_at, changed_at, due_at, finished_at, outcome, pinned, output_expired \
     FROM standing CROSS JOIN generate_series(1, $2::bigint) AS k WHERE state = 'finished' AND job <= $3";
const MOVE_ON: &str =
    "SELECT setval('job_number', max(number)), setval('event_seq', (SELECT max(seq) FROM event)) FROM job";

pub(crate) async fn measure(databases: &Databases) -> Result<bool> {
    let url = databases.make();
    let store = ours::open(&url).await?;
    live(&store, FEW).await?;
    settle(&url).await?;
    let few = claim(&store, "ten thousand").await?;
    store.close().await;
    copy(&url).await?;
    settle(&url).await?;
    let store = ours::open(&url).await?;
    let many = claim(&store, "a million").await?;
    store.close().await;
    databases.remove(&url);
    let times = many.as_secs_f64() / few.as_secs_f64();
    let met = times <= TIMES_MAX;
    say(&format!("claims: behind a million {times:.2} times as long; goal: {TIMES_MAX}: {}", verdict(met)));
    Ok(met)
}

/// Has so many whole jobs done.
pub(crate) async fn live(store: &Arc<PostgresStore>, jobs: usize) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let live = |store: Arc<PostgresStore>, next: Arc<AtomicUsize>| async move {
        while next.fetch_add(1, Ordering::Relaxed) < jobs {
            ours::submit(&store).await?;
            let taken = ours::claim(&store).await?.context("nobody takes more than was submitted")?;
            ours::finish(&store, &taken, false).await?;
        }
        anyhow::Ok(())
    };
    let tasks: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(live(Arc::clone(store), Arc::clone(&next)))).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// What half of the claims took at most, one at a time; each takes one of as many ready jobs.
async fn claim(store: &Arc<PostgresStore>, behind: &str) -> Result<Duration> {
    for _ in 0..CLAIMS / CALLERS {
        futures_util::future::try_join_all((0..CALLERS).map(|_| ours::submit(store))).await?;
    }
    let mut samples = vec![];
    let mut taken = vec![];
    for _ in 0..CLAIMS {
        let begin = Instant::now();
        taken.push(ours::claim(store).await?.context("a ready job")?);
        samples.push(begin.elapsed());
    }
    for some in taken.chunks(CALLERS) {
        futures_util::future::try_join_all(some.iter().map(|job| ours::finish(store, job, false))).await?;
    }
    let rate = ours::lives(store, Way::Riding, CALLERS, TURN).await?;
    let (middle, late) = (percentile(&mut samples, 0.5), percentile(&mut samples, 0.99));
    say(&format!(
        "claims: behind {behind} finished jobs: p50 {:.2} ms, p99 {:.2} ms; {CALLERS} callers do {rate:.0} whole jobs/s",
        millis(middle),
        millis(late)
    ));
    Ok(middle)
}

/// Makes copies of all that happened so far.
async fn copy(url: &str) -> Result<()> {
    let client = connect(url).await?;
    client.batch_execute("SET search_path = longshore").await?;
    let jobs = highest(&client, "SELECT max(number) FROM job").await?;
    let lines = highest(&client, "SELECT max(seq) FROM event").await?;
    let few = FEW as i64;
    client.execute(COPY_JOBS, &[&jobs, &COPIES, &few]).await?;
    client.execute(COPY_EVENTS, &[&jobs, &COPIES, &lines, &few]).await?;
    client.execute(COPY_STANDINGS, &[&jobs, &COPIES, &few]).await?;
    client.query(MOVE_ON, &[]).await?;
    Ok(())
}

/// Has the server do at once what it would do beside the claims: a million jobs are not copied within seconds elsewhere.
async fn settle(url: &str) -> Result<()> {
    let client = connect(url).await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

async fn highest(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await?.get(0))
}
