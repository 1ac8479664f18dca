//! Waiting for jobs to end.

use std::time::Duration;

use longshore_domain::Job;
use longshore_domain::fault::Fault;
use tokio::time::Instant;

use crate::Engine;
use crate::engine::Caller;

/// Most jobs that one call waits for.
pub const WAIT_JOBS_MAX: usize = 100;

/// When a wait for several jobs is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitFor {
    /// As soon as one has ended.
    Any,
    /// Once all have ended.
    #[default]
    All,
}

/// What a wait came to.
#[derive(Clone, Debug)]
pub struct Waited {
    /// The jobs as they stand, in the order asked for.
    pub jobs: Vec<Job>,
    /// The time ran out first, or the engine is to stop; the jobs go on.
    pub timed_out: bool,
}

impl Engine {
    /// Waits until jobs have ended, for at most `patience` and not once the engine drains. Costs nothing while nothing
    /// happens; cancel safe.
    ///
    /// # Errors
    /// `job_not_found` for the first unknown name; `invalid_argument` for none or more than [`WAIT_JOBS_MAX`].
    pub async fn wait(
        &self,
        caller: &Caller,
        names: &[String],
        wait_for: WaitFor,
        patience: Duration,
    ) -> Result<Waited, Fault> {
        if !(1..=WAIT_JOBS_MAX).contains(&names.len()) {
            return Err(Fault::invalid("jobs", format!("name 1 to {WAIT_JOBS_MAX} jobs")));
        }
        let mut jobs = Vec::with_capacity(names.len());
        for name in names {
            jobs.push(self.find(&caller.principal, name).await?);
        }
        let deadline = Instant::now() + patience;
        let over = match wait_for {
            WaitFor::All => self.wait_all(&mut jobs, deadline).await?,
            WaitFor::Any => self.wait_any(&mut jobs, deadline).await?,
        };
        Ok(Waited { jobs, timed_out: !over })
    }

    /// Waits until one job has ended, for at most `patience` and not once the engine drains; returns it as it stands.
    ///
    /// # Errors
    /// The store's own; `job_not_found` if it was removed meanwhile.
    pub async fn wait_one(&self, mut job: Job, patience: Duration) -> Result<Job, Fault> {
        let deadline = Instant::now() + patience;
        self.wait_until(&mut job, deadline).await?;
        Ok(job)
    }

    /// Waits until the job is not as `job` any more, for at most `patience`; returns it as it stands. Cancel safe.
    ///
    /// # Errors
    /// The store's own; `job_not_found` if it was removed meanwhile.
    pub async fn wait_change(&self, job: &Job, patience: Duration) -> Result<Job, Fault> {
        let deadline = Instant::now() + patience;
        let mut news = self.inner.hub.listen(job.id);
        loop {
            let now = self.refreshed(job).await?;
            if now.version != job.version || tokio::time::timeout_at(deadline, news.changed()).await.is_err() {
                return Ok(now);
            }
        }
    }

    async fn wait_all(&self, jobs: &mut [Job], deadline: Instant) -> Result<bool, Fault> {
        let mut over = true;
        for job in jobs {
            over &= self.wait_until(job, deadline).await?;
        }
        Ok(over)
    }

    async fn wait_any(&self, jobs: &mut [Job], deadline: Instant) -> Result<bool, Fault> {
        let mut commits = self.inner.hub.commits();
        loop {
            commits.mark_unchanged();
            for job in jobs.iter_mut() {
                *job = self.refreshed(job).await?;
            }
            if jobs.iter().any(Job::is_finished) {
                return Ok(true);
            }
            if !self.inner.came(commits.changed(), deadline).await {
                return Ok(false);
            }
        }
    }

    /// Whether the job ended before the deadline; `job` is what it is now.
    async fn wait_until(&self, job: &mut Job, deadline: Instant) -> Result<bool, Fault> {
        let mut news = self.inner.hub.listen(job.id);
        loop {
            *job = self.refreshed(job).await?;
            if job.is_finished() {
                return Ok(true);
            }
            if !self.inner.came(news.changed(), deadline).await {
                return Ok(false);
            }
        }
    }

    async fn refreshed(&self, job: &Job) -> Result<Job, Fault> {
        if job.is_finished() {
            return Ok(job.clone());
        }
        self.inner.store.job(job.id).await?.ok_or_else(|| Fault::job_not_found(job.id))
    }
}
