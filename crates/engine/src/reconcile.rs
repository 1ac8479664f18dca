//! At start: finds out what became of every attempt that an earlier process of this node had begun.

use std::collections::HashSet;
use std::sync::Arc;

use longshore_domain::Job;
use longshore_domain::job::{Event, JobState};
use longshore_domain::store::StoreError;
use tokio::sync::OwnedSemaphorePermit;

use crate::attempt;
use crate::inner::Inner;
use crate::process;

/// Reads the live jobs of this node, reserves their slots, and settles each in the background.
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
        inner.tasks.spawn(settle(Arc::clone(inner), job, slot));
    }
    Ok(count)
}

fn is_mine(inner: &Inner, job: &Job) -> bool {
    job.state.lease().is_some_and(|lease| lease.holder == inner.settings.node)
}

async fn settle(inner: Arc<Inner>, job: Job, slot: Option<OwnedSemaphorePermit>) {
    let Some(lease) = job.state.lease().cloned() else { return };
    if lease.boot == inner.settings.boot {
        let found = process::look_up(&inner.settings.run_dir, job.number, job.attempt, lease.nonce).await;
        return attempt::resume(inner, job, found, slot).await;
    }
    let record = process::exit_record(&inner.settings.run_dir, job.number, job.attempt, lease.nonce).await;
    let event = match record {
        Some(report) => Event::Ended { token: job.attempt, report },
        None => Event::Lost { token: job.attempt, message: rebooted(&inner, &job), report: None },
    };
    let (stored, _) = inner.record_end(job.id, event, false).await;
    inner.unfollow(job.id);
    if stored {
        process::forget(&inner.settings.run_dir, job.number, job.attempt);
    }
    if let Some(slot) = slot {
        inner.give_back(slot);
    }
}

fn rebooted(inner: &Inner, job: &Job) -> String {
    let before = match &job.state {
        JobState::Claimed { .. } => "just before or after it began",
        _ => "while it ran",
    };
    format!("the machine was restarted {before}; seen at {}", inner.clock.now())
}
