//! All that can be said of one job at this moment. Computed when it is asked for; nothing of it is stored.

use std::time::Duration;

use longshore_domain::estimate::Estimate;
use longshore_domain::fault::Fault;
use longshore_domain::job::{JobSpec, StateName};
use longshore_domain::poll::poll_hint;
use longshore_domain::{AttemptNumber, Job, Position, Timestamp};

use crate::Engine;
use crate::engine::Caller;
use crate::process::Progress;
use crate::process::output::OutputFile;

/// A job with everything that follows from it and from the present moment.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// When this was true.
    pub at: Timestamp,
    /// Since it began to run, or what it took; absent before its start.
    pub elapsed: Option<Duration>,
    /// How long like jobs took.
    pub estimate: Option<Estimate>,
    /// What is probably left; absent when unknown.
    pub remaining: Option<Duration>,
    /// What its output says of its progress.
    pub progress: Option<Progress>,
    /// Bytes printed so far by the newest attempt; of one that runs on another node they are not known.
    pub output_bytes: u64,
    /// How long it has printed nothing; only while it runs on this node.
    pub silent_for: Option<Duration>,
    /// Ready jobs before it in its queue; only while it is queued.
    pub position: Option<Position>,
    /// When to ask again; zero once it is finished.
    pub poll_after: Duration,
}

impl Engine {
    /// Everything about the job that `name` names.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn show(&self, caller: &Caller, name: &str) -> Result<JobView, Fault> {
        let job = self.find(&caller.principal, name).await?;
        self.view(job).await
    }

    /// What the job that `name` names would do.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn spec(&self, caller: &Caller, name: &str) -> Result<JobSpec, Fault> {
        let job = self.find(&caller.principal, name).await?;
        self.inner.store.spec(job.id).await?.ok_or_else(|| Fault::job_not_found(job.id))
    }

    /// Everything about a job that was just read.
    ///
    /// # Errors
    /// The store's own.
    pub async fn view(&self, job: Job) -> Result<JobView, Fault> {
        let at = self.inner.clock.now();
        let state = job.state.name();
        let estimate = match job.is_finished() {
            true => None,
            false => Estimate::from_samples(&self.inner.store.samples(job.likeness).await?),
        };
        let position = match state {
            StateName::Queued => self.inner.store.position(job.id).await?,
            _ => None,
        };
        let elapsed = job.started_at.map(|started| job.finished_at().unwrap_or(at).since(started));
        let run = job.state.run().map(|run| at.since(run.started_at));
        let in_state = run.unwrap_or_else(|| at.since(job.changed_at));
        let output = self.printed(&job, at);
        // What it prints on another node is not seen here.
        let is_here = job.state.lease().is_some_and(|lease| lease.holder == self.inner.settings.node.id);
        Ok(JobView {
            elapsed,
            remaining: run.and_then(|run| estimate.as_ref()?.remaining(run)),
            progress: self.inner.progress(job.id),
            output_bytes: output.bytes,
            silent_for: run.filter(|_| is_here).map(|run| output.quiet.map_or(run, |quiet| quiet.min(run))),
            position,
            poll_after: poll_hint(state, in_state, estimate.as_ref()),
            estimate,
            at,
            job,
        })
    }

    fn printed(&self, job: &Job, at: Timestamp) -> Printed {
        if let Some(report) = job.outcome().and_then(|outcome| outcome.report.as_ref()) {
            return Printed { bytes: report.output.bytes, quiet: None };
        }
        if job.attempt == AttemptNumber::default() {
            // What never ran has printed nothing.
            return Printed { bytes: 0, quiet: None };
        }
        let path = self.inner.settings.output_path(job, job.attempt);
        let changed = std::fs::metadata(&path).ok().and_then(|found| found.modified().ok()).and_then(to_timestamp);
        let bytes = OutputFile::open(&path).map_or(0, |file| file.total());
        Printed { bytes, quiet: changed.map(|changed| at.since(changed)) }
    }
}

struct Printed {
    bytes: u64,
    quiet: Option<Duration>,
}

fn to_timestamp(instant: std::time::SystemTime) -> Option<Timestamp> {
    let since = instant.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}
