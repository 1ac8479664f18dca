//! Where records go before retention removes them: to where output is kept, so that they outlive this node, or else into a
//! folder of its home.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{EventKind, EventRecord, JobSpec, Question};
use longshore_domain::{EventSeq, Job, JobId};
use serde::Serialize;

use crate::Engine;
use crate::clock::random;

/// Events of one job that the archive keeps.
const EVENTS_MAX: usize = 10_000;

#[derive(Serialize)]
struct Archived<'a> {
    job: &'a Job,
    spec: JobSpec,
    events: Vec<EventRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Question>,
}

impl Engine {
    /// Puts the records of these jobs into the archive, each whole; which, for some may have been removed meanwhile.
    ///
    /// # Errors
    /// The store's own; `file_failed` or `artifacts_unavailable` if the archive cannot be written.
    pub(super) async fn archive(&self, jobs: &[Job]) -> Result<Vec<JobId>, Fault> {
        let (mut lines, mut archived) = (Vec::new(), vec![]);
        for job in jobs {
            let events = self.inner.store.events(EventSeq(0), Some(job.id), EVENTS_MAX).await?;
            let asked = events.iter().any(|event| event.kind == EventKind::Asked);
            let questions = if asked { self.inner.store.questions(job.id).await? } else { vec![] };
            // It goes with the rest in one transaction: as long as it is there, what was read before is whole.
            let Some(spec) = self.inner.store.spec(job.id).await? else { continue };
            serde_json::to_writer(&mut lines, &Archived { job, spec, events, questions }).map_err(Fault::internal)?;
            lines.push(b'\n');
            archived.push(job.id);
        }
        if !archived.is_empty() {
            self.archive_lines(lines).await?;
        }
        Ok(archived)
    }

    /// Durable once this returns. Frames of one month that are put one behind the other read as one stream.
    async fn archive_lines(&self, lines: Vec<u8>) -> Result<(), Fault> {
        let now = self.inner.clock.now().to_string();
        let month = now.get(..7).unwrap_or("undated");
        if let Some(keeping) = self.inner.output_keeping() {
            let compress = move || zstd::bulk::compress(&lines, LEVEL);
            let frame = tokio::task::spawn_blocking(compress).await.map_err(Fault::internal)?;
            // Objects do not grow: each batch is one.
            let name = format!("jobs-{month}.{:032x}.jsonl.zst", random());
            return Ok(keeping.artifacts.archive(&name, frame.map_err(Fault::internal)?).await?);
        }
        let path = self.inner.settings.archive_dir.join(format!("jobs-{month}.jsonl.zst"));
        let append = move || append_compressed(&path, &lines);
        tokio::task::spawn_blocking(append).await.map_err(Fault::internal)?.map_err(|error| {
            Fault::new(FaultCode::FileFailed, "the archive of old records cannot be written")
                .why(error.to_string())
                .next("free some space or correct its permissions; no record was removed")
        })
    }
}

/// How hard it is compressed.
const LEVEL: i32 = 3;

fn append_compressed(path: &Path, lines: &[u8]) -> std::io::Result<()> {
    let frame = zstd::bulk::compress(lines, LEVEL)?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&frame)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
