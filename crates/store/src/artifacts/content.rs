//! The bytes of an artifact as they come, each proved before it is handed out.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use longshore_domain::artifact::{ArtifactError, Content, Digest};

use super::errors::Place;
use super::head;
use crate::frames::{Damage, Unpacker};

pub(super) struct ObjectContent {
    digest: Digest,
    packed: BoxStream<'static, object_store::Result<Bytes>>,
    unpacker: Unpacker,
    /// The newest stretch. It is only handed out once the next one is there, or it is known to be the last of all.
    held: Option<Vec<u8>>,
    ended: bool,
    place: Place,
}

impl ObjectContent {
    pub(super) fn new(digest: Digest, packed: BoxStream<'static, object_store::Result<Bytes>>, place: Place) -> Self {
        Self { digest, packed, unpacker: Unpacker::new(), held: None, ended: false, place }
    }

    fn check_head(&mut self) -> Result<(), Damage> {
        match self.unpacker.head()? {
            Some(found) if found != head(self.digest) => Err(Damage("it is another artifact")),
            _ => Ok(()),
        }
    }

    /// The next stretch that is ready, or nothing before more has come.
    fn unpack(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        self.check_head()?;
        while let Some(stretch) = self.unpacker.next()? {
            if let Some(ready) = self.held.replace(stretch) {
                return Ok(Some(ready));
            }
        }
        Ok(None)
    }

    /// The last stretch, if all are what they should be.
    fn finish(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        self.ended = true;
        match self.unpacker.finish()? {
            digest if digest == self.digest => Ok(self.held.take().filter(|stretch| !stretch.is_empty())),
            _ => Err(Damage("it has another SHA-256 than its name")),
        }
    }
}

#[async_trait]
impl Content for ObjectContent {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ArtifactError> {
        let digest = self.digest;
        let damaged = |Damage(problem)| ArtifactError::Damaged { digest, problem };
        while !self.ended {
            if let Some(ready) = self.unpack().map_err(damaged)? {
                return Ok(Some(ready));
            }
            match self.packed.next().await {
                Some(Ok(packed)) => self.unpacker.push(&packed),
                Some(Err(error)) => return Err(self.place.failed("read an artifact", error)),
                None => return self.finish().map_err(damaged),
            }
        }
        Ok(None)
    }
}
