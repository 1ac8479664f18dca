//! Running a finished job again, as a new job.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{JobSpec, OutcomeStatus};
use longshore_domain::store::NewJob;

use super::submit::Accepted;
use crate::Engine;
use crate::engine::Caller;

impl Engine {
    /// Submits the work of a failed or cancelled job once more, as a new job that names the old one.
    ///
    /// # Errors
    /// `job_not_found`; `state_conflict` if it has not ended, or ended well.
    pub async fn retry(&self, caller: &Caller, name: &str) -> Result<Accepted, Fault> {
        let old = self.find(&caller.principal, name).await?;
        match old.outcome().map(|outcome| outcome.status) {
            Some(OutcomeStatus::Failed | OutcomeStatus::Cancelled) => {}
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
