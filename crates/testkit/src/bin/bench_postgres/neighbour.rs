//! Starts of a queue while another one has a long line of ready jobs behind a full house, against starts without it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use longshore_domain::job::QueueName;
use longshore_domain::store::Store;
use longshore_store::{PostgresOptions, PostgresStore};
use serde_json::json;

use crate::database::Databases;
use crate::node::{Node, submit, wait_for_state};
use crate::start::starts;
use crate::statistics::{millis, percentile};
use crate::{ours, say, verdict};

const TIMES_MAX: f64 = 2.0;
const LINE: usize = 100_000;
const CALLERS: usize = 512;
const JOBS: usize = 200;
/// What the crowded queue runs at once.
const ROOM: usize = 16;
const CROWDED: &str = "crowded";

pub(crate) async fn measure(databases: &Databases, binary: &Path) -> Result<bool> {
    let url = databases.make();
    let node = Node::start(binary, &url, "only", &format!("queue_concurrency = {ROOM}"))?;
    let mut line = node.line()?;
    let alone = middle(starts(&mut line, "small", JOBS)?);
    let sleep = json!({ "command": ["sleep", "1000"], "cwd": "/", "queue": CROWDED });
    let ids = (0..ROOM).map(|_| submit(&mut line, &sleep)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| wait_for_state(&mut line, id, "running").map(drop))?;
    crowd(&url).await?;
    let beside = middle(starts(&mut line, "small", JOBS)?);
    drop(node);
    databases.remove(&url);
    let times = beside.as_secs_f64() / alone.as_secs_f64();
    say(&format!(
        "neighbour: p50 from submission to start {:.1} ms beside {LINE} ready jobs of another queue, {:.1} ms alone \
         ({times:.2} times); goal: {TIMES_MAX}: {}",
        millis(beside),
        millis(alone),
        verdict(times <= TIMES_MAX)
    ));
    Ok(times <= TIMES_MAX)
}

fn middle(mut starts: Vec<Duration>) -> Duration {
    percentile(&mut starts, 0.5)
}

/// Submits the long line.
async fn crowd(url: &str) -> Result<()> {
    let store = Arc::new(PostgresStore::open(PostgresOptions::new(url)).await?);
    let queue = QueueName::try_from(CROWDED.to_owned())?;
    let next = Arc::new(AtomicUsize::new(0));
    let submit = |store: Arc<PostgresStore>, next: Arc<AtomicUsize>, queue: QueueName| async move {
        while next.fetch_add(1, Ordering::Relaxed) < LINE {
            ours::submit_to(&store, queue.clone()).await?;
        }
        anyhow::Ok(())
    };
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(submit(Arc::clone(&store), Arc::clone(&next), queue.clone()))).collect();
    for caller in callers {
        caller.await??;
    }
    store.close().await;
    Ok(())
}
