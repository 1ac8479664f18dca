//! Artifacts: bytes kept for a job, named by what they are.
//!
//! Where they are kept is a port, [`Artifacts`]; which job has which is on record in the
//! [store](crate::store::ArtifactRecords).

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fault::{Fault, FaultCode};
use crate::time::Timestamp;

/// Most bytes of one artifact, before they are compressed.
pub const ARTIFACT_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;
/// Longest name of an artifact, in bytes.
pub const ARTIFACT_NAME_MAX: usize = 200;

/// The SHA-256 of an artifact's bytes, as they are before they are compressed. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; Self::BYTES]);

impl Digest {
    /// How many bytes it has.
    pub const BYTES: usize = 32;

    /// The digest of these bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: expected 64 hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(InvalidDigest);
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::BYTES || !rest.is_empty() {
            return Err(InvalidDigest);
        }
        let mut bytes = [0; Self::BYTES];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// That a job has an artifact, and under which name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name within the job: 1 to [`ARTIFACT_NAME_MAX`] bytes.
    pub name: String,
    /// What its bytes are.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
    /// When it was put on record.
    pub made_at: Timestamp,
}

/// Bytes to be kept. They are read twice: first to know what they are, then to send them where they are not yet.
#[async_trait]
pub trait Source: Send {
    /// Some more of the bytes; nothing at their end.
    async fn next(&mut self) -> std::io::Result<Option<Vec<u8>>>;

    /// Goes back to the first byte.
    async fn rewind(&mut self) -> std::io::Result<()>;
}

/// The bytes of an artifact, as they come.
#[async_trait]
pub trait Content: Send {
    /// Some more of the bytes, checked; nothing once all of them are proved to be what the digest says. Whoever stops
    /// before that has a beginning and no more.
    ///
    /// # Errors
    /// [`ArtifactError::Damaged`] instead of bytes that are not those that were kept.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ArtifactError>;
}

/// An artifact as it was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What its bytes are.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
    /// It was there before, and was not sent again.
    pub existing: bool,
}

/// An object that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What the artifact's bytes are.
    pub digest: Digest,
    /// How much room it takes.
    pub stored_bytes: u64,
    /// When it was put, by the clock of the place that keeps it.
    pub put_at: Timestamp,
}

/// What is kept, some at a time, in no order.
#[async_trait]
pub trait Listing: Send {
    /// Some more of it; nothing at the end.
    async fn next(&mut self) -> Result<Option<Vec<Found>>, ArtifactError>;
}

/// A place that keeps artifacts: each once, however many jobs have it.
#[async_trait]
pub trait Artifacts: fmt::Debug + Send + Sync + 'static {
    /// Finds out whether artifacts can be written and listed.
    async fn check(&self) -> Result<(), ArtifactError>;

    /// Makes the place that of a store, if it is nobody's yet: whoever collects what no job has must know all jobs.
    ///
    /// # Errors
    /// [`ArtifactError::Taken`] if it is another store's.
    async fn claim(&self, store: &str) -> Result<(), ArtifactError>;

    /// Keeps some bytes; durable once this returns. What is there already is not sent again. Can be interrupted at any
    /// point: an artifact is there as a whole or not at all.
    ///
    /// # Errors
    /// [`ArtifactError::Source`] if the bytes cannot be read, or were others the second time.
    async fn put(&self, source: &mut dyn Source) -> Result<Stored, ArtifactError>;

    /// The bytes of an artifact.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`].
    async fn get(&self, digest: Digest) -> Result<Box<dyn Content>, ArtifactError>;

    /// Forgets an artifact. One that is not there is forgotten already.
    async fn delete(&self, digest: Digest) -> Result<(), ArtifactError>;

    /// Everything that is kept.
    async fn list(&self) -> Result<Box<dyn Listing>, ArtifactError>;

    /// Removes what uploads left behind that were cut off before an instant; returns how many. Places that do so by a
    /// rule of their own are asked for nothing.
    async fn sweep(&self, before: Timestamp) -> Result<u64, ArtifactError>;

    /// Keeps bytes that are no artifact, under a name that nothing else there has; durable once this returns. Nobody here
    /// reads, lists or deletes them: they are for people.
    async fn archive(&self, name: &str, bytes: Vec<u8>) -> Result<(), ArtifactError>;

    /// Where it is, without secrets.
    fn location(&self) -> &str;
}

/// The cause of a failure, whatever the driver calls it.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// Why artifacts could not be had or kept. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there.
    #[error("the artifact {0} is not there")]
    Missing(Digest),
    /// What is there is not what was put.
    #[error("the artifact {digest} is damaged: {problem}")]
    Damaged {
        /// Which one.
        digest: Digest,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The bytes to be kept could not be read.
    #[error("what was to be kept could not be read")]
    Source(#[source] std::io::Error),
    /// The settings make no sense.
    #[error("artifacts cannot be kept at `{location}`: {problem}")]
    Misconfigured {
        /// Where they should be kept.
        location: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Another store keeps its artifacts there.
    #[error("another store keeps its artifacts at {location}")]
    Taken {
        /// Where artifacts should be kept.
        location: String,
        /// The object that says whose the place is.
        mark: String,
    },
    /// No such bucket, container or folder.
    #[error("{location} does not exist")]
    NoPlace {
        /// Where artifacts should be kept.
        location: String,
        /// What was said.
        #[source]
        source: BoxedError,
    },
    /// It is not allowed.
    #[error("access to {location} is denied")]
    Denied {
        /// Where artifacts are kept.
        location: String,
        /// What was said.
        #[source]
        source: BoxedError,
    },
    /// It does not answer, or does not serve us now; trying again was in vain.
    #[error("{location} cannot be reached")]
    Unavailable {
        /// Where artifacts are kept.
        location: String,
        /// What was said.
        #[source]
        source: BoxedError,
    },
    /// Anything else.
    #[error("{location} failed to {operation}")]
    Failed {
        /// Where artifacts are kept.
        location: String,
        /// What it was doing.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: BoxedError,
    },
}

impl From<ArtifactError> for Fault {
    fn from(error: ArtifactError) -> Self {
        let message = error.to_string();
        let why = causes(&error);
        let unavailable = |next: &str| {
            let fault = Self::new(FaultCode::ArtifactsUnavailable, &message).next(next);
            if why.is_empty() { fault } else { fault.why(&why) }
        };
        match error {
            ArtifactError::Missing(_) => Self::new(FaultCode::ArtifactDamaged, message)
                .why("it is on record, and whoever keeps artifacts does not have it")
                .next("look whether somebody deleted objects there, or whether `[artifacts] url` was changed"),
            ArtifactError::Damaged { .. } => Self::new(FaultCode::ArtifactDamaged, message)
                .why("its bytes are not those that were kept; none of them was handed out")
                .next("restore the object from a backup, or run the job again"),
            ArtifactError::Source(source) => Self::new(FaultCode::FileFailed, message).why(source.to_string()),
            ArtifactError::Misconfigured { .. } => {
                Self::new(FaultCode::ConfigInvalid, message).next("correct the section `[artifacts]`")
            }
            ArtifactError::Taken { mark, .. } => Self::new(FaultCode::ConfigInvalid, message)
                .why("each of the two would delete what the other keeps")
                .next(format!(
                    "give this store a prefix of its own in `[artifacts] url`; if the other one is gone for good, delete the \
                     object `{mark}` there"
                )),
            ArtifactError::NoPlace { .. } => {
                unavailable("make the bucket, container or folder, or correct `[artifacts] url`")
            }
            ArtifactError::Denied { .. } => {
                unavailable("give the daemon credentials that may read, write, list and delete there")
            }
            ArtifactError::Unavailable { .. } => {
                unavailable("check that it runs and can be reached from here, and try again")
            }
            ArtifactError::Failed { .. } => unavailable("try again; the daemon's log says more"),
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut texts: Vec<String> = vec![];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors print their causes themselves.
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_as_it_is_written() {
        let digest = Digest::new(std::array::from_fn(|at| at as u8 * 7));
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let long = format!("{digest}0");
        for wrong in ["", "0", &digest.to_string()[1..], &long, &format!("g{}", &long[2..])] {
            assert_eq!(wrong.parse::<Digest>(), Err(InvalidDigest), "{wrong}");
        }
    }
}
