//! Ending a job early.

use longshore_domain::Job;
use longshore_domain::fault::Fault;
use longshore_domain::job::{Event, Refusal};
use longshore_domain::store::StoreError;

use crate::Engine;
use crate::engine::Caller;

/// Longest reason that is kept, in characters.
const REASON_CHARS_MAX: usize = 500;

impl Engine {
    /// Asks for a job to end. A job that nobody runs ends at once; a running one is `stopping` until its whole
    /// process tree is gone, and what really happened wins if it ends first. Asking again changes nothing.
    ///
    /// # Errors
    /// `job_not_found`; `job_finished` if it had ended before.
    pub async fn cancel(&self, caller: &Caller, name: &str, reason: Option<String>) -> Result<Job, Fault> {
        let job = self.find(&caller.principal, name).await?;
        let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let event = Event::CancelRequested { by: caller.principal.clone(), reason };
        match self.inner.record(job.id, event).await {
            Ok(change) => Ok(change.job),
            Err(StoreError::Refused(Refusal::Already)) => self.find(&caller.principal, name).await,
            Err(StoreError::Refused(Refusal::Finished)) => {
                let job = self.find(&caller.principal, name).await?;
                let status = job.outcome().map_or("ended", |outcome| outcome.status.as_str());
                Err(Fault::from(StoreError::Refused(Refusal::Finished)).why(format!("it had already {status}")))
            }
            Err(error) => Err(error.into()),
        }
    }
}
