//! What differs when a key comes back with another body.

use longshore_domain::job::JobSpec;
use longshore_domain::store::{NewJob, StoreError};
use longshore_domain::{Fault, Job, JobId};

use crate::Engine;

/// Of these only a digest is kept.
const UNSEEN: &str = "another environment, start time or list of jobs to wait for";

impl Engine {
    /// The fault of a submit that the store refused; of a key's conflict with `asked` it names what differs.
    pub(super) async fn conflict(&self, error: StoreError, asked: Option<NewJob>) -> Fault {
        let (StoreError::KeyConflict { job }, Some(asked)) = (&error, asked) else { return error.into() };
        let job = *job;
        let fault = Fault::from(error);
        match self.differing(job, &asked).await {
            Some(names) if names.is_empty() => fault.why(format!("job {job} was submitted with this key and {UNSEEN}")),
            Some(names) => fault.why(format!("job {job} was submitted with this key and another {}", names.join(", "))),
            None => fault,
        }
    }

    /// What of a job on record is known to be different; nothing if it cannot be read.
    async fn differing(&self, before: JobId, asked: &NewJob) -> Option<Vec<&'static str>> {
        let store = &self.inner.store;
        let job = store.job(before).await.ok()??;
        let spec = store.spec(before).await.ok()??;
        let pairs = of_spec(&spec, &asked.spec).into_iter().chain(of_job(&job, asked));
        Some(pairs.filter_map(|(name, differs)| differs.then_some(name)).collect())
    }
}

type Pair = (&'static str, bool);

fn of_spec(before: &JobSpec, asked: &JobSpec) -> Vec<Pair> {
    match (before, asked) {
        (JobSpec::Command(before), JobSpec::Command(asked)) => vec![
            ("command", before.argv != asked.argv || before.shell != asked.shell),
            ("cwd", before.cwd != asked.cwd),
            ("deadline", before.deadlines != asked.deadlines),
            ("limits", before.limits != asked.limits),
            ("output", before.output != asked.output),
        ],
        _ if before.kind() != asked.kind() => vec![("kind", true)],
        _ => vec![("script", before != asked)],
    }
}

fn of_job(before: &Job, asked: &NewJob) -> [Pair; 6] {
    [
        ("name", before.name != asked.name),
        ("queue", before.queue != asked.queue),
        ("priority", before.priority != asked.priority),
        ("labels", before.requires != asked.requires),
        ("retries", before.retry != asked.retry),
        ("job to repeat", before.retry_of != asked.retry_of),
    ]
}
