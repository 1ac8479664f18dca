//! Reading output from the parts in which it was kept.

use std::ops::Range;

use longshore_domain::artifact::{Artifact, Artifacts, Digest};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{AttemptNumber, Job};

use super::{Keeping, index_name, prefix};
use crate::inner::Inner;
use crate::peers::{Piece, ReadFrom, Reading};
use crate::process::labels;
use crate::process::last_lines::LastLines;
use crate::shim::layout::{Header, Label};

/// What is kept of an attempt's output.
struct Kept<'k> {
    keeping: &'k Keeping,
    parts: Vec<(Range<u64>, Digest)>,
    /// Bytes printed; all before `head_end` were kept, and all from `floor` on.
    total: u64,
    head_end: u64,
    floor: u64,
    /// The file beside the output, once nothing is missing.
    index: Option<Vec<u8>>,
}

impl Inner {
    /// Reads output of an attempt from where it was kept; nothing if none of it was.
    ///
    /// # Errors
    /// `artifacts_unavailable`, also where the rest of the output of an attempt that is over was never sent;
    /// `artifact_damaged`.
    pub(crate) async fn read_kept(&self, job: &Job, reading: &Reading) -> Result<Option<Piece>, Fault> {
        let Some(keeping) = &self.settings.artifacts else { return Ok(None) };
        let prefix = prefix(reading.attempt);
        let mut artifacts = self.store.artifacts(job.id).await?;
        artifacts.retain(|artifact| artifact.name.starts_with(&prefix));
        if artifacts.is_empty() {
            return Ok(None);
        }
        let kept = Kept::of(keeping, &artifacts, reading.attempt).await?;
        let piece = kept.read(reading).await?;
        let piece = if reading.labels { kept.label(piece)? } else { piece };
        let is_over = job.is_finished() || reading.attempt < job.attempt;
        match piece.bytes.is_empty() && is_over && kept.index.is_none() {
            true => Err(Fault::new(FaultCode::ArtifactsUnavailable, "the rest of the output was not kept yet")
                .why("the node that ran the attempt could not send it before it ended, and does not answer now")
                .next("read it when that node is back")),
            false => Ok(Some(piece)),
        }
    }
}

impl Inner {
    /// Whether the output of each attempt that this node has files of is wholly kept elsewhere too.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn keeps_all(&self, job: &Job) -> Result<bool, Fault> {
        if self.output_keeping().is_none() {
            return Ok(false);
        }
        let artifacts = self.store.artifacts(job.id).await?;
        let mut here =
            (1..=job.attempt.0).map(AttemptNumber).filter(|attempt| self.settings.output_path(job, *attempt).exists());
        Ok(here.all(|attempt| artifacts.iter().any(|artifact| artifact.name == index_name(attempt))))
    }
}

impl<'k> Kept<'k> {
    async fn of(keeping: &'k Keeping, artifacts: &[Artifact], attempt: AttemptNumber) -> Result<Self, Fault> {
        let start = |artifact: &Artifact| artifact.name.strip_prefix(&prefix(attempt))?.parse::<u64>().ok();
        let range = |artifact: &Artifact| start(artifact).map(|start| (start..start + artifact.bytes, artifact.digest));
        let parts: Vec<_> = artifacts.iter().filter_map(range).collect();
        let end = parts.iter().map(|(bytes, _)| bytes.end).max().unwrap_or(0);
        let mut kept = Self { keeping, parts, total: end, head_end: end, floor: end, index: None };
        let index = artifacts.iter().find(|artifact| artifact.name == index_name(attempt));
        if let Some(index) = index {
            let bytes = get(keeping.artifacts.as_ref(), index.digest).await?;
            if let Some(header) = bytes.first_chunk().and_then(Header::from_bytes) {
                kept.total = end.max(header.total);
                if kept.total > header.layout.cap() {
                    kept.head_end = header.layout.head_cap;
                    kept.floor = kept.total - header.layout.tail_cap;
                } else {
                    (kept.head_end, kept.floor) = (kept.total, kept.total);
                }
            }
            kept.index = Some(bytes);
        }
        Ok(kept)
    }

    async fn read(&self, reading: &Reading) -> Result<Piece, Fault> {
        let asked = match reading.from {
            ReadFrom::Offset(offset) => offset,
            ReadFrom::TailLines(lines) => self.tail_start(lines).await?,
        };
        let start = if asked >= self.head_end { asked.max(self.floor) } else { asked };
        let nothing = Piece { offset: asked, next_offset: asked, total: self.total, ..Piece::default() };
        if start >= self.total {
            return Ok(nothing);
        }
        let (from, bytes) = match self.parts.iter().find(|(bytes, _)| bytes.contains(&start)) {
            Some((part, digest)) => {
                let end = part.end.min(if start < self.head_end { self.head_end } else { self.total });
                let end = end.min(start.saturating_add(reading.bytes_max as u64));
                let whole = get(self.keeping.artifacts.as_ref(), *digest).await?;
                let within = (start - part.start) as usize..(end - part.start) as usize;
                (start, whole.get(within).map(<[u8]>::to_vec).unwrap_or_default())
            }
            None if self.index.is_some() => {
                return Err(Fault::new(FaultCode::ArtifactDamaged, "a part of the output is not on record")
                    .why("it was kept wholly, and somebody removed it"));
            }
            // While it runs, its beginning may have been overwritten before it was sent.
            None => match self.parts.iter().map(|(bytes, _)| bytes.start).filter(|at| *at > start).min() {
                Some(next) => (next, vec![]),
                None => return Ok(nothing),
            },
        };
        let next_offset = from + bytes.len() as u64;
        Ok(Piece { offset: from, bytes, next_offset, omitted: from - asked, total: self.total, labels: vec![] })
    }

    /// A piece with its labels, as far as they were kept.
    fn label(&self, piece: Piece) -> Result<Piece, Fault> {
        let index = self.index.as_deref().unwrap_or_default();
        let Some((header, labels)) = index.split_first_chunk().filter(|_| !piece.bytes.is_empty()) else {
            return Ok(piece);
        };
        let labels = if Header::from_bytes(header).is_some() { labels.as_chunks().0 } else { &[] };
        let label = |number| Ok(Label::from_bytes(&labels[number as usize]));
        let found = labels::find(piece.range(), labels.len() as u64, label).map_err(Fault::internal)?;
        Ok(piece.labelled(found))
    }

    /// Where the last lines begin; a last line without a newline counts, and the part that is not kept ends a line.
    async fn tail_start(&self, lines: usize) -> Result<u64, Fault> {
        if lines == 0 {
            return Ok(self.total);
        }
        let mut last_lines = LastLines::new(lines);
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(bytes.start));
        for stretch in [self.floor..self.total, 0..self.head_end] {
            for (part, digest) in &parts {
                let (start, end) = (part.start.max(stretch.start), part.end.min(stretch.end));
                if start >= end {
                    continue;
                }
                let whole = get(self.keeping.artifacts.as_ref(), *digest).await?;
                let within = (start - part.start) as usize..(end - part.start) as usize;
                let bytes = whole.get(within).unwrap_or_default();
                if let Some(beginning) = last_lines.look(&stretch, start, bytes) {
                    return Ok(beginning);
                }
            }
        }
        Ok(0)
    }
}

/// All bytes of an artifact that is no longer than a part.
async fn get(artifacts: &dyn Artifacts, digest: Digest) -> Result<Vec<u8>, Fault> {
    let mut content = artifacts.get(digest).await?;
    let mut bytes = vec![];
    while let Some(some) = content.next().await? {
        bytes.extend(some);
    }
    Ok(bytes)
}
