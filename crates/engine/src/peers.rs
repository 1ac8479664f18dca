//! What a node asks of the others: whatever the store does not hold, since only the node that runs an attempt has it.

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::fault::Fault;
use longshore_domain::node::NewNode;
use longshore_domain::{AttemptNumber, JobId, NodeId};

use crate::process::Progress;
use crate::process::output::{Label, Labelled};

/// The way to the other nodes that share the store.
#[async_trait]
pub trait Peers: Send + Sync + 'static {
    /// Reads output of an attempt that `node` runs or ran. Cancel safe.
    ///
    /// # Errors
    /// `node_unreachable` if it does not answer; its own otherwise.
    async fn read(&self, node: NodeId, reading: Reading) -> Result<Piece, Fault>;

    /// Asks `node` what an attempt that it runs or ran has printed so far. Cancel safe.
    ///
    /// # Errors
    /// `node_unreachable` if it does not answer; its own otherwise.
    async fn printed(&self, node: NodeId, job: JobId, attempt: AttemptNumber) -> Result<Printed, Fault>;

    /// Hands `node` what a client said that belongs to something under way there. Cancel safe.
    ///
    /// # Errors
    /// `node_unreachable` if it does not answer; its own otherwise.
    async fn hand_on(&self, node: NodeId, said: &Said) -> Result<(), Fault>;

    /// Asks `node` what became of an attempt whose lease has run out. Needs nothing but that node. Cancel safe.
    ///
    /// # Errors
    /// `node_unreachable` if it does not answer, so that nobody knows; its own otherwise.
    async fn account(&self, node: &NewNode, job: JobId, attempt: AttemptNumber) -> Result<Account, Fault>;
}

/// Which output of an attempt to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: AttemptNumber,
    /// Where to begin.
    pub from: ReadFrom,
    /// Most bytes.
    pub bytes_max: usize,
    /// How long to wait for something new if there is nothing and the attempt goes on.
    pub wait: Duration,
    /// Whether to tell when the bytes came, and from which stream.
    pub labels: bool,
}

/// Where in the output of an attempt to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At this byte.
    Offset(u64),
    /// So that the last lines are read.
    TailLines(usize),
}

/// Some output of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where the bytes begin: the asked position, or the end of the part after it that is not kept.
    pub offset: u64,
    /// The bytes exactly as they were printed.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next_offset: u64,
    /// Bytes between the asked position and `offset`.
    pub omitted: u64,
    /// Bytes that the attempt has printed so far.
    pub total: u64,
    /// The label in force at the first byte and those within the bytes, if they were asked for; none where nothing is
    /// known.
    pub labels: Vec<Label>,
}

impl Piece {
    /// Where its bytes lie.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }

    /// Adds labels, and leaves what they say nothing of to the next piece.
    pub(crate) fn labelled(mut self, found: Labelled) -> Self {
        let Labelled { labels, until } = found;
        if until < self.range().end {
            self.bytes.truncate(usize::try_from(until.saturating_sub(self.offset)).unwrap_or(0));
            self.next_offset = self.range().end;
        }
        Self { labels, ..self }
    }
}

/// What an attempt has printed so far, without the bytes themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Printed {
    /// How many bytes.
    pub bytes: u64,
    /// How long nothing; absent if it never printed anything.
    pub silent_for: Option<Duration>,
    /// How far it says it is.
    pub progress: Option<Progress>,
}

/// What a client said to one node about something that another one does for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The session in which it did, a secret of the client and all nodes. One line.
    pub session: String,
    /// Its words.
    pub message: Vec<u8>,
}

/// What a node says of an attempt of its own whose lease had run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// It is there, or its end is on its way to the store.
    Lives,
    /// It does not run, and never will.
    Over,
}
