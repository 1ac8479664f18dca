//! Removing what has grown old: first output, then records, which are archived before they are deleted.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{EventKind, EventRecord, JobSpec, Question};
use longshore_domain::{EventSeq, Job, Timestamp};
use serde::Serialize;

use crate::Engine;

/// Jobs handled in one transaction.
const BATCH_MAX: usize = 500;
/// Events of one job that the archive keeps.
const EVENTS_MAX: usize = 10_000;

/// What retention removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetentionReport {
    /// Jobs whose output was removed.
    pub outputs: u64,
    /// Bytes of output that were freed.
    pub output_bytes: u64,
    /// Records that were archived and removed.
    pub records: u64,
    /// Files of output that no record led to any more.
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

#[derive(Serialize)]
struct Archived<'a> {
    job: &'a Job,
    spec: Option<JobSpec>,
    events: Vec<EventRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Question>,
}

impl Engine {
    /// Removes output and records that are older than the retention allows, and the oldest output beyond the space
    /// ceiling, as well as output that no record leads to. Pinned and unfinished jobs are never touched. Can be interrupted and repeated at any point.
    ///
    /// # Errors
    /// The store's own, or `file_failed` when the archive cannot be written: then no record was removed.
    pub async fn gc(&self, dry_run: bool) -> Result<RetentionReport, Fault> {
        let now = self.inner.clock.now();
        let retention = self.inner.settings.retention.clone();
        let orphans = self.sweep_orphans(dry_run).await?;
        let mut report = RetentionReport {
            dry_run,
            orphans: orphans.files,
            orphan_bytes: orphans.bytes,
            ..RetentionReport::default()
        };
        self.expire_outputs(now.minus(retention.output), None, &mut report).await?;
        let used = folder_bytes(&self.inner.settings.output_dir);
        let counted = u64::from(dry_run) * report.orphan_bytes;
        let over = used.saturating_sub(counted).saturating_sub(retention.output_bytes_max);
        if over > 0 {
            let target = report.output_bytes * u64::from(dry_run) + over;
            self.expire_outputs(now, Some(target), &mut report).await?;
        }
        self.archive_records(now.minus(retention.record), &mut report).await?;
        self.collect_artifacts(&mut report).await?;
        Ok(report)
    }

    /// Removes old output; with `bytes` only until that much was freed by this call.
    async fn expire_outputs(
        &self,
        before: Timestamp,
        bytes: Option<u64>,
        report: &mut RetentionReport,
    ) -> Result<(), Fault> {
        let mut freed = 0;
        loop {
            let jobs = self.inner.store.with_old_output(before, BATCH_MAX).await?;
            let full = jobs.len() == BATCH_MAX;
            let mut gone = vec![];
            for job in &jobs {
                if bytes.is_some_and(|bytes| freed >= bytes) {
                    break;
                }
                let size = if report.dry_run { self.output_size(job) } else { self.delete_output(job) };
                freed += size;
                gone.push(job.id);
            }
            report.outputs += gone.len() as u64;
            let enough = gone.len() < jobs.len();
            if !report.dry_run && !gone.is_empty() {
                self.inner.store.output_expired(gone).await?;
            }
            if !full || enough || report.dry_run {
                report.output_bytes += freed;
                return Ok(());
            }
        }
    }

    fn output_size(&self, job: &Job) -> u64 {
        let attempts = (1..=job.attempt.0).map(longshore_domain::AttemptNumber);
        let paths = attempts.map(|attempt| self.inner.settings.output_path(job, attempt));
        paths.map(|path| std::fs::metadata(path).map_or(0, |found| found.len())).sum()
    }

    async fn archive_records(&self, before: Timestamp, report: &mut RetentionReport) -> Result<(), Fault> {
        loop {
            let jobs = self.inner.store.old_jobs(before, BATCH_MAX).await?;
            if report.dry_run || jobs.is_empty() {
                report.records += jobs.len() as u64;
                return Ok(());
            }
            let mut lines = Vec::new();
            for job in &jobs {
                let spec = self.inner.store.spec(job.id).await?;
                let events = self.inner.store.events(EventSeq(0), Some(job.id), EVENTS_MAX).await?;
                let asked = events.iter().any(|event| event.kind == EventKind::Asked);
                let questions = if asked { self.inner.store.questions(job.id).await? } else { vec![] };
                serde_json::to_writer(&mut lines, &Archived { job, spec, events, questions })
                    .map_err(Fault::internal)?;
                lines.push(b'\n');
            }
            let path = self.inner.settings.archive_dir.join(archive_name(self.inner.clock.now()));
            tokio::task::spawn_blocking(move || append_compressed(&path, &lines))
                .await
                .map_err(Fault::internal)?
                .map_err(|error| {
                    Fault::new(FaultCode::FileFailed, "the archive of old records cannot be written")
                        .why(error.to_string())
                        .next("free some space or correct its permissions; no record was removed")
                })?;
            jobs.iter().for_each(|job| {
                self.delete_output(job);
            });
            let removed = self.inner.store.remove(jobs.iter().map(|job| job.id).collect()).await?;
            report.records += removed;
            // What the store keeps (others have not been told of its end yet) would come again at once.
            if removed < jobs.len() as u64 {
                return Ok(());
            }
        }
    }
}

fn archive_name(now: Timestamp) -> String {
    let text = now.to_string();
    format!("jobs-{}.jsonl.zst", text.get(..7).unwrap_or("undated"))
}

/// Appends one compressed frame and waits until it is on the disk; frames of one file read as one stream.
fn append_compressed(path: &PathBuf, lines: &[u8]) -> std::io::Result<()> {
    let frame = zstd::bulk::compress(lines, 3)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&frame)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Bytes of all files in a folder and the folders right below it.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => folder_bytes(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
