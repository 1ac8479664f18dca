//! The outcome of each job as it was first on record: what is finished must stay as it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use longshore_domain::job::{Outcome, StateName};
use longshore_domain::store::{Store, StoreError};
use longshore_domain::{EventSeq, JobId};
use longshore_store::{PostgresOptions, PostgresStore};

const LINES_MAX: usize = 1_000;
/// Pause while the database is away, and while nothing is new.
const PAUSE: Duration = Duration::from_millis(50);

/// Follows the history in a thread of its own.
pub(crate) struct Watch {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen>>,
}

/// What there was first. A job without an outcome was on record as finished and was not when it was looked at.
pub(crate) type Seen = HashMap<JobId, Option<Outcome>>;

impl Watch {
    pub(crate) fn start(database: String) -> Self {
        let enough = Arc::<AtomicBool>::default();
        let until = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(follow(database, &until))
        });
        Self { enough, thread }
    }

    /// What was seen up to the end of the history.
    pub(crate) fn end(self) -> Result<Seen> {
        self.enough.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
    }
}

async fn follow(database: String, enough: &AtomicBool) -> Result<Seen> {
    let store = PostgresStore::open(PostgresOptions::new(database)).await.context("the database")?;
    let (mut seen, mut after) = (Seen::new(), EventSeq(0));
    loop {
        let is_last = enough.load(Ordering::SeqCst);
        match look(&store, &mut seen, after).await {
            Ok(last) if last != after => after = last,
            Ok(_) if is_last => {
                store.close().await;
                return Ok(seen);
            }
            // The database is away now and then.
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Notes the jobs that finished after that place in the history; gives the place that it came to.
async fn look(store: &PostgresStore, seen: &mut Seen, after: EventSeq) -> Result<EventSeq, StoreError> {
    let lines = store.events(after, None, LINES_MAX).await?;
    for line in lines.iter().filter(|line| line.state == StateName::Finished) {
        if let Entry::Vacant(unseen) = seen.entry(line.job) {
            let job = store.job(line.job).await?;
            unseen.insert(job.and_then(|job| job.outcome().cloned()));
        }
    }
    Ok(lines.last().map_or(after, |line| line.seq))
}
