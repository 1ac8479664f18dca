//! Who is told when something changes: waiters for one job, followers of the whole history.
//!
//! Nothing here is durable. Whoever waits reads the store after subscribing, so a lost nudge is never lost news.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::JobId;
use tokio::sync::watch;

/// Passes on that something changed, not what.
#[derive(Debug)]
pub(crate) struct Hub {
    jobs: Mutex<HashMap<JobId, watch::Sender<u64>>>,
    commits: watch::Sender<u64>,
}

/// Wakes its holder when a job changes or prints something.
#[derive(Debug)]
pub(crate) struct JobNews {
    hub: Arc<Hub>,
    job: JobId,
    receiver: watch::Receiver<u64>,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { jobs: Mutex::default(), commits: watch::Sender::new(0) })
    }

    /// Starts to listen for news of one job; news from now on are not missed.
    pub(crate) fn listen(self: &Arc<Self>, job: JobId) -> JobNews {
        let mut jobs = self.lock();
        let sender = jobs.entry(job).or_insert_with(|| watch::Sender::new(0));
        JobNews { hub: Arc::clone(self), job, receiver: sender.subscribe() }
    }

    /// Wakes everybody who listens for news of `job`.
    pub(crate) fn tell(&self, job: JobId) {
        if let Some(sender) = self.lock().get(&job) {
            sender.send_modify(|count| *count += 1);
        }
    }

    /// Wakes everybody who listens for news of a job.
    pub(crate) fn tell_all(&self) {
        self.lock().values().for_each(|sender| sender.send_modify(|count| *count += 1));
    }

    /// Wakes everybody who follows the history.
    pub(crate) fn committed(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// Changes with every commit that this process makes or hears of.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, watch::Sender<u64>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobNews {
    /// Returns at the next news. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for JobNews {
    fn drop(&mut self) {
        let mut jobs = self.hub.lock();
        if jobs.get(&self.job).is_some_and(|sender| sender.receiver_count() <= 1) {
            jobs.remove(&self.job);
        }
    }
}
