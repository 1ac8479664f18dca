//! Reads of single rows and of the whole.

use std::time::Duration;

use longshore_domain::access::Principal;
use longshore_domain::id::{EventSeq, JobId, JobNumber};
use longshore_domain::job::{EventRecord, Job, JobSpec, StateName};
use longshore_domain::position::Position;
use longshore_domain::store::{Counts, IdempotencyKey, OldJobs, Queue, StoreFacts};

use super::clock::present_or;
use super::errors::Attempted;
use super::landing::LAST_EVENT;
use super::migrations;
use super::rows::{self, EVENT_COLUMNS};
use super::session::{Connector, Session};
use super::turn::select_jobs;
use crate::columns::{self, KEY_CLASSES};

pub(crate) const POSITION: &str = "SELECT \
     (SELECT count(*) FROM (SELECT 1 FROM standing AS above WHERE above.phase = s.phase AND above.queue = s.queue \
     AND above.priority > s.priority LIMIT $2) AS higher) \
     + (SELECT count(*) FROM (SELECT 1 FROM standing AS other WHERE other.phase = s.phase AND other.queue = s.queue \
     AND other.priority = s.priority AND other.job < s.job LIMIT $2) AS earlier) \
     FROM job AS j JOIN standing AS s ON s.job = j.number WHERE j.id = $1 AND s.state = 'queued'";
const COUNTS: &str = "SELECT state, count(*) FROM standing WHERE phase IS NOT NULL GROUP BY state \
     UNION ALL SELECT 'finished', count(*) FROM standing WHERE phase IS NULL";
/// When the lease of a live job runs out.
const UNTIL: &str = "(s.content::json #>> '{lease,until}')::bigint";
const FACTS: &str = "SELECT current_setting('server_version'), current_setting('synchronous_commit'), \
     current_setting('fsync'), (SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class AS c \
     JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r')";

pub(super) async fn job(session: &Session, id: JobId) -> Attempted<Option<Job>> {
    let sql = format!("{} WHERE j.id = $1", select_jobs());
    session.query(&sql, &[&id.to_string()]).await?.first().map(rows::job).transpose()
}

pub(super) async fn job_by_number(session: &Session, number: JobNumber) -> Attempted<Option<Job>> {
    let Ok(number) = i64::try_from(number.0) else { return Ok(None) };
    let sql = format!("{} WHERE j.number = $1", select_jobs());
    session.query(&sql, &[&number]).await?.first().map(rows::job).transpose()
}

/// The job that a key names, and whether it was submitted with the same body.
pub(super) async fn keyed(
    session: &Session,
    principal: &Principal,
    key: &IdempotencyKey,
) -> Attempted<Option<(Job, bool)>> {
    // Of two of different classes the newer one counts.
    let sql = format!(
        "SELECT job, digest FROM key WHERE principal_class IN {KEY_CLASSES} AND principal_name = $1 AND key = $2 \
         ORDER BY job DESC LIMIT 1"
    );
    let named = session.query(&sql, &[&principal.name, &key.key]).await?;
    let Some(row) = named.first() else { return Ok(None) };
    let (number, same) = (rows::number(row, 0)?, row.try_get::<_, &[u8]>(1)? == key.digest);
    Ok(job_by_number(session, number).await?.map(|job| (job, same)))
}

pub(super) async fn spec(session: &Session, id: JobId) -> Attempted<Option<JobSpec>> {
    let rows = session.query("SELECT spec FROM job WHERE id = $1", &[&id.to_string()]).await?;
    rows.first().map(|row| rows::json(row, 0)).transpose()
}

pub(super) async fn live_jobs(session: &Session) -> Attempted<Vec<Job>> {
    let sql = format!("{} WHERE s.phase = 'live'", select_jobs());
    rows::jobs(&session.query(&sql, &[]).await?)
}

pub(super) async fn position(session: &Session, id: JobId) -> Attempted<Option<Position>> {
    let rows = session.query(POSITION, &[&id.to_string(), &(Position::COUNTED as i64)]).await?;
    rows.first().map(|row| rows::get::<i64>(row, 0).map(|jobs| Position::behind(jobs as u64))).transpose()
}

/// At most `$2` jobs whose leases have run out. Those that somebody holds a lease on are few, and sorted.
pub(crate) fn expired_sql() -> String {
    let (jobs, now) = (select_jobs(), present_or("$1"));
    format!("{jobs} WHERE s.phase = 'live' AND {UNTIL} <= {now} ORDER BY {UNTIL}, j.number LIMIT $2")
}

pub(super) async fn expired(session: &Session, said: Option<i64>, limit: i64) -> Attempted<Vec<Job>> {
    rows::jobs(&session.query(&expired_sql(), &[&said, &limit]).await?)
}

pub(crate) fn next_expiry_sql() -> String {
    format!("SELECT min({UNTIL}), {} FROM standing AS s WHERE s.phase = 'live'", present_or("$1"))
}

pub(crate) fn next_due_sql() -> String {
    format!("SELECT min(due_at), {} FROM standing WHERE due_at IS NOT NULL", present_or("$1"))
}

pub(crate) fn next_deadline_sql() -> String {
    let now = present_or("$1");
    format!("SELECT min(deadline_at), {now} FROM question WHERE closed_at IS NULL AND deadline_at IS NOT NULL")
}

/// How long it is until the instant that `sql` reads, which reads the present beside it.
pub(super) async fn until(session: &Session, sql: &str, said: Option<i64>) -> Attempted<Option<Duration>> {
    let rows = session.query(sql, &[&said]).await?;
    let now = rows::present(&rows, 1)?;
    let at = rows.first().map(|row| rows::time_or_null(row, 0)).transpose()?.flatten();
    Ok(at.map(|at| at.since(now)))
}

/// The query for events after `$1`, at most `$2` of them; of job `$3` only if `of_one`.
pub(crate) fn events_sql(of_one: bool) -> String {
    let of_one = if of_one { "AND j.id = $3" } else { "" };
    format!(
        "SELECT {EVENT_COLUMNS} FROM event AS e JOIN job AS j ON j.number = e.job WHERE e.seq > $1 {of_one} \
         ORDER BY e.seq LIMIT $2"
    )
}

pub(super) async fn events(
    session: &Session,
    after: EventSeq,
    job: Option<JobId>,
    limit: i64,
) -> Attempted<Vec<EventRecord>> {
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let sql = events_sql(job.is_some());
    let rows = match job {
        Some(id) => session.query(&sql, &[&after, &limit, &id.to_string()]).await?,
        None => session.query(&sql, &[&after, &limit]).await?,
    };
    rows.iter().map(rows::event).collect()
}

pub(super) async fn last_event(session: &Session) -> Attempted<EventSeq> {
    let rows = session.query(LAST_EVENT, &[]).await?;
    Ok(EventSeq(rows.first().map_or(Ok(0), |row| rows::get::<i64>(row, 0))? as u64))
}

pub(super) async fn samples(session: &Session, likeness: u64) -> Attempted<Vec<Duration>> {
    let rows = session.query("SELECT samples FROM duration WHERE likeness = $1", &[&(likeness as i64)]).await?;
    rows.first().map_or(Ok(vec![]), |row| rows::get(row, 0).map(columns::samples))
}

pub(super) async fn counts(session: &Session) -> Attempted<Counts> {
    let mut counts = Counts::default();
    for row in session.query(COUNTS, &[]).await? {
        let count = rows::get::<i64>(&row, 1)? as u64;
        match rows::named(&row, 0, StateName::parse)? {
            StateName::Finished => counts.finished = count,
            state => drop(counts.unfinished.insert(state, count)),
        }
    }
    Ok(counts)
}

pub(super) async fn queues(session: &Session) -> Attempted<Vec<Queue>> {
    let rows = session.query("SELECT name, concurrency FROM queue ORDER BY name", &[]).await?;
    let queue = |row| Ok(Queue { name: rows::queue_name(row, 0)?, concurrency: rows::unsigned(row, 1)? });
    rows.iter().map(queue).collect()
}

/// The query for at most `$2` unpinned jobs that ended more than `$1` ms ago and come after `$4` and `$5`, the first to
/// end first.
pub(crate) fn ended_sql(with_output: bool) -> String {
    let now = present_or("$3");
    let of = |expired: bool| {
        format!(
            "(SELECT job, finished_at FROM standing WHERE finished_at IS NOT NULL AND NOT pinned \
             AND output_expired = {expired} AND finished_at < {now} - $1::bigint \
             AND (finished_at, job) > ($4::bigint, $5::bigint) ORDER BY finished_at, job LIMIT $2)"
        )
    };
    // The index keeps jobs with and without output apart, each by age.
    let found = if with_output { of(false) } else { format!("({} UNION ALL {})", of(false), of(true)) };
    format!("{} JOIN {found} AS e ON e.job = j.number ORDER BY e.finished_at, j.number LIMIT $2", select_jobs())
}

pub(super) async fn ended(session: &Session, query: OldJobs, said: Option<i64>, limit: i64) -> Attempted<Vec<Job>> {
    let age = i64::try_from(query.age.as_millis()).unwrap_or(i64::MAX);
    let (at, number) = query.after.map_or((i64::MIN, 0), |(at, number)| (at.as_millis(), number.0 as i64));
    rows::jobs(&session.query(&ended_sql(query.with_output), &[&age, &limit, &said, &at, &number]).await?)
}

pub(super) async fn facts(session: &Session, connector: &Connector) -> Attempted<StoreFacts> {
    let rows = session.query(FACTS, &[&connector.schema()]).await?;
    let text = |at| rows.first().map_or(Ok(""), |row| rows::get::<&str>(row, at));
    let version = text(0)?.split(' ').next().unwrap_or_default();
    let bytes = rows.first().map(|row| rows::get::<Option<i64>>(row, 3)).transpose()?.flatten();
    Ok(StoreFacts {
        engine: format!("PostgreSQL {version}"),
        location: connector.location().to_owned(),
        schema: migrations::version(session).await?,
        durability: format!("synchronous_commit={}, fsync={}", text(1)?, text(2)?),
        bytes: bytes.map(|bytes| bytes as u64),
    })
}
