//! Deleting objects that no job has any more.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::artifact::{Artifacts, Digest, Found};
use longshore_domain::fault::Fault;
use longshore_domain::store::Ages;
use tokio::time::Instant;

use super::Keeping;
use crate::inner::Inner;

/// Objects younger than this are left alone: whoever put them may be about to put them on record.
const AGE_MIN: Duration = Duration::from_secs(24 * 3_600);
/// A collection that takes longer is given up.
const COLLECT_MAX: Duration = Duration::from_secs(600);
/// One that began so long ago was given up by whoever began it.
const GIVEN_UP: Duration = Duration::from_secs(3_600);
/// Given-up ones that are taken over at once.
const BATCH_MAX: usize = 500;

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Collected {
    /// Counts those of `found` that are named.
    fn add(&mut self, found: &[Found], named: &[Digest]) {
        for object in found.iter().filter(|object| named.contains(&object.digest)) {
            self.objects += 1;
            self.bytes += object.stored_bytes;
        }
    }
}

/// Deletes those of these objects that no job has; which.
pub(super) async fn collect(
    inner: &Inner,
    artifacts: &Arc<dyn Artifacts>,
    objects: Vec<Digest>,
) -> Result<Vec<Digest>, Fault> {
    if objects.is_empty() {
        return Ok(vec![]);
    }
    let begun = inner.store.collect(objects, inner.clock.now()).await?;
    delete(inner, artifacts, begun).await
}

/// Deletes objects whose collection has begun, and ends it.
async fn delete(inner: &Inner, artifacts: &Arc<dyn Artifacts>, begun: Vec<Digest>) -> Result<Vec<Digest>, Fault> {
    let give_up_at = Instant::now() + COLLECT_MAX;
    let mut deleted = vec![];
    for object in begun {
        // Somebody else may have taken over by then, and the object may be somebody's again.
        if Instant::now() > give_up_at {
            break;
        }
        artifacts.delete(object).await?;
        deleted.push(object);
    }
    if !deleted.is_empty() {
        inner.store.collected(deleted.clone(), inner.clock.now()).await?;
    }
    Ok(deleted)
}

impl Inner {
    /// Deletes all objects that no job has, and what uploads left behind that were cut off.
    pub(crate) async fn collect_artifacts(&self, keeping: &Keeping) -> Result<Collected, Fault> {
        let artifacts = &keeping.artifacts;
        loop {
            let given_up = self.store.take_over_collections(GIVEN_UP, BATCH_MAX, self.clock.now()).await?;
            if delete(self, artifacts, given_up).await?.is_empty() {
                break;
            }
        }
        let before = self.clock.now().minus(AGE_MIN);
        artifacts.sweep(before).await?;
        let mut collected = Collected::default();
        let mut listing = artifacts.list().await?;
        while let Some(found) = listing.next().await? {
            let old: Vec<_> = found.into_iter().filter(|object| object.put_at < before).collect();
            let gone = collect(self, artifacts, old.iter().map(|object| object.digest).collect()).await?;
            collected.add(&old, &gone);
        }
        Ok(collected)
    }

    /// What [`collect_artifacts`](Self::collect_artifacts) would delete after the rest of the retention. Changes nothing.
    pub(crate) async fn collectable_artifacts(&self, keeping: &Keeping) -> Result<Collected, Fault> {
        let now = self.clock.now();
        let ages = Ages { output: self.settings.retention.output, record: self.settings.retention.record };
        let mut collected = Collected::default();
        let mut listing = keeping.artifacts.list().await?;
        while let Some(found) = listing.next().await? {
            let old: Vec<_> = found.into_iter().filter(|object| object.put_at < now.minus(AGE_MIN)).collect();
            let objects = old.iter().map(|object| object.digest).collect();
            collected.add(&old, &self.store.unneeded(objects, ages, now).await?);
        }
        Ok(collected)
    }
}
