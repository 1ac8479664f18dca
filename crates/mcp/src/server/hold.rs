//! Waiting for jobs on behalf of a request: bounded, with signs of life.

use std::time::Duration;

use longshore_domain::{Fault, Job};
use longshore_engine::ops::{WaitFor, Waited};
use tokio::time::{Instant, MissedTickBehavior};

use super::call::Call;
use super::progress::{LOOK_EVERY, Progress};

/// Waits until jobs have ended, for at most `patience`, and tells meanwhile how they stand.
///
/// # Errors
/// Those of the engine's wait.
pub(super) async fn hold(
    call: &Call,
    names: &[String],
    wait_for: WaitFor,
    patience: Duration,
) -> Result<Waited, Fault> {
    let wait = call.engine().wait(&call.caller, names, wait_for, patience);
    let Some(mut progress) = Progress::of(call) else { return wait.await };
    tokio::pin!(wait);
    let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            waited = &mut wait => return waited,
            _ = looks.tick() => tell(call, names, &mut progress).await,
        }
    }
}

/// Waits for one job; returns it as it stands.
///
/// # Errors
/// Those of the engine's wait.
pub(super) async fn hold_one(call: &Call, job: Job, patience: Duration) -> Result<Job, Fault> {
    if job.is_finished() || patience.is_zero() {
        return Ok(job);
    }
    let waited = hold(call, &[job.id.to_string()], WaitFor::All, patience).await?;
    Ok(waited.jobs.into_iter().next().unwrap_or(job))
}

/// Tells of the first job that has not ended.
async fn tell(call: &Call, names: &[String], progress: &mut Progress<'_>) {
    for name in names {
        match call.engine().show(&call.caller, name).await {
            Ok(view) if view.job.is_finished() => {}
            Ok(view) => return progress.tell(&view),
            Err(_) => return,
        }
    }
}
