//! Removing finished jobs for good.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::store::StoreError;
use longshore_domain::{AttemptNumber, Job, JobId};

use crate::Engine;
use crate::engine::Caller;
use crate::process::output::index_path;
use crate::whole::whole;

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
        if self.remove_records(std::slice::from_ref(&job), vec![job.id]).await?.is_empty() {
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

    /// Removes the records of those of the jobs that are named and may go; returns which.
    pub(super) async fn remove_records(&self, jobs: &[Job], named: Vec<JobId>) -> Result<Vec<JobId>, StoreError> {
        let owners: HashMap<_, _> = jobs.iter().map(|job| (job.id, job.principal.name.clone())).collect();
        let inner = Arc::clone(&self.inner);
        let removing = async move {
            let removed = inner.store.remove(named).await?;
            inner.note_removal(removed.iter().filter_map(|job| owners.get(job).cloned()).collect()).await;
            Ok(removed)
        };
        whole(&self.inner.tasks, removing).await
    }

    /// Keeps a job from retention, or no longer.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn pin(&self, caller: &Caller, name: &str, pinned: bool) -> Result<Job, Fault> {
        let job = self.find(&caller.principal, name).await?;
        Ok(self.inner.store.pin(job.id, pinned).await?)
    }

    /// Deletes the output files of every attempt that are here; returns the bytes that were freed.
    pub(super) fn delete_output(&self, job: &Job) -> u64 {
        let mut freed = 0;
        for path in self.output_files(job) {
            let size = size_of(&path);
            match std::fs::remove_file(&path) {
                Ok(()) => freed += size,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "output could not be deleted"),
            }
        }
        freed
    }

    /// The bytes that [`delete_output`](Self::delete_output) would free.
    pub(super) fn output_size(&self, job: &Job) -> u64 {
        self.output_files(job).map(|path| size_of(&path)).sum()
    }

    /// Where the output of every attempt is, with its index.
    fn output_files(&self, job: &Job) -> impl Iterator<Item = PathBuf> {
        let log = |attempt| self.inner.settings.output_path(job, AttemptNumber(attempt));
        (1..=job.attempt.0).map(log).flat_map(|log| [index_path(&log), log])
    }
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}
