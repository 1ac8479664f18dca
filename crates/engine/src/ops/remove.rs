//! Removing finished jobs for good.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{AttemptNumber, Job};

use crate::Engine;
use crate::engine::Caller;

/// What a removal did.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The job as it last stood.
    pub job: Job,
}

impl Engine {
    /// Removes a finished job: its record, its history and its output. Nothing of it can be had back.
    ///
    /// # Errors
    /// `job_not_found`; `state_conflict` if it has not ended, is pinned, or others still wait to hear of its end.
    pub async fn remove(&self, caller: &Caller, name: &str) -> Result<Removed, Fault> {
        let job = self.find(&caller.principal, name).await?;
        if !job.is_finished() {
            return Err(Fault::new(FaultCode::StateConflict, format!("job {} is {}", job.id, job.state.name()))
                .why("only a finished job can be removed")
                .next("cancel it first"));
        }
        if self.inner.store.remove(vec![job.id]).await? == 0 {
            let (why, next) = match job.pinned {
                true => ("it is pinned", "unpin it first"),
                false => ("jobs that wait for it have not been told of its end yet", "try again in a moment"),
            };
            let fault = Fault::new(FaultCode::StateConflict, format!("job {} was not removed", job.id));
            return Err(fault.why(why).next(next));
        }
        self.delete_output(&job);
        self.inner.announce(job.id);
        Ok(Removed { job })
    }

    /// Keeps a job from retention, or no longer.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn pin(&self, caller: &Caller, name: &str, pinned: bool) -> Result<Job, Fault> {
        let job = self.find(&caller.principal, name).await?;
        Ok(self.inner.store.pin(job.id, pinned).await?)
    }

    /// Deletes the output files of every attempt; returns the bytes that were freed.
    pub(super) fn delete_output(&self, job: &Job) -> u64 {
        let mut freed = 0;
        for attempt in (1..=job.attempt.0).map(AttemptNumber) {
            let log = self.inner.settings.output_path(job, attempt);
            let index = crate::process::output::index_path(&log);
            for path in [log, index] {
                let size = std::fs::metadata(&path).map_or(0, |found| found.len());
                match std::fs::remove_file(&path) {
                    Ok(()) => freed += size,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => tracing::warn!(path = %path.display(), %error, "output could not be deleted"),
                }
            }
        }
        freed
    }
}
