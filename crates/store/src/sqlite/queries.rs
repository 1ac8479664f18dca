//! Reads of single rows and of the whole.

use longshore_domain::access::Principal;
use longshore_domain::id::{EventSeq, JobId, JobNumber};
use longshore_domain::job::{EventRecord, Job, JobSpec, StateName};
use longshore_domain::position::Position;
use longshore_domain::store::{Counts, IdempotencyKey, OldJobs, Queue};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::desk::read_by_number;
use super::record::{UNTIL, expired_sql, live_sql};
use super::rows::{self, EVENT_COLUMNS, JOB_COLUMNS};
use crate::columns::{self, KEY_CLASSES};

pub(crate) const UNFINISHED_SQL: &str = "SELECT phase, count(*) FROM job WHERE phase IS NOT NULL AND phase <> 'live' GROUP BY phase \
     UNION ALL SELECT state, count(*) FROM job WHERE phase = 'live' GROUP BY state";
pub(crate) const NEXT_DUE_SQL: &str = "SELECT min(due_at) FROM job WHERE due_at IS NOT NULL";
// Two ranges of the index, so that no row is looked at that does not count.
pub(crate) const POSITION_SQL: &str = "SELECT \
     (SELECT count(*) FROM (SELECT 1 FROM job AS above WHERE above.phase = job.phase AND above.queue = job.queue \
     AND above.priority > job.priority LIMIT ?2)) \
     + (SELECT count(*) FROM (SELECT 1 FROM job AS other WHERE other.phase = job.phase AND other.queue = job.queue \
     AND other.priority = job.priority AND other.number < job.number LIMIT ?2)) \
     FROM job WHERE id = ?1 AND state = 'queued'";

/// The query for events after `?1`, at most `?2` of them; of job `?3` only if `of_one`.
pub(crate) fn events_sql(of_one: bool) -> String {
    if !of_one {
        let from = "FROM event AS e CROSS JOIN job AS j ON j.number = e.job WHERE e.seq > ?1";
        return format!("SELECT {EVENT_COLUMNS} {from} ORDER BY e.seq LIMIT ?2");
    }
    // Back along the job's chain as far as is wanted.
    format!(
        "WITH RECURSIVE chain (seq) AS (SELECT last_event FROM job WHERE id = ?3 AND last_event > ?1 \
         UNION ALL SELECT e.before FROM chain CROSS JOIN event AS e ON e.seq = chain.seq WHERE e.before > ?1) \
         SELECT {EVENT_COLUMNS} FROM chain CROSS JOIN event AS e ON e.seq = chain.seq \
         CROSS JOIN job AS j ON j.number = e.job ORDER BY chain.seq LIMIT ?2"
    )
}

/// The query for at most `?2` jobs that ended before `?1`, come after `?3` and `?4` and are not pinned, the first to end
/// first, with their output there or gone.
pub(crate) fn ended_sql(expired: bool) -> String {
    let expired = i32::from(expired);
    format!(
        "SELECT {JOB_COLUMNS} FROM job WHERE finished_at IS NOT NULL AND pinned = 0 AND output_expired = {expired} \
         AND finished_at < ?1 AND (finished_at, number) > (?3, ?4) ORDER BY finished_at, number LIMIT ?2"
    )
}

/// The job that a key names, and whether it was submitted with the same body.
pub(super) fn keyed(
    connection: &Connection,
    principal: &Principal,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<(Job, bool)>> {
    let Some((number, same)) = key_names(connection, principal, key)? else { return Ok(None) };
    Ok(read_by_number(connection, number)?.map(|job| (job, same)))
}

/// The number of the job that a key names, and whether it was submitted with the same body.
pub(super) fn key_names(
    connection: &Connection,
    principal: &Principal,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<(JobNumber, bool)>> {
    let mut statement = connection.prepare_cached(&key_sql())?;
    let named = |row: &Row<'_>| Ok((rows::number(row, 0)?, row.get_ref(1)?.as_blob()? == key.digest));
    statement.query_row(params![principal.name, key.key], named).optional()
}

/// Of two of different classes the newer one counts.
pub(crate) fn key_sql() -> String {
    format!(
        "SELECT job, digest FROM key WHERE principal_class IN {KEY_CLASSES} AND principal_name = ?1 AND key = ?2 \
         ORDER BY job DESC LIMIT 1"
    )
}

pub(super) fn spec(connection: &Connection, id: JobId) -> rusqlite::Result<Option<JobSpec>> {
    let sql = "SELECT spec FROM spec WHERE job = (SELECT number FROM job WHERE id = ?1)";
    connection.prepare_cached(sql)?.query_row([id.to_string()], |row| rows::json(row, 0)).optional()
}

pub(super) fn live_jobs(connection: &Connection) -> rusqlite::Result<Vec<Job>> {
    connection.prepare_cached(&live_sql())?.query_map([], rows::job)?.collect()
}

pub(super) fn expired(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<Job>> {
    let mut statement = connection.prepare_cached(&expired_sql())?;
    statement.query_map(params![now.as_millis(), limit as i64], rows::job)?.collect()
}

pub(super) fn next_expiry(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = format!("SELECT min({UNTIL}) FROM job WHERE phase = 'live'");
    let at: Option<i64> = connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}

pub(super) fn position(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Position>> {
    let position = |row: &Row<'_>| Ok(Position::behind(row.get::<_, i64>(0)? as u64));
    let most = Position::COUNTED as i64;
    connection.prepare_cached(POSITION_SQL)?.query_row(params![id.to_string(), most], position).optional()
}

pub(super) fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let at: Option<i64> = connection.prepare_cached(NEXT_DUE_SQL)?.query_row([], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}

pub(super) fn events(
    connection: &Connection,
    after: EventSeq,
    job: Option<JobId>,
    limit: usize,
) -> rusqlite::Result<Vec<EventRecord>> {
    let mut statement = connection.prepare_cached(&events_sql(job.is_some()))?;
    let (after, limit) = (after.0 as i64, limit as i64);
    match job {
        Some(id) => statement.query_map(params![after, limit, id.to_string()], rows::event)?.collect(),
        None => statement.query_map(params![after, limit], rows::event)?.collect(),
    }
}

pub(super) fn last_event(connection: &Connection) -> rusqlite::Result<EventSeq> {
    let sql = "SELECT max(event_seq, ifnull((SELECT max(seq) FROM event), 0)) FROM meta";
    connection.prepare_cached(sql)?.query_row([], |row| Ok(EventSeq(row.get::<_, i64>(0)? as u64)))
}

pub(super) fn samples(connection: &Connection, likeness: u64) -> rusqlite::Result<Vec<std::time::Duration>> {
    let mut statement = connection.prepare_cached("SELECT samples FROM duration WHERE likeness = ?1")?;
    let found =
        statement.query_row([likeness as i64], |row| Ok(columns::samples(row.get_ref(0)?.as_blob()?))).optional();
    Ok(found?.unwrap_or_default())
}

/// Counts in one snapshot.
pub(super) fn counts(connection: &mut Connection) -> rusqlite::Result<Counts> {
    let snapshot = connection.transaction()?;
    let mut unfinished = std::collections::BTreeMap::new();
    let mut statement = snapshot.prepare_cached(UNFINISHED_SQL)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        // Each line of ready jobs has a phase of its own, which begins like the state.
        let state = rows::named(row, 0, |phase| StateName::parse(phase.split(' ').next().unwrap_or_default()))?;
        *unfinished.entry(state).or_default() += row.get::<_, i64>(1)? as u64;
    }
    drop(found);
    let all: i64 = snapshot.prepare_cached("SELECT count(*) FROM job")?.query_row([], |row| row.get(0))?;
    let finished = all as u64 - unfinished.values().sum::<u64>();
    Ok(Counts { unfinished, finished })
}

pub(super) fn queues(connection: &Connection) -> rusqlite::Result<Vec<Queue>> {
    let queue = |row: &Row<'_>| Ok(Queue { name: rows::queue_name(row, 0)?, concurrency: row.get(1)? });
    connection.prepare_cached("SELECT name, concurrency FROM queue ORDER BY name")?.query_map([], queue)?.collect()
}

/// The index keeps jobs with and without output apart, each by age: the two are merged here.
pub(super) fn old_jobs(
    connection: &mut Connection,
    query: OldJobs,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<Job>> {
    let snapshot = connection.transaction()?;
    let before = now.minus(query.age);
    let mut jobs = ended(&snapshot, false, before, query.after, limit)?;
    if !query.with_output {
        jobs.extend(ended(&snapshot, true, before, query.after, limit)?);
        jobs.sort_by_key(|job| (job.finished_at(), job.number));
        jobs.truncate(limit);
    }
    Ok(jobs)
}

fn ended(
    connection: &Connection,
    expired: bool,
    before: Timestamp,
    after: Option<(Timestamp, JobNumber)>,
    limit: usize,
) -> rusqlite::Result<Vec<Job>> {
    let (at, number) = after.map_or((i64::MIN, 0), |(at, number)| (at.as_millis(), number.0 as i64));
    let mut statement = connection.prepare_cached(&ended_sql(expired))?;
    statement.query_map(params![before.as_millis(), limit as i64, at, number], rows::job)?.collect()
}
