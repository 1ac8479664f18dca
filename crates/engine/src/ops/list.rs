//! Which jobs there are.

use longshore_domain::fault::Fault;
use longshore_domain::job::{OutcomeStatus, QueueName, StateName};
use longshore_domain::store::JobFilter;
use longshore_domain::{Conversation, Job, JobNumber};

use crate::Engine;
use crate::engine::Caller;

/// Most jobs on a page.
pub const PAGE_MAX: usize = 200;

/// What to list. Absent = not restricted.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Jobs of this chat only.
    pub conversation: Option<Conversation>,
    /// Jobs in one of these states.
    pub states: Vec<StateName>,
    /// Jobs that ended this way.
    pub outcome: Option<OutcomeStatus>,
    /// Jobs of this queue.
    pub queue: Option<QueueName>,
    /// Jobs whose name or command contains this text.
    pub text: Option<String>,
    /// Where the page before ended.
    pub cursor: Option<JobNumber>,
    /// Jobs on the page, 1 to [`PAGE_MAX`].
    pub limit: usize,
}

/// Some jobs, newest first.
#[derive(Clone, Debug)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where the next page begins, if there is one.
    pub next: Option<JobNumber>,
}

impl Engine {
    /// The newest jobs that the caller may see.
    ///
    /// # Errors
    /// `invalid_argument` for a limit out of range.
    pub async fn list(&self, caller: &Caller, query: ListQuery) -> Result<JobPage, Fault> {
        if !(1..=PAGE_MAX).contains(&query.limit) {
            return Err(Fault::invalid("limit", format!("must be 1 to {PAGE_MAX}")));
        }
        let filter = JobFilter {
            owner: (!caller.principal.sees_all()).then(|| caller.principal.name.clone()),
            conversation: query.conversation,
            states: query.states,
            outcome: query.outcome,
            queue: query.queue,
            text: query.text,
            before: query.cursor,
        };
        let mut jobs = self.inner.store.jobs(filter, query.limit + 1).await?;
        let more = jobs.len() > query.limit;
        jobs.truncate(query.limit);
        let next = jobs.last().filter(|_| more).map(|job| job.number);
        Ok(JobPage { jobs, next })
    }
}
