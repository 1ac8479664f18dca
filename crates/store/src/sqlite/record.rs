//! Writing down what happened: reports, renewals, times that came, ends that others waited for.

use std::time::Duration;

use longshore_domain::id::{JobId, JobNumber, NodeId};
use longshore_domain::job::{Event, Job};
use longshore_domain::store::{Change, HeldAttempt, Queue, StoreError};
use longshore_domain::time::Timestamp;
use rusqlite::{OptionalExtension, params};

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::rows::{self, JOB_COLUMNS};

pub(crate) const DUE_SQL: &str =
    "SELECT number FROM job WHERE due_at IS NOT NULL AND due_at <= ?1 ORDER BY due_at, number LIMIT ?2";

/// When the lease of a live job runs out.
pub(super) const UNTIL: &str = "json_extract(content, '$.lease.until')";

/// The jobs that somebody holds a lease on.
pub(crate) fn live_sql() -> String {
    format!("SELECT {JOB_COLUMNS} FROM job WHERE phase = 'live'")
}

/// The jobs whose leases have run out by `?1`, at most `?2`. Those that somebody holds a lease on are few, and sorted.
pub(crate) fn expired_sql() -> String {
    format!("SELECT {JOB_COLUMNS} FROM job WHERE phase = 'live' AND {UNTIL} <= ?1 ORDER BY {UNTIL}, number LIMIT ?2")
}

/// Lets an event happen to a job.
pub(super) fn record(
    desk: &mut Desk<'_>,
    id: JobId,
    event: Event,
    now: Timestamp,
) -> Attempted<Result<Change, StoreError>> {
    let Some(job) = desk.take_by_id(id)? else { return Ok(Err(StoreError::JobNotFound(id))) };
    Ok(desk.change(job, event, now)?.map_err(StoreError::Refused))
}

/// Extends the leases that `holder` still holds.
pub(super) fn renew(
    desk: &mut Desk<'_>,
    holder: NodeId,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Vec<HeldAttempt>> {
    let mut held = vec![];
    for job in read_live(desk)? {
        let Some(token) = job.state.lease().filter(|lease| lease.holder == holder).map(|lease| lease.token) else {
            continue;
        };
        let job = desk.take(job.number)?.ok_or(Trouble::Missing(job.number))?;
        let change = desk.change(job, Event::Renewed { token, lease }, now)?;
        held.extend(change.ok().map(|change| HeldAttempt { job: change.job.id, attempt: token }));
    }
    Ok(held)
}

fn read_live(desk: &Desk<'_>) -> Attempted<Vec<Job>> {
    let mut statement = desk.connection.prepare_cached(&live_sql())?;
    let found = statement.query_map([], rows::job)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Queues up to `limit` jobs whose time has come.
pub(super) fn promote_due(desk: &mut Desk<'_>, now: Timestamp, limit: usize) -> Attempted<Vec<Change>> {
    let mut statement = desk.connection.prepare_cached(DUE_SQL)?;
    let found = statement.query_map(params![now.as_millis(), limit as i64], |row| rows::number(row, 0))?;
    let due = found.collect::<rusqlite::Result<Vec<_>>>()?;
    drop(statement);
    let mut changes = Vec::with_capacity(due.len());
    for number in due {
        let job = desk.take(number)?.ok_or(Trouble::Missing(number))?;
        changes.extend(desk.change(job, Event::Due, now)?.ok());
    }
    Ok(changes)
}

/// Tells up to `limit` dependents of finished jobs.
pub(super) fn settle(desk: &mut Desk<'_>, now: Timestamp, limit: usize) -> Attempted<Vec<Change>> {
    let mut changes = vec![];
    while changes.len() < limit {
        let Some(on) = first_unsettled(desk)? else { break };
        let on = desk.take(on)?.ok_or(Trouble::Missing(on))?;
        let room = limit - changes.len();
        tell_dependents(desk, &on, room, now, &mut changes)?;
    }
    Ok(changes)
}

fn first_unsettled(desk: &Desk<'_>) -> Attempted<Option<JobNumber>> {
    let mut statement = desk.connection.prepare_cached("SELECT job FROM outbox ORDER BY job LIMIT 1")?;
    Ok(statement.query_row([], |row| rows::number(row, 0)).optional()?)
}

/// Tells up to `room` dependents of `on`; strikes it off the outbox once nobody is left.
fn tell_dependents(
    desk: &mut Desk<'_>,
    on: &Job,
    room: usize,
    now: Timestamp,
    told: &mut Vec<Change>,
) -> Attempted<()> {
    let dependents = read_dependents(desk, on.number, room)?;
    for dependent in &dependents {
        let forget = "DELETE FROM dependency WHERE job = ?1 AND dependent = ?2";
        desk.connection.prepare_cached(forget)?.execute([on.number.0 as i64, dependent.0 as i64])?;
        // One that was removed, or ended by itself, needs no telling.
        let Some(job) = desk.take(*dependent)? else { continue };
        let event = match on.outcome() {
            Some(outcome) if outcome.is_success() => Event::DependencySucceeded { on: on.id },
            _ => Event::DependencyFailed { on: on.id },
        };
        told.extend(desk.change(job, event, now)?.ok());
    }
    if dependents.len() < room {
        let strike = "DELETE FROM outbox WHERE job = ?1";
        desk.connection.prepare_cached(strike)?.execute([on.number.0 as i64])?;
    }
    Ok(())
}

fn read_dependents(desk: &Desk<'_>, on: JobNumber, limit: usize) -> Attempted<Vec<JobNumber>> {
    let sql = "SELECT dependent FROM dependency WHERE job = ?1 ORDER BY dependent LIMIT ?2";
    let mut statement = desk.connection.prepare_cached(sql)?;
    let found = statement.query_map(params![on.0 as i64, limit as i64], |row| rows::number(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Sets the limit of a queue.
pub(super) fn set_queue(desk: &mut Desk<'_>, queue: Queue) -> Attempted<()> {
    let sql = "INSERT INTO queue (name, concurrency) VALUES (?1, ?2) \
               ON CONFLICT (name) DO UPDATE SET concurrency = excluded.concurrency";
    desk.connection.prepare_cached(sql)?.execute(params![queue.name.as_str(), queue.concurrency])?;
    desk.lines.set(queue.name, queue.concurrency);
    Ok(())
}
