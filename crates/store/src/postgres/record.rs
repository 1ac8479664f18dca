//! Writing down what happens to many jobs at once: renewals, times that came, ends that others waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_domain::id::{JobNumber, NodeId};
use longshore_domain::job::Event;
use longshore_domain::store::{Change, HeldAttempt, Queue};
use longshore_domain::time::Timestamp;

use super::batch::LOCK_CLAIMS;
use super::clock::present_or;
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::{NOTIFY, land, land_changes};
use super::node::Node;
use super::rows;
use super::session::Step;
use super::turn::{Turn, select_jobs};

/// Extends the leases that `holder` still holds.
pub(super) async fn renew(
    node: &Node,
    turn: &Turn<'_>,
    holder: NodeId,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Vec<HeldAttempt>> {
    let locked = turn.lock_jobs("s.phase = 'live' AND s.holder = $1", vec![&holder.to_string()]).await?;
    let now = locked.now(node, now);
    let mut desk = Desk::of(locked.jobs);
    let mut held = vec![];
    for number in desk.all() {
        let token = desk.job(number)?.attempt;
        let change = desk.change(number, Event::Renewed { token, lease }, now)?;
        held.extend(change.ok().map(|change| HeldAttempt { job: change.job.id, attempt: token }));
    }
    land(node, turn, &desk).await?;
    Ok(held)
}

/// Jobs whose time has come, at most `$2` of them. One that somebody changes just now is passed over.
pub(crate) fn due_sql() -> String {
    let (jobs, now) = (select_jobs(), present_or("$1"));
    format!("{jobs} WHERE s.due_at <= {now} ORDER BY s.due_at, s.job LIMIT $2 FOR UPDATE OF s SKIP LOCKED")
}

/// Queues up to `limit` jobs whose time has come.
pub(super) async fn promote_due(node: &Node, turn: &Turn<'_>, now: Timestamp, limit: i64) -> Attempted<Vec<Change>> {
    let locked = turn.lock(&due_sql(), vec![&node.clock.said(now), &limit]).await?;
    let now = locked.now(node, now);
    let numbers: Vec<_> = locked.jobs.iter().map(|job| job.number).collect();
    let mut desk = Desk::of(locked.jobs);
    let mut changes = vec![];
    for number in numbers {
        changes.extend(desk.change(number, Event::Due, now)?.ok());
    }
    land_changes(node, turn, &desk, changes).await
}

const UNSETTLED: &str = "SELECT job FROM outbox ORDER BY job LIMIT $1 FOR UPDATE SKIP LOCKED";
const DEPENDENTS: &str = "SELECT o.job, d.dependent FROM unnest($1::bigint[]) AS o(job) CROSS JOIN LATERAL \
     (SELECT dependent FROM dependency WHERE job = o.job ORDER BY dependent LIMIT $2) AS d \
     ORDER BY o.job, d.dependent LIMIT $2";
const FORGET: &str = "DELETE FROM dependency AS d USING unnest($1::bigint[], $2::bigint[]) AS n(job, dependent) \
     WHERE d.job = n.job AND d.dependent = n.dependent";
const STRIKE: &str = "DELETE FROM outbox AS o WHERE o.job = ANY($1) \
     AND NOT EXISTS (SELECT 1 FROM dependency AS d WHERE d.job = o.job)";

/// What became of dependents that were told.
pub(super) struct Told {
    pub(super) changes: Vec<Change>,
    /// There was nobody to tell.
    pub(super) nobody: bool,
}

/// Tells up to `limit` dependents of finished jobs that nobody else tells just now.
pub(super) async fn settle(node: &Node, turn: &Turn<'_>, now: Timestamp, limit: i64) -> Attempted<Told> {
    let session = turn.session;
    let unsettled = session.query(UNSETTLED, &[&limit]).await?;
    let unsettled = unsettled.iter().map(|row| rows::get::<i64>(row, 0)).collect::<Attempted<Vec<_>>>()?;
    let pairs = session.query(DEPENDENTS, &[&unsettled, &limit]).await?;
    let pair = |row| Ok((rows::get::<i64>(row, 0)?, rows::get::<i64>(row, 1)?));
    let pairs = pairs.iter().map(pair).collect::<Attempted<Vec<_>>>()?;
    let (causes, dependents): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let involved: BTreeSet<_> = causes.iter().chain(&dependents).map(|number| JobNumber(*number as u64)).collect();
    let locked = turn.lock_numbers(involved).await?;
    let now = locked.now(node, now);
    let mut desk = Desk::of(locked.jobs);
    let mut changes = vec![];
    for (cause, dependent) in pairs {
        changes.extend(tell(&mut desk, JobNumber(cause as u64), JobNumber(dependent as u64), now)?);
    }
    session.run(&[Step::new(FORGET, vec![&causes, &dependents]), Step::new(STRIKE, vec![&unsettled])]).await?;
    let changes = land_changes(node, turn, &desk, changes).await?;
    Ok(Told { changes, nobody: unsettled.is_empty() })
}

/// One that was removed, or ended by itself, needs no telling.
fn tell(desk: &mut Desk<'_>, on: JobNumber, dependent: JobNumber, now: Timestamp) -> Attempted<Option<Change>> {
    if !desk.has(dependent) {
        return Ok(None);
    }
    let on = desk.job(on)?;
    let event = match on.outcome() {
        Some(outcome) if outcome.is_success() => Event::DependencySucceeded { on: on.id },
        _ => Event::DependencyFailed { on: on.id },
    };
    Ok(desk.change(dependent, event, now)?.ok())
}

/// Sets the limit of a queue. Whoever claims next goes by it.
pub(super) async fn set_queue(node: &Node, turn: &Turn<'_>, queue: &Queue) -> Attempted<()> {
    let sql = "INSERT INTO queue (name, concurrency) VALUES ($1, $2) \
               ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency";
    let (name, concurrency) = (queue.name.as_str(), i64::from(queue.concurrency));
    let steps = [
        Step::new(LOCK_CLAIMS, vec![]),
        Step::new(sql, vec![&name, &concurrency]),
        Step::new(NOTIFY, vec![&node.channel, &node.tag]),
    ];
    turn.session.run(&steps).await?;
    land(node, turn, &Desk::default()).await.map(drop)
}
