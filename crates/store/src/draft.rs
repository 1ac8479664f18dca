//! Jobs on their way into a store and out of it.

use longshore_domain::job::{Job, RetryPolicy};
use longshore_domain::store::{ClaimedJob, NewJob, StoreError};

/// A new job with all that can be made of it before a writer has it.
pub(crate) struct Draft {
    pub(crate) new: NewJob,
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) likeness: u64,
    pub(crate) spec: String,
    pub(crate) retry: String,
}

impl Draft {
    /// # Errors
    /// If the spec cannot be written as JSON.
    pub(crate) fn new(new: NewJob) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: new.id.to_string(),
            title: new.spec.title(),
            likeness: new.spec.likeness(),
            spec: serde_json::to_string(&new.spec)?,
            retry: retry(&new.retry)?,
            new,
        })
    }
}

/// A policy as its column holds it: most jobs have the usual one, which is what is absent.
fn retry(policy: &RetryPolicy) -> Result<String, serde_json::Error> {
    match *policy == RetryPolicy::default() {
        true => Ok("{}".to_owned()),
        false => serde_json::to_string(policy),
    }
}

/// A claimed job whose spec is still text: it is read by the caller, not by a writer whom others wait for.
pub(crate) struct Taken {
    pub(crate) job: Job,
    pub(crate) spec: String,
}

/// Reads the specs. A job whose spec is unreadable stays claimed and is left out: its lease runs out like one whose
/// holder died.
pub(crate) fn unpack(taken: Vec<Taken>) -> Vec<ClaimedJob> {
    let unpacked = taken.into_iter().filter_map(|Taken { job, spec }| match serde_json::from_str(&spec) {
        Ok(spec) => Some(ClaimedJob { job, spec }),
        Err(error) => {
            tracing::error!(job.id = %job.id, %error, "spec of a claimed job cannot be read");
            None
        }
    });
    unpacked.collect()
}
/// What a key names, if it was submitted with the same body.
///
/// # Errors
/// [`StoreError::KeyConflict`].
pub(crate) fn same_body(found: Option<(Job, bool)>) -> Result<Option<Job>, StoreError> {
    match found {
        Some((job, false)) => Err(StoreError::KeyConflict { job: job.id }),
        found => Ok(found.map(|(job, _)| job)),
    }
}
