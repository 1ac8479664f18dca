//! Removing what has grown old: first output, then records, which are archived before they are deleted.

use std::collections::HashSet;

use longshore_domain::fault::Fault;
use longshore_domain::store::OldJobs;
use longshore_domain::{Job, JobId};
use serde::Serialize;

use crate::Engine;

/// Jobs handled in one transaction.
const BATCH_MAX: usize = 500;

/// What retention removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Jobs whose output was removed.
    pub outputs: u64,
    /// Bytes of output that were freed.
    pub output_bytes: u64,
    /// Records that were archived and removed.
    pub records: u64,
    /// Files of output that no record led to any more, or whose output was noted as gone.
    pub orphans: u64,
    /// Bytes that they took.
    pub orphan_bytes: u64,
    /// Objects of artifacts that no job had any more.
    pub objects: u64,
    /// Bytes that they took where they were kept.
    pub object_bytes: u64,
    /// Nothing was changed: this is what would be done.
    pub dry_run: bool,
}

impl Engine {
    /// Removes output and records that are older than the retention allows, the oldest output beyond the space ceiling,
    /// output that no record leads to, and objects that no job has. Pinned and unfinished jobs are never touched. Can be
    /// interrupted and repeated at any point, and several nodes may do it at once.
    ///
    /// What the nodes share goes by the store: it is noted there first, and only what the note has taken in is deleted,
    /// here at once and on every other node when that one cleans its own folder.
    ///
    /// # Errors
    /// The store's own, or `file_failed` or `artifacts_unavailable` when the archive cannot be written: then no record was
    /// removed.
    pub async fn gc(&self, dry_run: bool) -> Result<RetentionReport, Fault> {
        let _alone = self.inner.cleaning.lock().await;
        let mut report = RetentionReport { dry_run, ..RetentionReport::default() };
        self.sweep_orphans(&mut report).await?;
        let counted = self.expire_outputs(&mut report).await?;
        self.make_room(&counted, &mut report).await?;
        self.archive_records(&mut report).await?;
        if !dry_run {
            self.forget_samples().await?;
        }
        self.collect_artifacts(&mut report).await?;
        Ok(report)
    }

    /// Removes old output; a dry run only counts it, and returns the jobs.
    async fn expire_outputs(&self, report: &mut RetentionReport) -> Result<HashSet<JobId>, Fault> {
        let age = self.inner.settings.retention.output;
        let mut query = OldJobs { age, with_output: true, after: None };
        let mut counted = HashSet::new();
        loop {
            let jobs = self.next_old(&mut query).await?;
            if jobs.is_empty() {
                return Ok(counted);
            }
            match report.dry_run {
                true => {
                    report.outputs += jobs.len() as u64;
                    report.output_bytes += jobs.iter().map(|job| self.output_size(job)).sum::<u64>();
                    counted.extend(jobs.iter().map(|job| job.id));
                }
                false => self.expire_output(&jobs, report).await?,
            }
        }
    }

    /// Notes that the output of these jobs is gone, and deletes what of it is here. Whoever is interrupted in between
    /// leaves files that the next sweep deletes.
    pub(super) async fn expire_output(&self, jobs: &[Job], report: &mut RetentionReport) -> Result<(), Fault> {
        let gone = self.inner.store.output_expired(jobs.iter().map(|job| job.id).collect()).await?;
        report.outputs += gone.len() as u64;
        report.output_bytes += self.delete_outputs(jobs, gone);
        Ok(())
    }

    /// Deletes the output of those of the jobs that are named; the bytes that were freed.
    fn delete_outputs(&self, jobs: &[Job], named: Vec<JobId>) -> u64 {
        let named = HashSet::<JobId>::from_iter(named);
        jobs.iter().filter(|job| named.contains(&job.id)).map(|job| self.delete_output(job)).sum()
    }

    /// The next page of old jobs; empty at the end.
    async fn next_old(&self, query: &mut OldJobs) -> Result<Vec<Job>, Fault> {
        let jobs = self.inner.store.old_jobs(*query, self.inner.clock.now(), BATCH_MAX).await?;
        if let Some(last) = jobs.last() {
            query.after = last.finished_at().map(|at| (at, last.number));
        }
        Ok(jobs)
    }

    /// Forgets how long jobs took of which no like one succeeded for as long as records are kept.
    async fn forget_samples(&self) -> Result<(), Fault> {
        let age = self.inner.settings.retention.record;
        while self.inner.store.forget_samples(age, BATCH_MAX, self.inner.clock.now()).await? == BATCH_MAX {}
        Ok(())
    }

    async fn archive_records(&self, report: &mut RetentionReport) -> Result<(), Fault> {
        let age = self.inner.settings.retention.record;
        let mut query = OldJobs { age, ..OldJobs::default() };
        loop {
            let jobs = self.next_old(&mut query).await?;
            if jobs.is_empty() {
                return Ok(());
            }
            if report.dry_run {
                report.records += jobs.len() as u64;
                continue;
            }
            let archived = self.archive(&jobs).await?;
            let removed = self.remove_records(&jobs, archived).await?;
            report.records += removed.len() as u64;
            self.delete_outputs(&jobs, removed);
        }
    }
}
