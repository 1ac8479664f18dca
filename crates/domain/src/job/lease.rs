//! The right to write for one attempt.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptNumber, NodeId, Nonce};
use crate::time::Timestamp;

/// The right to write for one attempt of a job: who holds it, until when, under which number.
///
/// The token is the attempt's number. It only grows, so a holder that lost its lease is told apart for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who may write.
    pub holder: NodeId,
    /// Fencing number: a report with another number is refused.
    pub token: AttemptNumber,
    /// From this instant on others may give its holder up: the attempt counts as lost.
    pub until: Timestamp,
    /// Secret that proves processes and exit records to belong to this attempt.
    pub nonce: Nonce,
    /// The boot of the holder's machine at the claim: after another boot no process of the attempt can live.
    pub boot: String,
}

/// A process, told apart from later ones with the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process number.
    pub pid: u32,
    /// Start time in the kernel's own unit (clock ticks since boot on Linux).
    pub started_ticks: u64,
}

/// An attempt that has begun to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub started_at: Timestamp,
    /// The command's own process.
    pub process: Option<ProcessIdentity>,
    /// When its hard deadline falls due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Timestamp>,
}
