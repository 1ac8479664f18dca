//! What is kept, some at a time.

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use longshore_domain::artifact::{ArtifactError, Found, Listing};
use longshore_domain::time::Timestamp;
use object_store::ObjectMeta;

use super::errors::{Place, is_missing};

/// Objects told at once.
const BATCH_MAX: usize = 500;

pub(super) struct ObjectListing {
    found: BoxStream<'static, object_store::Result<ObjectMeta>>,
    place: Place,
}

impl ObjectListing {
    pub(super) fn new(found: BoxStream<'static, object_store::Result<ObjectMeta>>, place: Place) -> Self {
        // Asked again at the end, some streams panic.
        Self { found: found.fuse().boxed(), place }
    }
}

/// The artifact that an object holds; whatever has another name is not ours.
fn artifact(object: &ObjectMeta) -> Option<Found> {
    let digest = object.location.filename()?.parse().ok()?;
    let put_at = Timestamp::from_millis(object.last_modified.timestamp_millis());
    Some(Found { digest, stored_bytes: object.size, put_at })
}

#[async_trait]
impl Listing for ObjectListing {
    async fn next(&mut self) -> Result<Option<Vec<Found>>, ArtifactError> {
        let mut batch = vec![];
        while batch.len() < BATCH_MAX {
            match self.found.next().await {
                Some(Ok(object)) => batch.extend(artifact(&object)),
                // One that was deleted meanwhile.
                Some(Err(error)) if is_missing(&error) && !batch.is_empty() => {}
                Some(Err(error)) => return Err(self.place.failed("list artifacts", error)),
                None => break,
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
