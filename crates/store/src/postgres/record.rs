//! Writing down what happens to many jobs at once: renewals, times that came, ends that others waited for.

use std::collections::BTreeSet;

use longshore_domain::id::{JobNumber, NodeId};
use longshore_domain::job::Event;
use longshore_domain::store::{Change, Queue};
use longshore_domain::time::Timestamp;

use super::batch::LOCK_CLAIMS;
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::{NOTIFY, land, land_changes};
use super::node::Node;
use super::rows;
use super::session::Step;
use super::turn::{Turn, select_jobs};

/// Extends the live leases of `holder`; returns how many.
pub(super) async fn renew(
    node: &Node,
    turn: &Turn<'_>,
    holder: NodeId,
    until: Timestamp,
    now: Timestamp,
) -> Attempted<u64> {
    let held = turn.lock_jobs("s.phase = 'live' AND s.holder = $1", &[&holder.to_string()]).await?;
    let mut desk = Desk::of(held);
    let mut renewed = 0;
    for number in desk.all() {
        let token = desk.job(number)?.attempt;
        renewed += u64::from(desk.change(number, Event::Renewed { token, until }, now)?.is_ok());
    }
    land(node, turn, &desk).await?;
    Ok(renewed)
}

/// Jobs whose time has come by `$1`, at most `$2` of them. One that somebody changes just now is passed over.
pub(crate) fn due_sql() -> String {
    format!("{} WHERE s.due_at <= $1 ORDER BY s.due_at, s.job LIMIT $2 FOR UPDATE OF s SKIP LOCKED", select_jobs())
}

/// Queues up to `limit` jobs whose time has come.
pub(super) async fn promote_due(node: &Node, turn: &Turn<'_>, now: Timestamp, limit: i64) -> Attempted<Vec<Change>> {
    let due = rows::jobs(&turn.session.query(&due_sql(), &[&now.as_millis(), &limit]).await?)?;
    let numbers: Vec<_> = due.iter().map(|job| job.number).collect();
    let mut desk = Desk::of(due);
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
    let mut desk = Desk::of(turn.lock_numbers(involved).await?);
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
