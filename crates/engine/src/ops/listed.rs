//! When the list of somebody's jobs changes, for whoever shows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::EventSeq;
use longshore_domain::fault::Fault;
use longshore_domain::job::EventKind;
use longshore_domain::store::{NewDocument, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Engine;
use crate::clock::random;
use crate::inner::Inner;

/// Events read at once.
const EVENTS_MAX: usize = 500;
/// Whoever follows looks no sooner than this after it looked last, however much changes.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// The note of the newest removal passes away after this long. Followers read it within seconds.
const NOTE_KEPT: Duration = Duration::from_secs(86_400);

/// Follows the list of the jobs of one name: which there are, not how they stand. Costs nothing while nothing is
/// committed, and a look a second at most otherwise.
pub struct ListFollower {
    inner: Arc<Inner>,
    owner: String,
    after: EventSeq,
    /// The newest note of a removal.
    removed: Option<String>,
    commits: watch::Receiver<u64>,
    /// Something was committed since the last look.
    due: bool,
    looked_at: Option<Instant>,
}

impl Engine {
    /// Begins to follow the list of the jobs that belong to principals of that name: no change from now on is missed.
    ///
    /// # Errors
    /// The store's own.
    pub async fn follow_list(&self, owner: &str) -> Result<ListFollower, Fault> {
        let inner = Arc::clone(&self.inner);
        let commits = inner.hub.commits();
        let removed = newest_removal(&inner, owner).await?;
        let after = self.newest_event().await?;
        Ok(ListFollower { inner, owner: owner.to_owned(), after, removed, commits, due: false, looked_at: None })
    }
}

impl ListFollower {
    /// Returns once the list has changed since the last call: a job came, or one was removed. Many changes within a second
    /// are one. Cancel safe.
    ///
    /// # Errors
    /// The store's own.
    pub async fn changed(&mut self) -> Result<(), Fault> {
        loop {
            // The hub outlives its receivers, as the engine does.
            if !self.due && self.commits.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.due = true;
            if let Some(looked_at) = self.looked_at {
                tokio::time::sleep_until(looked_at + LOOK_PAUSE).await;
            }
            self.commits.mark_unchanged();
            let has_changed = self.look().await?;
            (self.due, self.looked_at) = (false, Some(Instant::now()));
            if has_changed {
                return Ok(());
            }
        }
    }

    async fn look(&mut self) -> Result<bool, StoreError> {
        let removed = newest_removal(&self.inner, &self.owner).await?;
        let has_lost = removed.is_some() && removed != self.removed;
        let has_won = has_lost || self.came().await?;
        if has_won {
            // Whoever hears of one change reads what came of all that lie before this.
            self.after = self.inner.store.last_event().await?;
            self.removed = removed.or(self.removed.take());
        }
        Ok(has_won)
    }

    /// Whether a job came.
    async fn came(&mut self) -> Result<bool, StoreError> {
        loop {
            let events = self.inner.store.events(self.after, None, EVENTS_MAX).await?;
            let Some(last) = events.last() else { return Ok(false) };
            for event in events.iter().filter(|event| event.kind == EventKind::Submitted) {
                let job = self.inner.store.job(event.job).await?;
                if job.is_some_and(|job| job.principal.name == self.owner) {
                    return Ok(true);
                }
            }
            self.after = last.seq;
        }
    }
}

impl Inner {
    /// Tells whoever follows the lists of these names, on any node, that jobs were removed. A note that cannot be written is
    /// lost, and lists that are shown are too long until they are read again.
    pub(super) async fn note_removal(&self, owners: BTreeSet<String>) {
        for owner in &owners {
            if let Err(error) = self.note_removal_of(owner).await {
                tracing::warn!(%error, "nobody is told that jobs were removed");
            }
        }
        self.hub.committed();
    }

    async fn note_removal_of(&self, owner: &str) -> Result<(), StoreError> {
        let name = note_name(owner);
        let replaces = self.store.document(name.clone()).await?.map_or(0, |note| note.version);
        let text = format!("{:032x}", random());
        // Whoever wrote one meanwhile has told of this removal too, which was there by then.
        self.store
            .write_document(NewDocument { name, replaces, text, keep: Some(NOTE_KEPT) }, self.clock.now())
            .await?;
        Ok(())
    }
}

async fn newest_removal(inner: &Inner, owner: &str) -> Result<Option<String>, StoreError> {
    Ok(inner.store.document(note_name(owner)).await?.map(|note| note.text))
}

fn note_name(owner: &str) -> String {
    format!("removed of {owner}")
}
