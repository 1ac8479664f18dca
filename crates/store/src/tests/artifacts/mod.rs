//! Artifacts in a folder, and on real servers for S3 and Azure.

mod server;
mod suite;
mod troubles;

use async_trait::async_trait;
use longshore_domain::artifact::{ArtifactError, Artifacts, Digest, Source};
use sha2::{Digest as _, Sha256};

use crate::{ArtifactOptions, ObjectArtifacts};

/// Bytes in memory, given in small parts.
struct Bytes {
    bytes: Vec<u8>,
    at: usize,
    /// Given from the second time on.
    then: Option<Vec<u8>>,
    /// No more than this can be read of them the second time.
    breaks_at: usize,
    rewound: bool,
}

impl Bytes {
    const PART: usize = 100_003;

    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, then: None, breaks_at: usize::MAX, rewound: false }
    }
}

#[async_trait]
impl Source for Bytes {
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        if self.rewound && self.at >= self.breaks_at {
            return Err(std::io::Error::other("the disk is broken"));
        }
        let part = &self.bytes[self.at..self.bytes.len().min(self.at + Self::PART)];
        self.at += part.len();
        Ok((!part.is_empty()).then(|| part.to_vec()))
    }

    async fn rewind(&mut self) -> std::io::Result<()> {
        (self.at, self.rewound) = (0, true);
        self.bytes = self.then.take().unwrap_or_else(|| std::mem::take(&mut self.bytes));
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Sha256::digest(bytes).into())
}

/// Bytes that cannot be compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = length as u64 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

/// All bytes of an artifact; what was handed out before an error comes with it.
async fn read(artifacts: &ObjectArtifacts, digest: Digest) -> (Vec<u8>, Option<ArtifactError>) {
    let mut bytes = vec![];
    let mut content = match artifacts.get(digest).await {
        Ok(content) => content,
        Err(error) => return (bytes, Some(error)),
    };
    loop {
        match content.next().await {
            Ok(Some(part)) => bytes.extend(part),
            Ok(None) => return (bytes, None),
            Err(error) => return (bytes, Some(error)),
        }
    }
}

fn open(options: &ArtifactOptions) -> ObjectArtifacts {
    ObjectArtifacts::open(options).unwrap()
}
