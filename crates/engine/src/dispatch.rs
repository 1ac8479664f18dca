//! Takes ready jobs whenever there is room for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_domain::store::{ClaimedJob, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use crate::attempt;
use crate::inner::Inner;

/// Most jobs taken in one transaction, so that a burst does not hold up other callers.
const BATCH_MAX: usize = 64;
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Takes ready jobs whenever it is called, until the engine drains.
pub(crate) async fn run(inner: Arc<Inner>) {
    loop {
        tokio::select! {
            () = inner.draining.cancelled() => return,
            () = inner.ready.notified() => while go_on(&inner).await {},
        }
    }
}

/// Takes as many jobs as there is room for; whether there may be more, also because the store failed.
async fn go_on(inner: &Arc<Inner>) -> bool {
    match fill(inner).await {
        Ok(more) => more,
        Err(error) => {
            tracing::error!(%error, "ready jobs could not be claimed");
            tokio::select! {
                () = inner.draining.cancelled() => false,
                // What a newer node has made of the store is for newer ones.
                () = tokio::time::sleep(FAILURE_PAUSE) => !matches!(error, StoreError::Newer { .. }),
            }
        }
    }
}

async fn fill(inner: &Arc<Inner>) -> Result<bool, StoreError> {
    let mut slots = slots(inner);
    if slots.is_empty() {
        inner.starved.store(true, Ordering::SeqCst);
        slots = self::slots(inner);
        if slots.is_empty() {
            return Ok(false);
        }
    }
    let wanted = slots.len();
    let claimed = inner.store.claim(inner.claim(wanted), inner.clock.now()).await?;
    let found = claimed.len();
    for job in claimed {
        if let Some(slot) = slots.pop() {
            launch(inner, job, slot);
        }
    }
    slots.into_iter().for_each(|slot| inner.give_back(slot));
    Ok(found == wanted)
}

fn slots(inner: &Inner) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| inner.try_slot()).take(BATCH_MAX).collect()
}

/// Starts a claimed job on its slot.
pub(crate) fn launch(inner: &Arc<Inner>, claimed: ClaimedJob, slot: OwnedSemaphorePermit) {
    inner.tasks.spawn(attempt::run(Arc::clone(inner), claimed, slot));
}
