//! Handing on what a client said to this node and another one waits for.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::NodeId;
use longshore_domain::fault::Fault;
use tokio::task::JoinSet;

use crate::Engine;
use crate::peers::Said;

/// Longest wait for the others.
const HAND_ON_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// Hands what a client said to the node `to`; without one to every other node that is there. One that does not answer
    /// soon does without it.
    ///
    /// # Errors
    /// The store's own.
    pub async fn hand_on(&self, to: Option<NodeId>, said: Said) -> Result<(), Fault> {
        let Some(peers) = &self.inner.peers else { return Ok(()) };
        let nodes = match to {
            Some(node) => vec![node],
            None => self.others_alive().await?,
        };
        let said = Arc::new(said);
        let mut handing = JoinSet::new();
        for node in nodes.into_iter().filter(|node| *node != self.inner.settings.node.id) {
            let (peers, said) = (Arc::clone(peers), Arc::clone(&said));
            handing.spawn(async move {
                match tokio::time::timeout(HAND_ON_MAX, peers.hand_on(node, &said)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(fault)) => tracing::debug!(node.id = %node, why = fault.why, "what a client said was lost"),
                    Err(_) => tracing::debug!(node.id = %node, "what a client said was not taken in time"),
                }
            });
        }
        handing.join_all().await;
        Ok(())
    }

    async fn others_alive(&self) -> Result<Vec<NodeId>, Fault> {
        let records = self.inner.store.nodes(self.inner.clock.now()).await?;
        Ok(records.into_iter().filter(|record| record.alive).map(|record| record.node.id).collect())
    }
}
