//! Sending output in parts. A part lies within one cell of a grid; while its cell grows it is sent anew and replaced.

use std::ops::Range;
use std::sync::Arc;

use longshore_domain::artifact::Artifact;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::store::Keep;
use longshore_domain::{AttemptNumber, Job};

use super::source::Bytes;
use super::{Keeping, index_name, prefix};
use crate::inner::Inner;
use crate::process::output::{OutputFile, index_path};

/// Size of a cell: the most that one answer of a reader takes from a part, and that is sent again for one more byte.
pub(super) const PART_BYTES: u64 = 1024 * 1024;

/// What is kept of an attempt's output, and what is not yet.
pub(super) struct Flusher {
    inner: Arc<Inner>,
    job: Job,
}

/// Parts that were put and are to be put on record.
pub(super) struct Sent {
    keep: Keep,
    replaced: Vec<Artifact>,
}

/// A part that is on record.
struct Part {
    bytes: Range<u64>,
    artifact: Artifact,
}

impl Flusher {
    pub(super) fn new(inner: Arc<Inner>, job: Job) -> Self {
        Self { inner, job }
    }

    fn attempt(&self) -> AttemptNumber {
        self.job.attempt
    }

    fn keeping(&self) -> Result<&Keeping, Fault> {
        self.inner.output_keeping().ok_or_else(|| Fault::internal("output is not kept"))
    }

    /// Puts every part that is not kept yet as it is now.
    pub(super) async fn send(&mut self) -> Result<Sent, Fault> {
        let since = self.inner.store.newest_collection().await?;
        let mut parts = parts(&self.inner.store.artifacts(self.job.id).await?, self.attempt());
        let path = self.inner.settings.output_path(&self.job, self.attempt());
        let mut keep = Keep { since, ..Keep::default() };
        for wanted in self.in_file(move |file| Ok(cells(&file.kept())), &path).await? {
            if parts.iter().any(|part| part.bytes.start <= wanted.start && part.bytes.end >= wanted.end) {
                continue;
            }
            let range = wanted.clone();
            let Some(bytes) = self.in_file(move |file| read_exactly(file, range), &path).await? else { continue };
            let artifact = self.put(format!("{}{:020}", prefix(self.attempt()), wanted.start), bytes).await?;
            keep.add.push(artifact);
        }
        let kept = self.in_file(|file| Ok(file.kept()), &path).await?;
        let fresh: Vec<_> = keep.add.iter().filter_map(|artifact| part(artifact, self.attempt())).collect();
        parts.retain(|part| {
            let is_kept = kept.iter().any(|range| part.bytes.start < range.end && part.bytes.end > range.start);
            let is_replaced =
                fresh.iter().any(|new| new.bytes.start <= part.bytes.start && new.bytes.end >= part.bytes.end);
            !is_kept || is_replaced
        });
        let same_name = |part: &Part| keep.add.iter().any(|artifact| artifact.name == part.artifact.name);
        keep.remove.extend(parts.iter().filter(|part| !same_name(part)).map(|part| part.artifact.name.clone()));
        let replaced = parts.into_iter().map(|part| part.artifact).collect();
        Ok(Sent { keep, replaced })
    }

    /// Puts on record what was sent, `whole` with the index, which says that nothing is missing.
    pub(super) async fn put_on_record(&mut self, sent: Sent, whole: bool) -> Result<(), Fault> {
        let Sent { mut keep, replaced } = sent;
        if whole {
            let path = self.inner.settings.output_path(&self.job, self.attempt());
            let index = tokio::task::spawn_blocking(move || std::fs::read(index_path(&path)).unwrap_or_default());
            let index = index.await.map_err(Fault::internal)?;
            keep.add.push(self.put(index_name(self.attempt()), index).await?);
        }
        if keep.add.is_empty() && keep.remove.is_empty() {
            return Ok(());
        }
        if !self.inner.store.keep(self.job.id, keep).await?.is_empty() {
            let message = "output is to be sent again: what was there already is being collected";
            return Err(Fault::new(FaultCode::ArtifactsUnavailable, message));
        }
        let replaced = replaced.into_iter().map(|artifact| artifact.digest).collect();
        super::collect::collect(&self.inner, &self.keeping()?.artifacts, replaced).await.map(drop)
    }

    async fn put(&self, name: String, bytes: Vec<u8>) -> Result<Artifact, Fault> {
        let stored = self.keeping()?.artifacts.put(&mut Bytes::new(bytes)).await?;
        Ok(Artifact { name, digest: stored.digest, bytes: stored.bytes, made_at: self.inner.clock.now() })
    }

    async fn in_file<T: Send + 'static>(
        &self,
        look: impl FnOnce(&OutputFile) -> std::io::Result<T> + Send + 'static,
        path: &std::path::Path,
    ) -> Result<T, Fault> {
        let path = path.to_owned();
        let looked = tokio::task::spawn_blocking(move || look(&OutputFile::open(&path)?)).await;
        looked
            .map_err(Fault::internal)?
            .map_err(|error| Fault::new(FaultCode::FileFailed, "the output could not be read").why(error.to_string()))
    }
}

/// The bytes of a range; nothing if some of them are gone meanwhile.
fn read_exactly(file: &OutputFile, range: Range<u64>) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![];
    let mut at = range.start;
    while at < range.end {
        let chunk = file.read(at, usize::try_from(range.end - at).unwrap_or(usize::MAX))?;
        if chunk.bytes.is_empty() || chunk.gap > 0 {
            return Ok(None);
        }
        bytes.extend(chunk.bytes);
        at = chunk.next_offset;
    }
    Ok(Some(bytes))
}

/// Ranges cut by the grid.
fn cells(kept: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut cells = vec![];
    for range in kept {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min((start / PART_BYTES + 1) * PART_BYTES);
            cells.push(start..end);
            start = end;
        }
    }
    cells
}

fn part(artifact: &Artifact, attempt: AttemptNumber) -> Option<Part> {
    let start: u64 = artifact.name.strip_prefix(&prefix(attempt))?.parse().ok()?;
    Some(Part { bytes: start..start + artifact.bytes, artifact: artifact.clone() })
}

fn parts(artifacts: &[Artifact], attempt: AttemptNumber) -> Vec<Part> {
    artifacts.iter().filter_map(|artifact| part(artifact, attempt)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_ranges_and_do_not_cross_the_grid() {
        const P: u64 = PART_BYTES;
        assert_eq!(cells(&[]), []);
        assert_eq!(cells(&[0..5, P - 1..P + 1]), [0..5, P - 1..P, P..P + 1]);
        assert_eq!(cells(&[0..0, 3..2 * P]), [3..P, P..2 * P]);
    }
}
