//! The output of one attempt, wherever it is: here, or on the node that ran it.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::EventKind;
use longshore_domain::{AttemptNumber, EventSeq, Job, JobId, NodeId};
use tokio::time::Instant;

use crate::Engine;
use crate::peers::{Piece, ReadFrom, Reading};
use crate::process::output::{Chunk, OutputFile};

/// Events read at once.
const EVENTS_MAX: usize = 500;

impl Engine {
    /// Reads output of an attempt that runs or ran on this node; empty if it never did. Cancel safe.
    ///
    /// # Errors
    /// `job_not_found`, `file_failed`, or those of kept output.
    pub async fn own_output(&self, reading: Reading) -> Result<Piece, Fault> {
        let deadline = Instant::now() + reading.wait;
        let mut news = self.inner.hub.listen(reading.job);
        let _watch = (!reading.wait.is_zero()).then(|| self.inner.watch_output(reading.job));
        let job = self.inner.store.job(reading.job).await?.ok_or_else(|| Fault::job_not_found(reading.job))?;
        loop {
            // Looked at before its output: if it is over, the output read next is all there will be.
            let goes_on = self.inner.is_live(job.id, reading.attempt);
            let piece = self.read_here_or_kept(&job, &reading).await?;
            let is_news = !piece.bytes.is_empty() || piece.omitted > 0;
            if is_news || !goes_on || !self.inner.came(news.changed(), deadline).await {
                return Ok(piece);
            }
        }
    }

    /// Reads output from the files of this node.
    async fn read_here(&self, job: &Job, reading: &Reading) -> Result<Piece, Fault> {
        let path = self.inner.settings.output_path(job, reading.attempt);
        let reading = *reading;
        let read = tokio::task::spawn_blocking(move || read(&path, &reading)).await.map_err(Fault::internal)?;
        read.map_err(|error| Fault::new(FaultCode::FileFailed, "the output could not be read").why(error.to_string()))
    }

    /// The same, and from where output is kept if there are no such files.
    pub(super) async fn read_here_or_kept(&self, job: &Job, reading: &Reading) -> Result<Piece, Fault> {
        let is_here = self.inner.settings.output_path(job, reading.attempt).exists();
        let kept = if is_here { None } else { self.inner.read_kept(job, reading).await? };
        match kept {
            Some(piece) => Ok(piece),
            None => self.read_here(job, reading).await,
        }
    }

    /// What a node answered, or what was kept of the output if it does not answer or cannot say.
    pub(super) async fn or_kept(
        &self,
        job: &Job,
        reading: &Reading,
        read: Result<Piece, Fault>,
    ) -> Result<Piece, Fault> {
        match read {
            Err(fault) => self.inner.read_kept(job, reading).await?.ok_or(fault),
            read => read,
        }
    }

    /// The node that has the output of an attempt, if it is another one.
    pub(super) async fn elsewhere(&self, job: &Job, attempt: AttemptNumber) -> Result<Option<NodeId>, Fault> {
        let holder = match job.state.lease().filter(|lease| lease.token == attempt) {
            _ if self.inner.peers.is_none() => return Ok(None),
            Some(lease) => Some(lease.holder),
            None if self.inner.settings.output_path(job, attempt).exists() => None,
            None => self.claimant(job.id, attempt).await?,
        };
        Ok(holder.filter(|holder| *holder != self.inner.settings.node.id))
    }

    /// Who took the attempt, by the history.
    pub(super) async fn claimant(&self, job: JobId, attempt: AttemptNumber) -> Result<Option<NodeId>, Fault> {
        let mut after = EventSeq(0);
        loop {
            let events = self.inner.store.events(after, Some(job), EVENTS_MAX).await?;
            let claim = events.iter().find(|event| event.kind == EventKind::Claimed && event.attempt == attempt);
            if let Some(claim) = claim {
                return Ok(claim.detail.as_ref().and_then(|holder| holder.parse().ok()));
            }
            match events.last() {
                Some(last) => after = last.seq,
                None => return Ok(None),
            }
        }
    }
}

fn read(path: &std::path::Path, reading: &Reading) -> std::io::Result<Piece> {
    let file = OutputFile::open(path)?;
    let offset = match reading.from {
        ReadFrom::Offset(offset) => offset,
        ReadFrom::TailLines(lines) => file.tail_start(lines)?,
    };
    let Chunk { offset, bytes, next_offset, gap } = file.read(offset, reading.bytes_max)?;
    let piece = Piece { offset, bytes, next_offset, omitted: gap, total: file.total(), labels: vec![] };
    // A label is on disk before its bytes are, so none of these is missing.
    Ok(match reading.labels && !piece.bytes.is_empty() {
        true => {
            let found = file.labels(piece.range())?;
            piece.labelled(found)
        }
        false => piece,
    })
}
