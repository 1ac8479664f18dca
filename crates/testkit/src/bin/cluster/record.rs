//! All that is on record in the end, read from the database itself.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use longshore_domain::job::{EventRecord, JobSpec};
use longshore_domain::store::{JobFilter, Store};
use longshore_domain::{EventSeq, Job, JobId, JobNumber, NodeId};
use longshore_store::{PostgresOptions, PostgresStore};

use crate::ticks::NAME;

/// Longest wait for the last jobs.
const SETTLE_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PAGE: usize = 2_000;

/// What is on record.
pub(crate) struct Record {
    pub(crate) jobs: HashMap<JobId, Job>,
    pub(crate) history: Vec<EventRecord>,
    /// Nodes by name.
    pub(crate) nodes: HashMap<String, NodeId>,
    /// What the jobs of the schedule do.
    pub(crate) ticks: Vec<(JobId, JobSpec)>,
}

impl Record {
    /// Reads all of it once every job has ended, or has not for too long.
    pub(crate) fn read(database: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let store = PostgresStore::open(PostgresOptions::new(database)).await.context("the database")?;
            settle(&store).await?;
            let nodes = store.nodes(longshore_domain::Timestamp::from_millis(0)).await?;
            let nodes = nodes.into_iter().map(|record| (record.node.name, record.node.id)).collect();
            let jobs = jobs(&store).await?;
            let ticks = ticks(&store, &jobs).await?;
            let record = Self { jobs, history: history(&store).await?, nodes, ticks };
            store.close().await;
            Ok(record)
        })
    }

    /// The lines of a job, for people.
    pub(crate) fn story(&self, job: JobNumber) -> Vec<String> {
        let lines = self.history.iter().filter(|line| line.number == job);
        let told = |line: &EventRecord| {
            let (kind, attempt, detail) = (line.kind.as_str(), line.attempt.0, line.detail.as_deref().unwrap_or("-"));
            format!("{} at {}: {kind}, attempt {attempt} -> {} ({detail})", line.seq, line.at, line.state)
        };
        lines.map(told).collect()
    }
}

async fn settle(store: &PostgresStore) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < SETTLE_MAX && !store.counts().await?.unfinished.is_empty() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn jobs(store: &PostgresStore) -> Result<HashMap<JobId, Job>> {
    let mut jobs = HashMap::new();
    let mut before = None;
    loop {
        let page = store.jobs(JobFilter { before, ..JobFilter::default() }, PAGE).await?;
        let Some(oldest) = page.last() else { return Ok(jobs) };
        before = Some(oldest.number);
        jobs.extend(page.into_iter().map(|job| (job.id, job)));
    }
}

async fn ticks(store: &PostgresStore, jobs: &HashMap<JobId, Job>) -> Result<Vec<(JobId, JobSpec)>> {
    let mut ticks = vec![];
    let made = jobs.values().filter(|job| job.name.as_deref() == Some(NAME));
    for job in made {
        ticks.push((job.id, store.spec(job.id).await?.context("a job without a spec")?));
    }
    Ok(ticks)
}

async fn history(store: &PostgresStore) -> Result<Vec<EventRecord>> {
    let mut history = vec![];
    loop {
        let after = history.last().map_or(EventSeq(0), |line: &EventRecord| line.seq);
        let page = store.events(after, None, PAGE).await?;
        if page.is_empty() {
            return Ok(history);
        }
        history.extend(page);
    }
}
