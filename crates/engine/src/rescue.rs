//! Attempts of other nodes whose leases have run out: asks their nodes, and gives up what nobody answers for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::{Event, StateName};
use longshore_domain::store::StoreError;
use longshore_domain::{Fault, FaultCode, Job, NodeId};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::inner::Inner;
use crate::peers::{Account, Peers};

/// Jobs looked at at once.
const BATCH_MAX: usize = 256;
/// A node that does not answer within this is given up: its jobs have waited for a whole lease.
const ANSWER_MAX: Duration = Duration::from_millis(500);
/// A store that takes longer than this was away, for the holders of leases too: they get time to renew.
const STORE_MAX: Duration = Duration::from_secs(1);
/// Shortest sleep: what could not be seen to is looked at again after it.
const SLEEP_MIN: Duration = Duration::from_millis(100);

/// Sleeps until a lease runs out, and sees to it; until the engine closes. For its first lease a node only looks on.
pub(crate) async fn run(inner: Arc<Inner>, peers: Arc<dyn Peers>) {
    // Nodes that all begin, as when the database was put back, find one another's leases run out.
    let mut sleep = Some(inner.settings.lease);
    loop {
        let slept = async {
            match sleep {
                Some(length) => tokio::time::sleep(length).await,
                // There is no lease, so somebody must claim first.
                None => inner.claimed.notified().await,
            }
        };
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = slept => {}
        }
        sleep = match rescue(&inner, &peers).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::warn!(%error, "leases of other nodes cannot be looked at");
                Some(inner.settings.lease / 2)
            }
        };
    }
}

/// Sees to the leases that have run out; how long until the next one does.
async fn rescue(inner: &Arc<Inner>, peers: &Arc<dyn Peers>) -> Result<Option<Duration>, StoreError> {
    let asked_at = Instant::now();
    let expired = inner.store.expired(inner.clock.now(), BATCH_MAX).await?;
    if asked_at.elapsed() > STORE_MAX {
        return Ok(Some(inner.settings.lease / 2));
    }
    let mut by_node = BTreeMap::<NodeId, Vec<Job>>::new();
    for job in expired {
        if let Some(lease) = job.state.lease() {
            by_node.entry(lease.holder).or_default().push(job);
        }
    }
    // Its own are renewed, or their ends are on their way.
    by_node.remove(&inner.settings.node.id);
    let mut nodes = JoinSet::new();
    for (node, jobs) in by_node {
        nodes.spawn(see_to(Arc::clone(inner), Arc::clone(peers), node, jobs));
    }
    nodes.join_all().await;
    let next = inner.store.next_expiry(inner.clock.now()).await?;
    // One millisecond more: the timer may fire within the millisecond before.
    Ok(next.map(|length| length.max(SLEEP_MIN) + Duration::from_millis(1)))
}

/// Sees to attempts of one node. Once it does not answer it is not asked again.
async fn see_to(inner: Arc<Inner>, peers: Arc<dyn Peers>, node: NodeId, jobs: Vec<Job>) {
    let mut silence = None;
    for job in jobs {
        let account = match &silence {
            Some(fault) => Err(Fault::clone(fault)),
            None => ask(peers.as_ref(), node, &job).await,
        };
        let event = verdict(&inner, &job, &account);
        silence = account.err();
        let kind = event.kind().as_str();
        match inner.record(job.id, event).await {
            Ok(_) => tracing::warn!(job.id = %job.id, attempt = job.attempt.0, %node, kind, "a lease had run out"),
            // Its node or another rescuer was first.
            Err(StoreError::Refused(refusal)) => tracing::debug!(job.id = %job.id, %refusal, "no rescue is needed"),
            Err(error) => tracing::warn!(job.id = %job.id, %error, "an attempt could not be rescued yet"),
        }
    }
}

async fn ask(peers: &dyn Peers, node: NodeId, job: &Job) -> Result<Account, Fault> {
    let asking = peers.account(node, job.id, job.attempt);
    tokio::time::timeout(ANSWER_MAX, asking).await.unwrap_or_else(|_| {
        let message = format!("the node {node} does not answer");
        Err(Fault::new(FaultCode::NodeUnreachable, message).why(format!("not within {} ms", ANSWER_MAX.as_millis())))
    })
}

fn verdict(inner: &Inner, job: &Job, account: &Result<Account, Fault>) -> Event {
    let token = job.attempt;
    match account {
        // It may be cut off from the store alone, so the lease is renewed for it.
        Ok(Account::Lives) => Event::Renewed { token, lease: inner.settings.lease },
        Ok(Account::Over) if job.state.name() == StateName::Claimed => {
            Event::GivenBack { token, reason: "its node says that it never began".into() }
        }
        Ok(Account::Over) => {
            let message = "its node says that it does not run any more, and nobody stored how it ended";
            Event::Expired { token, message: message.into(), report: None }
        }
        Err(fault) => {
            let why = fault.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            let message = format!("its lease ran out and nobody saw how it ended: {}{why}", fault.message);
            Event::Expired { token, message, report: None }
        }
    }
}
