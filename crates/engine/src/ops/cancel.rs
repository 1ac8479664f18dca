//! Ending a job early.

use longshore_domain::fault::Fault;
use longshore_domain::job::{Event, EventKind, JobState, OutcomeStatus, Refusal, StopReason};
use longshore_domain::store::StoreError;
use longshore_domain::{EventSeq, Job};

use crate::Engine;
use crate::engine::Caller;

/// Longest reason that is kept, in characters; the rest is cut.
pub(super) const REASON_CHARS_MAX: usize = 500;
/// Events read at once.
const EVENTS_MAX: usize = 500;

impl Engine {
    /// Asks for a job to end. A job that nobody runs ends at once; a running one is `stopping` until its whole
    /// process tree is gone, and what really happened wins if it ends first. Asking again changes nothing.
    ///
    /// # Errors
    /// `job_not_found`; `job_finished` if it had ended before.
    pub async fn cancel(&self, caller: &Caller, name: &str, reason: Option<String>) -> Result<Job, Fault> {
        let job = match name.parse() {
            Ok(id) => id,
            Err(_) => self.find(&caller.principal, name).await?.id,
        };
        let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        let event = Event::CancelRequested { by: caller.principal.clone(), reason };
        match self.inner.record(job, event).await {
            Ok(change) => Ok(change.job),
            Err(StoreError::JobNotFound(_) | StoreError::Refused(Refusal::Unseen)) => Err(Fault::job_not_found(job)),
            Err(StoreError::Refused(Refusal::Already)) => self.find(&caller.principal, name).await,
            Err(StoreError::Refused(Refusal::Finished)) => {
                let job = self.find(&caller.principal, name).await?;
                let status = job.outcome().map_or("ended", |outcome| outcome.status.as_str());
                Err(Fault::from(StoreError::Refused(Refusal::Finished)).why(format!("it had already {status}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether somebody asked for the job to end early, whatever came of it: work may have ended by itself first.
    ///
    /// # Errors
    /// The store's own.
    pub async fn was_cancelled(&self, job: &Job) -> Result<bool, Fault> {
        match &job.state {
            JobState::Stopping { why, .. } => Ok(matches!(why, StopReason::Cancelled { .. })),
            JobState::Finished { outcome, .. } if outcome.status != OutcomeStatus::Cancelled => {
                self.cancel_is_on_record(job).await
            }
            state => Ok(matches!(state, JobState::Finished { .. })),
        }
    }

    async fn cancel_is_on_record(&self, job: &Job) -> Result<bool, Fault> {
        let mut after = EventSeq(0);
        loop {
            let events = self.inner.store.events(after, Some(job.id), EVENTS_MAX).await?;
            if events.iter().any(|event| event.kind == EventKind::CancelRequested) {
                return Ok(true);
            }
            match events.last().filter(|_| events.len() == EVENTS_MAX) {
                Some(last) => after = last.seq,
                None => return Ok(false),
            }
        }
    }
}
