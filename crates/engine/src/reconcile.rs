//! At start: finds out what became of every attempt that an earlier process of this node had begun.

use std::collections::HashSet;
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
    let live: HashSet<_> = mine.iter().map(|job| (job.number, job.attempt)).collect();
    process::forget_all_but(&inner.settings.run_dir, |number, attempt| live.contains(&(number, attempt)));
    let count = mine.len();
    for job in mine {
        inner.follow(&job);
        let slot = inner.try_slot();
        inner.tasks.spawn(attempt::resume(Arc::clone(inner), job, slot));
    }
    Ok(count)
}

fn is_mine(inner: &Inner, job: &Job) -> bool {
    job.state.lease().is_some_and(|lease| lease.holder == inner.settings.node)
}
