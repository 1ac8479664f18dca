//! The history, from any position, also as it happens.

use std::time::Duration;

use longshore_domain::EventSeq;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::EventRecord;
use tokio::time::Instant;

use crate::Engine;
use crate::engine::Caller;

/// Most events in one answer.
const EVENTS_MAX: usize = 500;

impl Engine {
    /// Events after `after`, oldest first, of one job or of all that the caller may see. Waits for at most `wait`
    /// if there are none. The second part of the answer is where to go on. Cancel safe.
    ///
    /// # Errors
    /// `job_not_found`; `forbidden` if the caller may not see everybody's jobs and named none; `stale_cursor` for a
    /// position that the history has not come to, as after the store was put back from a copy.
    pub async fn events(
        &self,
        caller: &Caller,
        job: Option<&str>,
        after: EventSeq,
        wait: Duration,
    ) -> Result<(Vec<EventRecord>, EventSeq), Fault> {
        let job = match job {
            Some(name) => Some(self.find(&caller.principal, name).await?.id),
            None if caller.principal.sees_all() => None,
            None => {
                return Err(Fault::new(FaultCode::Forbidden, "this token sees its own jobs only")
                    .next("name the job whose events you want"));
            }
        };
        let deadline = Instant::now() + wait;
        let mut commits = self.inner.hub.commits();
        loop {
            commits.mark_unchanged();
            let events = self.inner.store.events(after, job, EVENTS_MAX).await?;
            if let Some(last) = events.last() {
                let next = last.seq;
                return Ok((events, next));
            }
            self.check_position(after).await?;
            if !self.inner.came(commits.changed(), deadline).await {
                return Ok((events, after));
            }
        }
    }

    async fn check_position(&self, after: EventSeq) -> Result<(), Fault> {
        let newest = self.newest_event().await?;
        match after <= newest {
            true => Ok(()),
            false => Err(Fault::new(FaultCode::StaleCursor, format!("the history has not come to position {after}"))
                .why(format!("it ends at {newest}: the store was replaced, or put back from a copy"))
                .next("follow from now on: ask without a position")),
        }
    }

    /// Position of the newest event: begin here to see only what happens from now on.
    ///
    /// # Errors
    /// The store's own.
    pub async fn newest_event(&self) -> Result<EventSeq, Fault> {
        Ok(self.inner.store.last_event().await?)
    }
}
