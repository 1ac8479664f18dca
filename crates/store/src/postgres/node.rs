//! What all parts of one store share.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::job::QueueName;

use super::clock::Clock;
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
        Self { connector, clock, queue_concurrency, patience, channel, tag, queues: Mutex::default() }
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
