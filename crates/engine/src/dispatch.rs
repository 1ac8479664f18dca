//! Takes ready jobs whenever there is room for them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use longshore_domain::store::ClaimedJob;
use tokio::sync::OwnedSemaphorePermit;

use crate::attempt;
use crate::inner::Inner;

/// Most jobs taken in one transaction, so that a burst does not hold up other callers.
const BATCH_MAX: usize = 64;

/// Takes ready jobs whenever it is called, until the engine drains.
pub(crate) async fn run(inner: Arc<Inner>) {
    loop {
        tokio::select! {
            () = inner.draining.cancelled() => return,
            () = inner.ready.notified() => while fill(&inner).await {},
        }
    }
}

/// Takes as many jobs as there is room for; whether there may be more.
async fn fill(inner: &Arc<Inner>) -> bool {
    let mut slots = slots(inner);
    if slots.is_empty() {
        inner.starved.store(true, Ordering::SeqCst);
        slots = self::slots(inner);
        if slots.is_empty() {
            return false;
        }
    }
    let wanted = slots.len();
    let claimed = match inner.store.claim(inner.claim(wanted), inner.clock.now()).await {
        Ok(claimed) => claimed,
        Err(error) => {
            tracing::error!(%error, "ready jobs could not be claimed");
            vec![]
        }
    };
    let found = claimed.len();
    for job in claimed {
        if let Some(slot) = slots.pop() {
            launch(inner, job, slot);
        }
    }
    slots.into_iter().for_each(|slot| inner.give_back(slot));
    found == wanted
}

fn slots(inner: &Inner) -> Vec<OwnedSemaphorePermit> {
    std::iter::from_fn(|| inner.try_slot()).take(BATCH_MAX).collect()
}

/// Starts a claimed job on its slot.
pub(crate) fn launch(inner: &Arc<Inner>, claimed: ClaimedJob, slot: OwnedSemaphorePermit) {
    inner.tasks.spawn(attempt::run(Arc::clone(inner), claimed, slot));
}
