//! The loops that time drives: due jobs and questions, dependents to tell, leases to renew. None of them polls: each sleeps until
//! an instant that it knows of, or until it is called.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::store::{Change, StoreError};

use crate::firing::fire_due;
use crate::inner::Inner;

/// Jobs changed in one transaction, so that a flood does not hold up other callers.
const BATCH_MAX: usize = 256;
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// Longest sleep for something that is due far away, so that a stepped clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// Queues waiting jobs when their time has come, lets schedules fire, and lets questions run out at their deadlines.
pub(crate) async fn run_due(inner: Arc<Inner>) {
    loop {
        let sleep = match do_due(&inner).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::error!(%error, "what is due could not be done");
                Some(FAILURE_PAUSE)
            }
        };
        let slept = async {
            match sleep {
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = inner.due.notified() => {}
            () = slept => {}
        }
    }
}

/// Does what is due; how long until something is again.
async fn do_due(inner: &Inner) -> Result<Option<Duration>, StoreError> {
    loop {
        let now = inner.clock.now();
        let queued = inner.store.promote_due(now, BATCH_MAX).await?;
        publish(inner, &queued);
        let unanswered = inner.store.expire_questions(now, BATCH_MAX).await?;
        publish(inner, &unanswered);
        if queued.len() < BATCH_MAX && unanswered.len() < BATCH_MAX {
            break;
        }
    }
    let fired = fire_due(inner).await?;
    let now = inner.clock.now();
    let firing = match fired {
        true => inner.store.next_firing(now).await?,
        false => Some(FAILURE_PAUSE),
    };
    let due = [inner.store.next_due(now).await?, inner.store.next_question_deadline(now).await?, firing];
    let next = due.into_iter().flatten().min();
    // One millisecond more: the timer may fire within the millisecond before.
    Ok(next.map(|length| length.min(SLEEP_MAX) + Duration::from_millis(1)))
}

/// Tells the dependents of finished jobs.
pub(crate) async fn run_settle(inner: Arc<Inner>) {
    loop {
        match inner.store.settle(inner.clock.now(), BATCH_MAX).await {
            Ok(changes) if !changes.is_empty() => {
                publish(&inner, &changes);
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "dependents of finished jobs could not be told");
                tokio::time::sleep(FAILURE_PAUSE).await;
                inner.settle.notify_one();
            }
        }
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = inner.settle.notified() => {}
        }
    }
}

/// Renews the leases of this node while it has any.
pub(crate) async fn run_leases(inner: Arc<Inner>) {
    loop {
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = inner.leased.notified() => {}
        }
        let mut pause = inner.settings.lease / 3;
        while inner.has_live() {
            tokio::select! {
                () = inner.closing.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            // Whatever ended meanwhile has no lease any more.
            if !inner.has_live() {
                break;
            }
            pause = match renew(&inner).await {
                Ok(()) => inner.settings.lease / 3,
                Err(error) => {
                    tracing::warn!(%error, "leases could not be renewed");
                    FAILURE_PAUSE.min(inner.settings.lease / 3)
                }
            };
        }
    }
}

/// Renews the leases of this node, and stops the attempts that have lost theirs.
async fn renew(inner: &Inner) -> Result<(), StoreError> {
    // Read before: what is claimed meanwhile may be missing in the answer.
    let live = inner.live_attempts();
    let held = inner.store.renew(inner.settings.node.id, inner.settings.lease, inner.clock.now()).await?;
    let held: HashSet<_> = held.into_iter().map(|held| (held.job, held.attempt)).collect();
    for (job, attempt) in live.into_iter().filter(|live| !held.contains(live)) {
        inner.fence(job, attempt);
    }
    Ok(())
}

fn publish(inner: &Inner, changes: &[Change]) {
    changes.iter().for_each(|change| inner.committed(change));
}
