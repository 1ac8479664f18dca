//! Which job has which artifacts, and which objects are being collected.
//!
//! An object is put first, then put on record, so that a record proves that its object is there. Objects that no job
//! has are collected: [`collect`](ArtifactRecords::collect) promises that they go, they are deleted, and
//! [`collected`](ArtifactRecords::collected) ends the promise. Whoever puts an object that was there already may have
//! been overtaken by that, and [`keep`](ArtifactRecords::keep) tells him to put it again.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::artifact::{Artifact, Digest};
use crate::id::JobId;
use crate::time::Timestamp;

/// What becomes of a job's artifacts in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Artifacts that it has from now on; one of the same name is replaced.
    pub add: Vec<Artifact>,
    /// Names of artifacts that it has no more.
    pub remove: Vec<String>,
    /// What [`newest_collection`](ArtifactRecords::newest_collection) said before the first of the objects was looked for.
    pub since: u64,
}

/// How old what becomes unneeded is, since its job ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Output.
    pub output: Duration,
    /// Everything that a job has.
    pub record: Duration,
}

/// The part of the storage port that is about artifacts.
#[async_trait]
pub trait ArtifactRecords: Send + Sync {
    /// The artifacts of a job, by name.
    async fn artifacts(&self, job: JobId) -> Result<Vec<Artifact>, StoreError>;

    /// Grows with each beginning and each end of a collection. Asked before an object is put.
    async fn newest_collection(&self) -> Result<u64, StoreError>;

    /// Changes which artifacts a job has. If some of them may have been collected since they were put, nothing is
    /// changed and they are returned: they are to be put again, beginning with
    /// [`newest_collection`](Self::newest_collection). As long as a collection is under way that may take time.
    ///
    /// # Errors
    /// [`StoreError::JobNotFound`].
    async fn keep(&self, job: JobId, keep: Keep) -> Result<Vec<Digest>, StoreError>;

    /// Those of `objects` that no job has, or would have once nothing is left of unpinned jobs that is older than that.
    async fn unneeded(&self, objects: Vec<Digest>, ages: Ages, now: Timestamp) -> Result<Vec<Digest>, StoreError>;

    /// Begins a collection: returns those of `objects` that no job has and nobody else is collecting. They are to be
    /// deleted now.
    async fn collect(&self, objects: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, StoreError>;

    /// Ends the collection of these objects: they are deleted.
    async fn collected(&self, objects: Vec<Digest>, now: Timestamp) -> Result<(), StoreError>;

    /// Up to `limit` objects whose collection began at least `age` ago and has not ended: whoever began it is gone.
    /// From now on they are the caller's to delete.
    async fn take_over_collections(
        &self,
        age: Duration,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Digest>, StoreError>;
}
