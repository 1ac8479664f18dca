//! Which job a caller means.

use longshore_domain::fault::Fault;
use longshore_domain::{Job, JobId, JobNumber, Principal};

use crate::Engine;

impl Engine {
    /// The job that `name` names: an id, or for persons also a job's number, with or without `#`.
    ///
    /// # Errors
    /// `job_not_found`, also for a job that the caller may not see: the two cannot be told apart.
    pub async fn find(&self, principal: &Principal, name: &str) -> Result<Job, Fault> {
        let store = &self.inner.store;
        let number = name.strip_prefix('#').unwrap_or(name).parse().ok().filter(|_| principal.sees_all());
        let job = match (name.parse::<JobId>(), number) {
            (Ok(id), _) => store.job(id).await?,
            (Err(_), Some(number)) => store.job_by_number(JobNumber(number)).await?,
            (Err(_), None) => None,
        };
        job.filter(|job| principal.may_see(job)).ok_or_else(|| Fault::job_not_found(printable(name)))
    }
}

/// What a caller sent, cut and cleaned so that it can stand in a message.
fn printable(name: &str) -> String {
    const CHARS_MAX: usize = 60;
    name.chars().take(CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}
