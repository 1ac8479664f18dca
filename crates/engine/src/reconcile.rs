//! At start: finds out what became of every attempt that an earlier process of this node had begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use longshore_domain::Job;
use longshore_domain::store::StoreError;

use crate::attempt;
use crate::inner::Inner;
use crate::process;

/// Reads the live jobs of this node, reserves their slots, and takes each up in the background.
///
/// No spawner of an earlier process may be left when this is called: otherwise an attempt could still begin after
/// it was found not to have.
///
/// # Errors
/// If the store cannot be read; nothing was changed.
pub(crate) async fn run(inner: &Arc<Inner>) -> Result<usize, StoreError> {
    let mine: Vec<Job> = inner.store.live_jobs().await?.into_iter().filter(|job| is_mine(inner, job)).collect();
    let live: BTreeSet<_> = mine.iter().map(|job| (job.number, job.attempt)).collect();
    for (number, attempt) in process::traces(&inner.settings.run_dir).difference(&live).copied() {
        let inner = Arc::clone(inner);
        // Its end is stored: whoever stored it was killed before it could remove the traces, or was another node, which
        // took the lost lease for a sign of death.
        inner.tasks.clone().spawn(async move {
            let end = process::end(&inner.settings.run_dir, number, attempt);
            inner.closing.run_until_cancelled(end).await;
        });
    }
    let sweeping = Arc::clone(inner);
    inner.tasks.spawn(async move { sweeping.closing.run_until_cancelled(sweep_leaves(&sweeping)).await });
    let count = mine.len();
    for job in mine {
        inner.follow(&job);
        let slot = inner.try_slot();
        inner.tasks.spawn(attempt::resume(Arc::clone(inner), job, slot));
    }
    Ok(count)
}

/// Ends what is left in cgroups of attempts that are over: their shims were killed when nobody could see to it.
async fn sweep_leaves(inner: &Inner) {
    let Some(parent) = &inner.settings.cgroup else { return };
    for (id, attempt) in process::leaves(parent) {
        match inner.store.job(id).await {
            // What is not on record here is another installation's, which uses the folder as well.
            Ok(Some(job)) if job.state.lease().is_none_or(|lease| lease.token != attempt) => {
                if let Some(leaf) = inner.settings.leaf(id, attempt) {
                    process::end_leaf(&leaf).await;
                }
            }
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "cgroups of ended attempts are left for the next start"),
        }
    }
}

fn is_mine(inner: &Inner, job: &Job) -> bool {
    job.state.lease().is_some_and(|lease| lease.holder == inner.settings.node.id)
}
