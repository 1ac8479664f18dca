//! Pinning, and what is left of jobs after their time.

use std::time::Duration;

use longshore_domain::id::JobId;
use longshore_domain::job::Job;
use longshore_domain::store::StoreError;
use longshore_domain::time::Timestamp;
use rusqlite::params;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::{announced, artifacts};

pub(crate) const REMOVE_EVENTS_SQL: &str = "WITH RECURSIVE chain (seq) AS (\
     SELECT last_event FROM job WHERE number = ?1 \
     UNION ALL SELECT e.before FROM chain CROSS JOIN event AS e ON e.seq = chain.seq WHERE e.before IS NOT NULL) \
     DELETE FROM event WHERE seq IN chain";

/// Keeps a job from retention, or no longer.
pub(super) fn pin(desk: &mut Desk<'_>, id: JobId, pinned: bool) -> Attempted<Result<Job, StoreError>> {
    let Some(mut job) = desk.take_by_id(id)? else { return Ok(Err(StoreError::JobNotFound(id))) };
    job.pinned = pinned;
    mark(desk, &mut job)?;
    desk.put_back(job.clone());
    Ok(Ok(job))
}

/// Notes that the output of these jobs is to go; returns of which it is. Unknown, unfinished and pinned ones, and those
/// noted before, stay as they are.
pub(super) fn output_expired(desk: &mut Desk<'_>, ids: &[JobId]) -> Attempted<Vec<JobId>> {
    let mut gone = vec![];
    for id in ids {
        let Some(mut job) = desk.take_by_id(*id)? else { continue };
        if job.is_finished() && !job.pinned && !job.output_expired {
            job.output_expired = true;
            mark(desk, &mut job)?;
            artifacts::forget_output(desk, job.number)?;
            gone.push(job.id);
        }
        desk.put_back(job);
    }
    Ok(gone)
}

/// Writes the marks of retention as one new version of the row.
fn mark(desk: &Desk<'_>, job: &mut Job) -> Attempted<()> {
    let sql = "UPDATE job SET version = ?2 + 1, pinned = ?3, output_expired = ?4 WHERE number = ?1 AND version = ?2";
    let values = params![job.number.0 as i64, job.version as i64, job.pinned, job.output_expired];
    let changed = desk.connection.prepare_cached(sql)?.execute(values)?;
    job.version += 1;
    match changed {
        1 => Ok(()),
        _ => Err(Trouble::ChangedBehind(job.number)),
    }
}

/// Removes finished jobs with all that belongs to them; returns which. Unfinished and pinned ones stay, and so do
/// those whose dependents have not been told yet.
pub(super) fn remove(desk: &mut Desk<'_>, ids: &[JobId]) -> Attempted<Vec<JobId>> {
    desk.before_removal()?;
    let mut removed = vec![];
    for id in ids {
        let Some(job) = desk.take_by_id(*id)? else { continue };
        if job.is_finished() && !job.pinned && !is_unsettled(desk, &job)? {
            remove_rows(desk, &job)?;
            announced::forget(desk, &job)?;
            removed.push(job.id);
        } else {
            desk.put_back(job);
        }
    }
    Ok(removed)
}

fn is_unsettled(desk: &Desk<'_>, job: &Job) -> Attempted<bool> {
    let mut statement = desk.connection.prepare_cached("SELECT 1 FROM outbox WHERE job = ?1")?;
    Ok(statement.exists([job.number.0 as i64])?)
}

fn remove_rows(desk: &Desk<'_>, job: &Job) -> Attempted<()> {
    for sql in [
        REMOVE_EVENTS_SQL,
        "DELETE FROM spec WHERE job = ?1",
        "DELETE FROM key WHERE job = ?1",
        "DELETE FROM question WHERE job = ?1",
        "DELETE FROM artifact WHERE job = ?1",
        "DELETE FROM job WHERE number = ?1",
    ] {
        desk.connection.prepare_cached(sql)?.execute([job.number.0 as i64])?;
    }
    Ok(())
}

const DATE_SQL: &str = "UPDATE duration SET learned_at = ?1 \
     WHERE likeness IN (SELECT likeness FROM duration WHERE learned_at IS NULL LIMIT ?2)";
const FORGET_SQL: &str =
    "DELETE FROM duration WHERE likeness IN (SELECT likeness FROM duration WHERE learned_at < ?1 LIMIT ?2)";

/// Forgets durations of which nothing was learned for `age`. Those that nobody knows the age of are young.
pub(super) fn forget_samples(desk: &Desk<'_>, age: Duration, limit: usize, now: Timestamp) -> Attempted<usize> {
    let dated = desk.connection.prepare_cached(DATE_SQL)?.execute([now.as_millis(), limit as i64])?;
    let values = [now.minus(age).as_millis(), limit.saturating_sub(dated) as i64];
    Ok(dated + desk.connection.prepare_cached(FORGET_SQL)?.execute(values)?)
}
