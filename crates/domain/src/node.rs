//! Nodes: the processes that share a store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::label::Labels;
use crate::time::Timestamp;

/// A node that was not heard of for so long is forgotten.
pub const NODE_FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a process says of itself when it begins to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    /// The same across restarts.
    pub id: NodeId,
    /// Name for people.
    pub name: String,
    /// Where its peers reach it, if they do.
    pub address: Option<String>,
    /// What it has.
    pub labels: Labels,
    /// Most attempts that it runs at once.
    pub capacity: u32,
    /// Its Longshore.
    pub version: String,
    /// The boot of its machine.
    pub boot: String,
    /// Tells apart the processes that could be this node at the same time. One whose predecessor is proved to be gone
    /// goes by the same as that one, and need not wait until its time is over.
    pub incarnation: String,
}

/// A node as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What it says of itself.
    #[serde(flatten)]
    pub node: NewNode,
    /// When it joined, by the store's clock.
    pub started_at: Timestamp,
    /// When it was last heard of, by the store's clock.
    pub seen_at: Timestamp,
    /// It is to take no more jobs.
    pub draining: bool,
    /// It said that it would be heard of again by a time that has not passed yet.
    pub alive: bool,
}
