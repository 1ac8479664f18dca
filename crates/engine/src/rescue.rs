//! Attempts of other nodes whose leases have run out: asks their nodes, and gives up what nobody answers for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::{Event, StateName};
use longshore_domain::node::NewNode;
use longshore_domain::store::StoreError;
use longshore_domain::{AttemptNumber, Fault, FaultCode, Job, JobId, NodeId};
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
/// Shortest sleep.
const SLEEP_MIN: Duration = Duration::from_millis(100);
/// What could not be seen to is looked at again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Attempts whose leases were seen to have run out, and since when.
type Seen = HashMap<(JobId, AttemptNumber), Instant>;

/// A job whose lease has run out, and since when that was seen.
struct Due {
    job: Job,
    since: Instant,
}

/// Sleeps until a lease runs out, and sees to it; until the engine closes. For its first lease a node only looks on.
pub(crate) async fn run(inner: Arc<Inner>, peers: Arc<dyn Peers>) {
    // Nodes that all begin, as when the database was put back, find one another's leases run out.
    let mut sleep = Some(inner.settings.lease);
    let mut seen = Seen::default();
    loop {
        let slept = async {
            match sleep {
                // Not longer than a lease that begins meanwhile, which may end before those that are known.
                Some(length) => tokio::time::sleep(length.min(inner.settings.lease)).await,
                // There is no lease, so somebody must claim first.
                None => inner.claimed.notified().await,
            }
        };
        tokio::select! {
            () = inner.closing.cancelled() => return,
            () = slept => {}
        }
        sleep = match rescue(&inner, &peers, &mut seen).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::warn!(%error, "leases of other nodes cannot be looked at");
                Some(inner.settings.lease / 2)
            }
        };
    }
}

/// Sees to the leases that have run out; how long until the next one does.
async fn rescue(inner: &Arc<Inner>, peers: &Arc<dyn Peers>, seen: &mut Seen) -> Result<Option<Duration>, StoreError> {
    let asked_at = Instant::now();
    let expired = inner.store.expired(inner.clock.now(), BATCH_MAX).await?;
    if asked_at.elapsed() > STORE_MAX {
        return Ok(Some(inner.settings.lease / 2));
    }
    let mut by_node = BTreeMap::<NodeId, Vec<Due>>::new();
    let before = std::mem::take(seen);
    for job in expired {
        if let Some(lease) = job.state.lease() {
            let attempt = (job.id, job.attempt);
            let since = before.get(&attempt).copied().unwrap_or(asked_at);
            seen.insert(attempt, since);
            by_node.entry(lease.holder).or_default().push(Due { job, since });
        }
    }
    // Its own are renewed, or their ends are on their way.
    by_node.remove(&inner.settings.node.id);
    let all_seen_to = by_node.is_empty() || see_to_all(inner, peers, by_node).await?;
    let next = inner.store.next_expiry(inner.clock.now()).await?;
    let shortest = if all_seen_to { SLEEP_MIN } else { AGAIN_AFTER };
    // One millisecond more: the timer may fire within the millisecond before.
    Ok(next.map(|length| length.max(shortest) + Duration::from_millis(1)))
}

/// Sees to attempts by their nodes; whether there is nothing left to do.
async fn see_to_all(
    inner: &Arc<Inner>,
    peers: &Arc<dyn Peers>,
    by_node: BTreeMap<NodeId, Vec<Due>>,
) -> Result<bool, StoreError> {
    // Read before anybody is asked: how long the store takes must not count as a node's silence.
    let records = inner.store.nodes(inner.clock.now()).await?;
    let mut records: BTreeMap<NodeId, NewNode> =
        records.into_iter().map(|record| (record.node.id, record.node)).collect();
    let mut nodes = JoinSet::new();
    for (node, due) in by_node {
        nodes.spawn(see_to(Arc::clone(inner), Arc::clone(peers), node, records.remove(&node), due));
    }
    Ok(nodes.join_all().await.into_iter().all(|seen_to| seen_to))
}

/// Sees to attempts of one node; whether there is nothing left to do. Once it does not answer it is not asked again.
async fn see_to(
    inner: Arc<Inner>,
    peers: Arc<dyn Peers>,
    node: NodeId,
    record: Option<NewNode>,
    due: Vec<Due>,
) -> bool {
    let mut silence = None;
    let mut all_seen_to = true;
    for Due { job, since } in due {
        let account = match (&silence, &record) {
            (Some(fault), _) => Err(Fault::clone(fault)),
            (None, Some(record)) => ask(peers.as_ref(), record, &job).await,
            (None, None) => Err(unreachable(node, "it is not there any more")),
        };
        if let Err(fault) = &account
            && fault.code != FaultCode::NodeUnreachable
            // Whoever answers and cannot say is waited for, for one more lease.
            && since.elapsed() <= inner.settings.lease
        {
            tracing::warn!(job.id = %job.id, %node, fault.code = %fault.code, "a lease ran out, and its node cannot say");
            all_seen_to = false;
            continue;
        }
        let event = verdict(&inner, &job, &account);
        silence = account.err();
        let kind = event.kind().as_str();
        match inner.record(job.id, event).await {
            Ok(_) => tracing::warn!(job.id = %job.id, attempt = job.attempt.0, %node, kind, "a lease had run out"),
            // Its node or another rescuer was first.
            Err(StoreError::Refused(refusal)) => tracing::debug!(job.id = %job.id, %refusal, "no rescue is needed"),
            Err(error) => {
                tracing::warn!(job.id = %job.id, %error, "an attempt could not be rescued yet");
                all_seen_to = false;
            }
        }
    }
    all_seen_to
}

async fn ask(peers: &dyn Peers, node: &NewNode, job: &Job) -> Result<Account, Fault> {
    let asking = peers.account(node, job.id, job.attempt);
    let silent = |_| Err(unreachable(node.id, &format!("not within {} ms", ANSWER_MAX.as_millis())));
    tokio::time::timeout(ANSWER_MAX, asking).await.unwrap_or_else(silent)
}

fn unreachable(node: NodeId, why: &str) -> Fault {
    Fault::new(FaultCode::NodeUnreachable, format!("the node {node} does not answer")).why(why)
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
