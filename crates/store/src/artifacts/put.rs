//! Keeping bytes: first what they are, then, if they are not there yet, the bytes themselves.

use std::io::{Error, ErrorKind};

use bytes::Bytes;
use longshore_domain::artifact::{ARTIFACT_BYTES_MAX, ArtifactError, Digest, Source, Stored};
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::errors::is_missing;
use super::{ObjectArtifacts, head};
use crate::frames::Packer;

/// Objects up to this size are sent at once, larger ones in parts of it. Even the largest artifact has fewer parts than
/// the 10,000 that S3 allows.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 2;

const OPERATION: &str = "keep an artifact";

pub(super) async fn put(artifacts: &ObjectArtifacts, source: &mut dyn Source) -> Result<Stored, ArtifactError> {
    let (digest, bytes) = measure(source).await?;
    let key = artifacts.key(digest);
    match artifacts.objects.head(&key).await {
        Ok(_) => return Ok(Stored { digest, bytes, existing: true }),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(artifacts.place.failed(OPERATION, error)),
    }
    source.rewind().await.map_err(ArtifactError::Source)?;
    let writer = BufWriter::with_capacity(artifacts.objects.clone(), key, PART_BYTES);
    let mut writer = writer.with_max_concurrency(PARTS_AT_ONCE);
    match send(artifacts, source, digest, &mut writer).await {
        Ok(()) => Ok(Stored { digest, bytes, existing: false }),
        Err(failed) => {
            // What cannot be taken back now is found by `sweep`, or by a rule of the bucket.
            drop(writer.abort().await);
            Err(failed)
        }
    }
}

async fn measure(source: &mut dyn Source) -> Result<(Digest, u64), ArtifactError> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(part) = source.next().await.map_err(ArtifactError::Source)? {
        hash.update(&part);
        bytes += part.len() as u64;
        if bytes > ARTIFACT_BYTES_MAX {
            let why = format!("it has more than {ARTIFACT_BYTES_MAX} bytes");
            return Err(ArtifactError::Source(Error::new(ErrorKind::FileTooLarge, why)));
        }
    }
    Ok((Digest::new(hash.finalize().into()), bytes))
}

async fn send(
    artifacts: &ObjectArtifacts,
    source: &mut dyn Source,
    digest: Digest,
    writer: &mut BufWriter,
) -> Result<(), ArtifactError> {
    let failed = |error| artifacts.place.failed(OPERATION, error);
    let mut packed = vec![];
    let mut packer = Packer::new(&head(digest), &mut packed);
    while let Some(part) = source.next().await.map_err(ArtifactError::Source)? {
        (packer, packed) = in_background(move || {
            let done = packer.push(&part, &mut packed);
            done.map(|()| (packer, packed))
        })
        .await?;
        writer.put(Bytes::from(std::mem::take(&mut packed))).await.map_err(failed)?;
    }
    let (sent, packed) = in_background(move || {
        let done = packer.finish(&mut packed);
        done.map(|(sent, _)| (sent, packed))
    })
    .await?;
    if sent != digest {
        return Err(ArtifactError::Source(Error::other("it changed while it was read")));
    }
    writer.put(Bytes::from(packed)).await.map_err(failed)?;
    writer.shutdown().await.map_err(|error| artifacts.place.io_failed(OPERATION, error))
}

/// Compresses away from those who serve requests.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ArtifactError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::other(error))).map_err(ArtifactError::Source)
}
