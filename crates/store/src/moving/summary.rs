//! What moves, counted and digested, so that both ends can be compared.

use std::fmt;

use longshore_domain::artifact::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Item;

/// How many things of a kind there are, and what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The SHA-256 of the SHA-256 before the last one and of the last one's line; of nothing it is all zeros.
    pub digest: Digest,
}

impl Default for Tally {
    fn default() -> Self {
        Self { count: 0, digest: Digest::new([0; Digest::BYTES]) }
    }
}

impl Tally {
    fn add(&mut self, line: &[u8]) {
        let hash = Sha256::new().chain_update(self.digest.as_bytes()).chain_update(line);
        self.digest = Digest::new(hash.finalize().into());
        self.count += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.count, &self.digest.to_string()[..16])
    }
}

/// Everything that a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The highest numbers given.
    pub marks: Tally,
    /// Queues.
    pub queues: Tally,
    /// Jobs with all that belongs to them.
    pub jobs: Tally,
    /// Chats that were told something.
    pub chats: Tally,
    /// Likenesses of which durations are known.
    pub samples: Tally,
    /// Schedules.
    #[serde(default)]
    pub schedules: Tally,
    /// Lines of history.
    pub events: u64,
    /// Questions.
    pub questions: u64,
    /// Idempotency keys.
    pub keys: u64,
    /// Artifacts that jobs have.
    pub artifacts: u64,
}

impl Summary {
    /// Counts one more thing.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn add(&mut self, item: &Item) -> serde_json::Result<()> {
        let tally = match item {
            Item::Marks(_) => &mut self.marks,
            Item::Queue(_) => &mut self.queues,
            Item::Chat(_) => &mut self.chats,
            Item::Samples(_) => &mut self.samples,
            Item::Schedule(_) => &mut self.schedules,
            Item::Job(job) => {
                self.events += job.events.len() as u64;
                self.questions += job.questions.len() as u64;
                self.keys += u64::from(job.key.is_some());
                self.artifacts += job.artifacts.len() as u64;
                &mut self.jobs
            }
        };
        tally.add(&serde_json::to_vec(item)?);
        Ok(())
    }
}
