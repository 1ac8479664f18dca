//! Accepting a job.

use longshore_domain::id::{JobId, JobNumber};
use longshore_domain::job::{Event, Job, initial_state};
use longshore_domain::store::{IdempotencyKey, StoreError, Submitted};
use longshore_domain::time::Timestamp;
use longshore_domain::{AttemptNumber, Principal};
use rusqlite::params;

use super::desk::{Desk, content};
use super::errors::{Attempted, Trouble};
use super::queries;
use crate::columns;
use crate::draft::Draft;

/// What a job waits for, as found when it is submitted.
struct Awaited {
    /// Jobs that are not finished yet, each once.
    unfinished: Vec<JobNumber>,
    /// The first that has ended without success.
    failed: Option<JobId>,
}

/// Accepts a job, or finds the one that its key names. Refuses before it writes anything.
pub(super) fn submit(desk: &mut Desk<'_>, draft: Draft, now: Timestamp) -> Attempted<Result<Submitted, StoreError>> {
    if let Some(key) = &draft.new.key
        && let Some(found) = find_key(desk, &draft.new.principal, key)?
    {
        return Ok(found);
    }
    let awaited = match find_awaited(desk, &draft.new.after)? {
        Ok(awaited) => awaited,
        Err(unknown) => return Ok(Err(StoreError::DependencyNotFound(unknown))),
    };
    let Some(job) = accept(desk, draft, &awaited, now)? else {
        return Ok(Err(StoreError::Failed { operation: "submit a job", source: "another job has the same id".into() }));
    };
    let Some(on) = awaited.failed else {
        desk.put_back(job.clone());
        return Ok(Ok(Submitted { job, existing: false }));
    };
    let blocked = desk.change(job, Event::DependencyFailed { on }, now)?;
    Ok(blocked.map(|change| Submitted { job: change.job, existing: false }).map_err(StoreError::Refused))
}

fn find_key(
    desk: &mut Desk<'_>,
    principal: &Principal,
    key: &IdempotencyKey,
) -> Attempted<Option<Result<Submitted, StoreError>>> {
    let Some((number, same)) = queries::key_names(desk.connection, principal, key)? else { return Ok(None) };
    let job = desk.take(number)?.ok_or(Trouble::Missing(number))?;
    desk.put_back(job.clone());
    Ok(Some(match same {
        true => Ok(Submitted { job, existing: true }),
        false => Err(StoreError::KeyConflict { job: job.id }),
    }))
}

/// Sorts the jobs to wait for, or names the first that does not exist.
fn find_awaited(desk: &mut Desk<'_>, after: &[JobId]) -> Attempted<Result<Awaited, JobId>> {
    let mut awaited = Awaited { unfinished: vec![], failed: None };
    for id in after {
        let Some(job) = desk.take_by_id(*id)? else { return Ok(Err(*id)) };
        match job.outcome() {
            None => awaited.unfinished.push(job.number),
            Some(outcome) if outcome.is_success() => {}
            Some(_) => awaited.failed = awaited.failed.or(Some(job.id)),
        }
        desk.put_back(job);
    }
    awaited.unfinished.sort_unstable();
    awaited.unfinished.dedup();
    Ok(Ok(awaited))
}

/// Writes the job and all that belongs to it; writes nothing and gives nothing if its id is taken.
fn accept(desk: &mut Desk<'_>, draft: Draft, awaited: &Awaited, now: Timestamp) -> Attempted<Option<Job>> {
    let after_left = awaited.unfinished.len() + usize::from(awaited.failed.is_some());
    let not_before = draft.new.not_before.map(|when| when.at(now));
    let (state, _) = initial_state(not_before, u32::try_from(after_left).unwrap_or(u32::MAX), now);
    let Draft { new, id, title, likeness, spec, retry } = draft;
    let job = Job {
        id: new.id,
        number: desk.give_number(),
        version: 1,
        kind: new.spec.kind(),
        principal: new.principal,
        conversation: new.conversation,
        name: new.name,
        title,
        queue: new.queue,
        requires: new.requires,
        priority: new.priority,
        retry: new.retry,
        likeness,
        retry_of: new.retry_of,
        state,
        attempt: AttemptNumber(0),
        failures: 0,
        submitted_at: now,
        started_at: None,
        changed_at: now,
        pinned: false,
        output_expired: false,
    };
    if !insert_job(desk, &job, &id, &retry)? {
        return Ok(None);
    }
    open_queue(desk, &job)?;
    desk.statements.insert_spec.execute(params![job.number.0 as i64, spec])?;
    // A job that is blocked already waits for nobody.
    if awaited.failed.is_none() {
        insert_dependencies(desk, &job, &awaited.unfinished)?;
    }
    if let Some(key) = &new.key {
        insert_key(desk, &job, key)?;
    }
    desk.begin_history(&job, now);
    desk.lines.follow(None, &job, desk.connection)?;
    Ok(Some(job))
}

fn open_queue(desk: &mut Desk<'_>, job: &Job) -> Attempted<()> {
    if desk.lines.knows(&job.queue) {
        return Ok(());
    }
    let sql = "INSERT INTO queue (name, concurrency) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    desk.connection.prepare_cached(sql)?.execute(params![job.queue.as_str(), desk.queue_concurrency])?;
    Ok(())
}

fn insert_job(desk: &mut Desk<'_>, job: &Job, id: &str, retry: &str) -> Attempted<bool> {
    let next_event = desk.next_event();
    let inserted = desk.statements.insert_job.execute(params![
        job.number.0 as i64,
        id,
        job.version as i64,
        job.state.name().as_str(),
        columns::phase_of(job.state.name(), &job.requires),
        content(&job.state)?,
        job.attempt.0,
        job.failures,
        job.queue.as_str(),
        job.priority,
        columns::class_name(job.principal.class),
        job.principal.name,
        job.conversation.as_ref().map(|conversation| conversation.as_str()),
        job.kind.as_str(),
        job.name,
        job.title,
        retry,
        job.likeness as i64,
        job.retry_of.map(|id| id.to_string()),
        job.submitted_at.as_millis(),
        job.changed_at.as_millis(),
        job.state.due_at().map(Timestamp::as_millis),
        next_event.0 as i64,
        columns::requires(&job.requires),
    ])?;
    Ok(inserted == 1)
}

fn insert_dependencies(desk: &Desk<'_>, job: &Job, on: &[JobNumber]) -> Attempted<()> {
    for on in on {
        desk.connection
            .prepare_cached("INSERT INTO dependency (job, dependent) VALUES (?1, ?2)")?
            .execute([on.0 as i64, job.number.0 as i64])?;
    }
    Ok(())
}

fn insert_key(desk: &Desk<'_>, job: &Job, key: &IdempotencyKey) -> Attempted<()> {
    let sql = "INSERT INTO key (principal_class, principal_name, key, job, digest) VALUES (?1, ?2, ?3, ?4, ?5)";
    desk.connection.prepare_cached(sql)?.execute(params![
        columns::class_name(job.principal.class),
        job.principal.name,
        key.key,
        job.number.0 as i64,
        key.digest,
    ])?;
    Ok(())
}
