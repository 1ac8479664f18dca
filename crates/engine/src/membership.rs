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
/// So long others leave alone what runs on a node that was stopped in order: an upgrade takes less.
const AWAY_MAX: Duration = Duration::from_secs(600);
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
    inner.clock.heard(record.seen_at);
    note(inner, &record);
    Ok(())
}

/// Has this node heard of until the engine closes, or a newer one has changed the schema beyond what this one knows.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut pause = inner.settings.lease / 3;
    loop {
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match beat(&inner).await {
            Ok(()) => inner.settings.lease / 3,
            Err(error @ StoreError::Newer { .. }) => {
                tracing::error!(
                    %error,
                    "a newer node has changed the database: this one takes part no more, what runs here goes on; start the \
                     newer Longshore here"
                );
                return;
            }
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
            inner.clock.heard(record.seen_at);
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

/// Strikes this node off, or if it leaves attempts behind keeps them for its return. One that cannot tell any more is
/// seen to be gone all the same.
pub(crate) async fn leave(inner: &Inner) {
    let node = &inner.settings.node;
    let left = match inner.has_live() {
        _ if inner.peers.is_none() => return,
        true => inner.store.renew(node.id, AWAY_MAX, inner.clock.now()).await.map(drop),
        false => inner.store.leave(node.id, node.incarnation.clone()).await,
    };
    if let Err(error) = left {
        tracing::warn!(%error, "the other nodes could not be told that this one stops");
    }
}
