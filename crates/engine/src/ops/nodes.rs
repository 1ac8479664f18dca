//! The nodes that share the store.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::node::NodeRecord;
use longshore_domain::{AttemptNumber, Job, NodeId};
use tokio::time::Instant;

use crate::{Engine, membership};

/// A node with what it does at present.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// As it is on record.
    pub record: NodeRecord,
    /// Attempts whose leases it holds.
    pub running: u64,
    /// It is the one that answers.
    pub own: bool,
}

impl Engine {
    /// Every node, by name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn nodes(&self) -> Result<Vec<NodeView>, Fault> {
        let mut running = BTreeMap::<NodeId, u64>::new();
        for job in self.inner.store.live_jobs().await? {
            job.state.lease().into_iter().for_each(|lease| *running.entry(lease.holder).or_default() += 1);
        }
        let records = self.inner.store.nodes(self.inner.clock.now()).await?;
        let view = |record: NodeRecord| NodeView {
            running: running.get(&record.node.id).copied().unwrap_or(0),
            own: record.node.id == self.inner.settings.node.id,
            record,
        };
        Ok(records.into_iter().map(view).collect())
    }

    /// Name of the node that runs the newest attempt of a job, or ran it; nothing if there was none, or the node was
    /// forgotten.
    ///
    /// # Errors
    /// The store's own.
    pub async fn node_of(&self, job: &Job) -> Result<Option<String>, Fault> {
        let holder = match job.state.lease() {
            Some(lease) => Some(lease.holder),
            None if job.attempt == AttemptNumber::default() => None,
            None => self.claimant(job.id, job.attempt).await?,
        };
        let records = self.inner.store.nodes(self.inner.clock.now()).await?;
        let found = records.into_iter().find(|record| Some(record.node.id) == holder);
        Ok(found.map(|record| record.node.name))
    }

    /// Has the node that `name` names (its id or name; none: this one) take no more jobs, or take them again. What it
    /// runs goes on.
    ///
    /// # Errors
    /// `not_found`; `invalid_argument` if several nodes have that name.
    pub async fn set_draining(&self, name: Option<&str>, draining: bool) -> Result<NodeView, Fault> {
        let id = self.node(name).await?.record.node.id;
        self.inner.store.set_draining(id, draining).await?;
        let node = self.node(Some(&id.to_string())).await?;
        if node.own {
            membership::note(&self.inner, &node.record);
        }
        Ok(node)
    }

    /// Waits until a node runs nothing, for at most `patience` and not once the engine drains; returns it as it stands.
    /// Cancel safe.
    ///
    /// # Errors
    /// As [`Engine::set_draining`].
    pub async fn wait_idle(&self, name: Option<&str>, patience: Duration) -> Result<NodeView, Fault> {
        let deadline = Instant::now() + patience;
        let mut commits = self.inner.hub.commits();
        loop {
            commits.mark_unchanged();
            let node = self.node(name).await?;
            if node.running == 0 || !self.inner.came(commits.changed(), deadline).await {
                return Ok(node);
            }
        }
    }

    async fn node(&self, name: Option<&str>) -> Result<NodeView, Fault> {
        let is_meant = |node: &NodeView| match name {
            None => node.own,
            Some(name) => node.record.node.name == name || node.record.node.id.to_string() == name,
        };
        let mut found: Vec<_> = self.nodes().await?.into_iter().filter(is_meant).collect();
        match (found.pop(), found.is_empty()) {
            (Some(node), true) => Ok(node),
            (None, _) => Err(Fault::new(
                FaultCode::NotFound,
                format!("there is no node `{}`", name.unwrap_or_default().escape_debug()),
            )
            .next("`longshore nodes` shows which there are")),
            (Some(_), false) => Err(Fault::invalid("node", "several nodes have this name").next("give its id instead")),
        }
    }
}
