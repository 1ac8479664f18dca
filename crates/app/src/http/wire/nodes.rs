//! The nodes that share a store.

use longshore_engine::ops::NodeView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Every node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NodesBody {
    /// By name.
    pub(crate) nodes: Vec<NodeBody>,
}

/// One node.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct NodeBody {
    /// Its id, the same across restarts.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: String,
    /// It is the one that answers.
    pub(crate) own: bool,
    /// It was heard of lately.
    pub(crate) alive: bool,
    /// It takes no more jobs.
    pub(crate) draining: bool,
    /// Attempts whose leases it holds.
    pub(crate) running: u64,
    /// Most attempts that it runs at once.
    pub(crate) capacity: u32,
    /// What it has.
    pub(crate) labels: Vec<String>,
    /// Where other nodes reach it.
    pub(crate) address: Option<String>,
    /// Its version.
    pub(crate) version: String,
    /// When it joined.
    #[schema(format = DateTime)]
    pub(crate) started_at: String,
    /// When it was last heard of.
    #[schema(format = DateTime)]
    pub(crate) seen_at: String,
}

impl From<NodeView> for NodeBody {
    fn from(view: NodeView) -> Self {
        let (record, node) = (&view.record, &view.record.node);
        Self {
            id: node.id.to_string(),
            name: node.name.clone(),
            own: view.own,
            alive: record.alive,
            draining: record.draining,
            running: view.running,
            capacity: node.capacity,
            labels: node.labels.iter().map(str::to_owned).collect(),
            address: node.address.clone(),
            version: node.version.clone(),
            started_at: record.started_at.to_string(),
            seen_at: record.seen_at.to_string(),
        }
    }
}

/// Whether a node is to take jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DrainBody {
    /// Take no more jobs; what runs goes on.
    pub(crate) draining: bool,
}
