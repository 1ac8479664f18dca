//! Which jobs change, for whoever shows many of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore_domain::fault::Fault;
use longshore_domain::job::StateName;
use longshore_domain::{EventSeq, JobId};
use tokio::sync::watch;

use crate::Engine;
use crate::inner::Inner;

/// Events read at once.
const EVENTS_MAX: usize = 500;

/// A position in the history, moved on as changes are read. Holds nothing for any job, so that following ten thousand
/// costs what following one does.
pub struct Follower {
    inner: Arc<Inner>,
    after: EventSeq,
    commits: watch::Receiver<u64>,
}

/// A job that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The job.
    pub job: JobId,
    /// Its end is among the changes: so once for each job, however soon after an earlier change it is looked at.
    pub ended: bool,
}

impl Engine {
    /// Begins to follow: no change from now on is missed.
    ///
    /// # Errors
    /// The store's own.
    pub async fn follow(&self) -> Result<Follower, Fault> {
        let commits = self.inner.hub.commits();
        let after = self.newest_event().await?;
        Ok(Follower { inner: Arc::clone(&self.inner), after, commits })
    }
}

impl Follower {
    /// The jobs among the `wanted` that changed since the last call, each once; waits until there is one. Whoever
    /// follows must have checked that the caller may see them. Cancel safe.
    ///
    /// # Errors
    /// The store's own.
    pub async fn changed(&mut self, wanted: impl Fn(JobId) -> bool) -> Result<Vec<Changed>, Fault> {
        loop {
            self.commits.mark_unchanged();
            let events = self.inner.store.events(self.after, None, EVENTS_MAX).await?;
            let caught_up = events.is_empty();
            self.after = events.last().map_or(self.after, |last| last.seq);
            let mut changed = BTreeMap::new();
            for event in events.iter().filter(|event| wanted(event.job)) {
                *changed.entry(event.job).or_default() |= event.state == StateName::Finished;
            }
            if !changed.is_empty() {
                return Ok(changed.into_iter().map(|(job, ended)| Changed { job, ended }).collect());
            }
            // The hub outlives its receivers, as the engine does.
            if caught_up && self.commits.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
