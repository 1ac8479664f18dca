//! Running a finished job again, as a new job.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{FailReason, JobSpec, OutcomeStatus};
use longshore_domain::store::NewJob;
use longshore_domain::{Job, JobId};

use super::submit::Accepted;
use crate::Engine;
use crate::engine::Caller;

/// The job whose failure kept this one from ever running.
fn cause(job: &Job) -> Option<JobId> {
    job.outcome().filter(|outcome| outcome.reason == Some(FailReason::Blocked))?.cause
}

fn blocked(job: &Job) -> Fault {
    let cause = cause(job).map(|cause| cause.to_string()).unwrap_or_default();
    Fault::new(FaultCode::StateConflict, format!("job {} never ran: it waited for job {cause}, which failed", job.id))
        .why("a retry would run it without what it depends on")
        .next(format!("retry job {cause} first, then submit this one again `--after` the new job; nothing was done"))
}

impl Engine {
    /// Submits the work of a failed or cancelled job once more, as a new job that names the old one.
    ///
    /// # Errors
    /// `job_not_found`; `state_conflict` if it has not ended, ended well, or was blocked: to run it now would be to forget
    /// what it depends on.
    pub async fn retry(&self, caller: &Caller, name: &str) -> Result<Accepted, Fault> {
        let old = self.find(&caller.principal, name).await?;
        match old.outcome().map(|outcome| outcome.status) {
            Some(OutcomeStatus::Failed | OutcomeStatus::Cancelled) if cause(&old).is_none() => {}
            Some(OutcomeStatus::Failed) => return Err(blocked(&old)),
            found => {
                let state = found.map_or_else(|| old.state.name().as_str(), OutcomeStatus::as_str);
                return Err(Fault::new(FaultCode::StateConflict, format!("job {} is {state}", old.id))
                    .why("only a failed or cancelled job can be retried")
                    .next("submit a new job to run it again"));
            }
        }
        let spec: JobSpec = self.inner.store.spec(old.id).await?.ok_or_else(|| Fault::job_not_found(old.id))?;
        let job = NewJob {
            id: self.inner.clock.new_job_id(),
            principal: caller.principal.clone(),
            conversation: caller.conversation.clone().or(old.conversation),
            name: old.name,
            spec,
            queue: old.queue,
            requires: old.requires,
            priority: old.priority,
            retry: old.retry,
            not_before: None,
            after: vec![],
            key: None,
            retry_of: Some(old.id),
        };
        self.accept(job).await
    }
}
