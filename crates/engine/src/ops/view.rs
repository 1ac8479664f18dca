//! All that can be said of one job at this moment. Computed when it is asked for; nothing of it is stored.

use std::time::Duration;

use longshore_domain::estimate::{Estimate, remaining_by_progress};
use longshore_domain::fault::Fault;
use longshore_domain::job::{JobSpec, StateName};
use longshore_domain::poll::poll_hint;
use longshore_domain::{AttemptNumber, Job, JobId, Position, Timestamp};

use crate::Engine;
use crate::engine::Caller;
use crate::peers::Printed;
use crate::process::Progress;
use crate::process::output::OutputFile;

/// Longest wait for another node: a view is no reason to keep anybody waiting.
const PEER_MAX: Duration = Duration::from_secs(1);

/// A job with everything that follows from it and from the present moment.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub job: Job,
    /// When this was true.
    pub at: Timestamp,
    /// [`Job::elapsed`] at that time.
    pub elapsed: Option<Duration>,
    /// How long like jobs took.
    pub estimate: Option<Estimate>,
    /// What is probably left, by its progress if that tells, otherwise by like jobs; absent when unknown.
    pub remaining: Option<Duration>,
    /// What its output says of its progress.
    pub progress: Option<Progress>,
    /// Bytes printed so far by the newest attempt; absent when only another node knows.
    pub output_bytes: Option<u64>,
    /// How long it has printed nothing; only while it runs, absent when only another node knows.
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
        self.full_view(job).await
    }

    /// What the job that `name` names would do.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn spec(&self, caller: &Caller, name: &str) -> Result<JobSpec, Fault> {
        let job = self.find(&caller.principal, name).await?;
        self.inner.store.spec(job.id).await?.ok_or_else(|| Fault::job_not_found(job.id))
    }

    /// Everything about a job that was just read, as far as this node knows it. For many jobs at once.
    ///
    /// # Errors
    /// The store's own.
    pub fn view(&self, job: Job) -> impl Future<Output = Result<JobView, Fault>> + Send {
        let printed = self.printed_as_known(&job);
        self.view_with(job, printed)
    }

    /// The same, with what only the node knows that runs it. If that one does not answer soon it stays unknown.
    ///
    /// # Errors
    /// The store's own.
    pub async fn full_view(&self, job: Job) -> Result<JobView, Fault> {
        let printed = match self.printed_as_known(&job) {
            None => Box::pin(self.printed_elsewhere(&job)).await?,
            known => known,
        };
        self.view_with(job, printed).await
    }

    /// What an attempt that runs or ran on this node has printed; nothing if it never did.
    ///
    /// # Errors
    /// `job_not_found`.
    pub async fn own_printed(&self, job: JobId, attempt: AttemptNumber) -> Result<Printed, Fault> {
        let job = self.inner.store.job(job).await?.ok_or_else(|| Fault::job_not_found(job))?;
        Ok(self.printed_here(&Job { attempt, ..job }))
    }

    // No `async fn`: that would keep its job twice.
    fn view_with(&self, job: Job, printed: Option<Printed>) -> impl Future<Output = Result<JobView, Fault>> + Send {
        let at = self.inner.clock.now();
        async move {
            let state = job.state.name();
            let estimate = match job.is_finished() {
                true => None,
                false => Estimate::from_samples(&self.inner.store.samples(job.likeness).await?),
            };
            let position = match state {
                StateName::Queued => self.inner.store.position(job.id).await?,
                _ => None,
            };
            let run = job.state.run().map(|run| at.since(run.started_at));
            let in_state = run.unwrap_or_else(|| at.since(job.changed_at));
            let silence = |printed: &Printed| run.map(|run| printed.silent_for.map_or(run, |silent| silent.min(run)));
            let output_bytes = printed.as_ref().map(|printed| printed.bytes);
            let silent_for = printed.as_ref().and_then(silence);
            let progress = printed.and_then(|printed| printed.progress);
            let by_progress = |run| remaining_by_progress(progress.as_ref()?.percent, run);
            let by_like_jobs = |run| estimate.as_ref()?.remaining(run);
            Ok(JobView {
                elapsed: job.elapsed(at),
                remaining: run.and_then(|run| by_progress(run).or_else(|| by_like_jobs(run))),
                output_bytes,
                silent_for,
                progress,
                position,
                poll_after: poll_hint(state, in_state, estimate.as_ref()),
                estimate,
                at,
                job,
            })
        }
    }

    /// What the newest attempt has printed, if this node knows.
    fn printed_as_known(&self, job: &Job) -> Option<Printed> {
        if let Some(report) = job.outcome().and_then(|outcome| outcome.report.as_ref()) {
            return Some(Printed { bytes: report.output.bytes, ..Printed::default() });
        }
        if job.attempt == AttemptNumber::default() {
            // What never ran has printed nothing.
            return Some(Printed::default());
        }
        let is_here = match job.state.lease() {
            _ if self.inner.peers.is_none() => true,
            Some(lease) => lease.holder == self.inner.settings.node.id,
            None => self.inner.settings.output_path(job, job.attempt).exists(),
        };
        is_here.then(|| self.printed_here(job))
    }

    fn printed_here(&self, job: &Job) -> Printed {
        let path = self.inner.settings.output_path(job, job.attempt);
        let changed = std::fs::metadata(&path).ok().and_then(|found| found.modified().ok()).and_then(to_timestamp);
        Printed {
            bytes: OutputFile::open(&path).map_or(0, |file| file.total()),
            silent_for: changed.map(|changed| self.inner.clock.now().since(changed)),
            progress: self.inner.progress(job.id, job.attempt),
        }
    }

    /// What the node says that has the output of the newest attempt, unless that takes too long.
    async fn printed_elsewhere(&self, job: &Job) -> Result<Option<Printed>, Fault> {
        let (Some(peers), Some(node)) = (&self.inner.peers, self.elsewhere(job, job.attempt).await?) else {
            return Ok(None);
        };
        let asked = tokio::time::timeout(PEER_MAX, peers.printed(node, job.id, job.attempt)).await;
        Ok(asked.ok().and_then(Result::ok))
    }
}

fn to_timestamp(instant: std::time::SystemTime) -> Option<Timestamp> {
    let since = instant.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}
