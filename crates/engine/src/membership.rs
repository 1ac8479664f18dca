//! This node among those that share the store: joins, is heard of, leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_domain::node::NodeRecord;
use longshore_domain::store::StoreError;

use crate::inner::Inner;

/// Whoever has the store alone is never doubted, and need not be heard of.
const ALONE: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Who has the store alone is always the same to it.
const ALONE_INCARNATION: &str = "alone";
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Enters this node.
///
/// # Errors
/// [`StoreError::NodeTaken`] while another process serves as this node; the store's own.
pub(crate) async fn join(inner: &Inner) -> Result<(), StoreError> {
    let mut node = inner.settings.node.clone();
    let mut lease = inner.settings.lease;
    if inner.peers.is_none() {
        node.incarnation = ALONE_INCARNATION.into();
        lease = ALONE;
    }
    let record = inner.store.join(node, lease, inner.clock.now()).await?;
    note(inner, &record);
    Ok(())
}

/// Has this node heard of until the engine closes.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut pause = inner.settings.lease / 3;
    loop {
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match beat(&inner).await {
            Ok(()) => inner.settings.lease / 3,
            Err(error) => {
                tracing::warn!(%error, "other nodes cannot hear of this one");
                FAILURE_PAUSE.min(inner.settings.lease / 3)
            }
        };
    }
}

async fn beat(inner: &Inner) -> Result<(), StoreError> {
    let node = &inner.settings.node;
    let beaten = inner.store.beat(node.id, node.incarnation.clone(), inner.settings.lease, inner.clock.now()).await;
    match beaten {
        Ok(record) => {
            note(inner, &record);
            Ok(())
        }
        // It was silent for so long that it was forgotten.
        Err(StoreError::NodeNotFound(_)) => join(inner).await,
        Err(error) => Err(error),
    }
}

/// Heeds what is on record of this node: whether it takes jobs.
pub(crate) fn note(inner: &Inner, record: &NodeRecord) {
    let rested = inner.resting.swap(record.draining, Ordering::SeqCst);
    if rested && !record.draining {
        inner.ready.notify_one();
    }
}

/// Strikes this node off. One that does not answer any more is seen to be gone all the same.
pub(crate) async fn leave(inner: &Inner) {
    let node = &inner.settings.node;
    if inner.peers.is_some()
        && let Err(error) = inner.store.leave(node.id, node.incarnation.clone()).await
    {
        tracing::warn!(%error, "this node could not be struck off");
    }
}
