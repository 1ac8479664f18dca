//! Waiting for jobs on behalf of a request: bounded, with signs of life.

use std::collections::HashSet;
use std::time::Duration;

use longshore_domain::{Fault, Job};
use longshore_engine::ops::{WaitFor, Waited};
use tokio::time::{Instant, MissedTickBehavior};

use super::call::Call;
use super::progress::{LOOK_EVERY, Progress};
use super::sessions::{JOBS_LOGGER, ended};
use crate::wire::{Era, Level};

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
    let mut progress = Progress::of(call);
    let mut ends = Ends::of(call);
    if progress.is_none() && ends.is_none() {
        return wait.await;
    }
    tokio::pin!(wait);
    let mut looks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            waited = &mut wait => return waited,
            _ = looks.tick() => {
                if let Some(ends) = &mut ends {
                    Box::pin(ends.tell(call, names)).await;
                }
                if let Some(progress) = &mut progress {
                    Box::pin(tell(call, names, progress)).await;
                }
            }
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
    let waited = Box::pin(hold(call, &[job.id.to_string()], WaitFor::All, patience)).await?;
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

/// Logs the end of jobs while others are still waited for.
struct Ends {
    told: HashSet<String>,
}

impl Ends {
    /// A log, if the request asked for one. Legacy clients are told of ends by their session.
    fn of(call: &Call) -> Option<Self> {
        (call.era == Era::Modern && call.wants_log(Level::Warning)).then(|| Self { told: HashSet::new() })
    }

    async fn tell(&mut self, call: &Call, names: &[String]) {
        for name in names.iter().filter(|name| !self.told.contains(*name)).cloned().collect::<Vec<_>>() {
            let Ok(job) = call.engine().find(&call.caller.principal, &name).await else { continue };
            let Some(success) = job.outcome().map(|outcome| outcome.is_success()) else { continue };
            let level = if success { Level::Info } else { Level::Warning };
            call.log(level, JOBS_LOGGER, &ended(&job, call.engine().clock().now()));
            self.told.insert(name);
        }
    }
}
