//! The driver that keeps artifacts in a folder or in a bucket of S3, Google Cloud Storage or Azure.
//!
//! An artifact is one object, `objects/<first two digits>/<SHA-256>`, in the form that `frames`
//! describes, with a head that repeats the SHA-256.

mod claim;
mod content;
mod errors;
mod folder;
mod listing;
mod options;
mod put;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_domain::artifact::{ArtifactError, Artifacts, Content, Digest, Listing, Source, Stored};
use longshore_domain::time::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use errors::{Place, is_missing};
pub use options::ArtifactOptions;

/// What the head of an object begins with; its SHA-256 follows.
const HEAD: &[u8] = b"longshore artifact 1\n";
/// The folder of the objects.
const OBJECTS: &str = "objects";
/// The folder of what is archived.
const ARCHIVE: &str = "archive";
/// Written by [`Artifacts::check`], for whoever finds the place.
const README: &str = "README.txt";
const README_TEXT: &str = "What Longshore keeps for jobs. `zstd -d` reads an object; change or delete nothing here.\n";

/// A folder or bucket with artifacts.
pub struct ObjectArtifacts {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Where in the bucket everything is.
    root: Path,
    place: Place,
    /// The folder, if it is one of this machine.
    folder: Option<PathBuf>,
}

/// Tells where it is, and none of the credentials.
impl fmt::Debug for ObjectArtifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectArtifacts").field(&self.place.location).finish()
    }
}

impl ObjectArtifacts {
    /// Gets ready to keep artifacts at a place. A folder is made if there is none; of any other place nothing is asked
    /// before [`Artifacts::check`].
    ///
    /// # Errors
    /// [`ArtifactError::Misconfigured`]; for a folder also what the file system says.
    pub fn open(options: &ArtifactOptions) -> Result<Self, ArtifactError> {
        options.open()
    }

    /// Where the object of an artifact is.
    pub(crate) fn key(&self, digest: Digest) -> Path {
        let name = digest.to_string();
        self.root.clone().join(OBJECTS).join(&name[..2]).join(name)
    }
}

/// The head of an object.
fn head(digest: Digest) -> Vec<u8> {
    [HEAD, digest.as_bytes()].concat()
}

#[async_trait]
impl Artifacts for ObjectArtifacts {
    async fn check(&self) -> Result<(), ArtifactError> {
        let readme = self.root.clone().join(README);
        let written = self.objects.put(&readme, README_TEXT.into()).await;
        written.map_err(|error| self.place.failed("write", error))?;
        self.list().await?.next().await.map(drop)
    }

    async fn claim(&self, store: &str) -> Result<(), ArtifactError> {
        claim::claim(self, store).await
    }

    async fn put(&self, source: &mut dyn Source) -> Result<Stored, ArtifactError> {
        put::put(self, source).await
    }

    async fn get(&self, digest: Digest) -> Result<Box<dyn Content>, ArtifactError> {
        let found = self.objects.get(&self.key(digest)).await.map_err(|error| match is_missing(&error) {
            true => ArtifactError::Missing(digest),
            false => self.place.failed("read an artifact", error),
        })?;
        Ok(Box::new(content::ObjectContent::new(digest, found.into_stream(), self.place.clone())))
    }

    async fn delete(&self, digest: Digest) -> Result<(), ArtifactError> {
        match self.objects.delete(&self.key(digest)).await {
            Err(error) if !is_missing(&error) => Err(self.place.failed("delete an artifact", error)),
            _ => Ok(()),
        }
    }

    async fn list(&self) -> Result<Box<dyn Listing>, ArtifactError> {
        let found = self.objects.list(Some(&self.root.clone().join(OBJECTS)));
        Ok(Box::new(listing::ObjectListing::new(found, self.place.clone())))
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, ArtifactError> {
        match self.folder.clone() {
            Some(folder) => folder::sweep(folder, before, &self.place).await,
            None => Ok(0),
        }
    }

    async fn archive(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArtifactError> {
        let written = self.objects.put(&self.root.clone().join(ARCHIVE).join(name), bytes.into()).await;
        written.map(drop).map_err(|error| self.place.failed("archive records", error))
    }

    fn location(&self) -> &str {
        &self.place.location
    }
}
