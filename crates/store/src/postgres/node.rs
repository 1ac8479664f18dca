//! What all parts of one store share.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use longshore_domain::job::QueueName;
use longshore_domain::store::StoreError;

use super::clock::Clock;
use super::errors::Trouble;
use super::session::Connector;

/// Queues that are remembered to be on record; of more than these all are looked up anew.
const QUEUES_MAX: usize = 1024;

/// One process's share in a database.
pub(super) struct Node {
    pub(super) connector: Connector,
    pub(super) clock: Clock,
    /// Limit of a queue that is named for the first time.
    pub(super) queue_concurrency: i64,
    pub(super) patience: Duration,
    /// Where changes are notified.
    pub(super) channel: String,
    /// Tells this store's notifications from those of others.
    pub(super) tag: String,
    queues: Mutex<HashSet<QueueName>>,
    /// The schema found and the newest known, once a newer node has changed it beyond what this build can work with.
    outdated: OnceLock<(u32, u32)>,
}

impl Node {
    pub(super) fn new(
        connector: Connector,
        clock: Clock,
        queue_concurrency: u32,
        patience: Duration,
        tag: String,
    ) -> Self {
        let channel = format!("longshore_{}", connector.schema());
        let queue_concurrency = queue_concurrency.into();
        let (queues, outdated) = (Mutex::default(), OnceLock::new());
        Self { connector, clock, queue_concurrency, patience, channel, tag, queues, outdated }
    }

    /// Notes what keeps this node from taking part for ever.
    pub(super) fn heed(&self, trouble: &Trouble) {
        if let Trouble::Newer { found, known } = trouble {
            self.outdated.get_or_init(|| (*found, *known));
        }
    }

    /// # Errors
    /// [`StoreError::Newer`] once that was found: this node reads and writes no more.
    pub(super) fn takes_part(&self) -> Result<(), StoreError> {
        let outdated = self.outdated.get();
        outdated.map_or(Ok(()), |(found, known)| Err(StoreError::Newer { found: *found, known: *known }))
    }

    /// Whether the queue is known to be on record; queues are never removed.
    pub(super) fn knows(&self, queue: &QueueName) -> bool {
        self.lock().contains(queue)
    }

    pub(super) fn learn<'q>(&self, queues: impl IntoIterator<Item = &'q QueueName>) {
        let mut known = self.lock();
        for queue in queues {
            if known.len() >= QUEUES_MAX {
                known.clear();
            }
            known.insert(queue.clone());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<QueueName>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
