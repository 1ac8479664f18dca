//! Accepting a job.

use std::collections::{HashMap, HashSet};

use longshore_domain::id::{AttemptNumber, JobId, JobNumber};
use longshore_domain::job::{Event, EventKind, Job, initial_state};
use longshore_domain::store::{StoreError, Submitted};
use longshore_domain::time::Timestamp;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::node::Node;
use crate::draft::Draft;

/// What the database has for the drafts of a batch.
#[derive(Default)]
pub(super) struct Supply {
    /// Ids that other jobs have.
    pub(super) taken: HashSet<JobId>,
    /// Numbers for those that are new.
    pub(super) numbers: HashMap<JobId, JobNumber>,
    /// Jobs that keys name, by the name of the principal and the key.
    pub(super) keys: HashMap<(String, String), Keyed>,
}

/// The job that a key names.
pub(super) struct Keyed {
    pub(super) job: JobNumber,
    pub(super) digest: Vec<u8>,
}

/// What a job waits for, as found when it is submitted.
struct Awaited {
    /// Jobs that are not finished yet, each once.
    unfinished: Vec<JobNumber>,
    /// The first that has ended without success.
    failed: Option<JobId>,
}

/// Accepts a job, or finds the one that its key names. Refuses before it changes anything.
pub(super) fn submit<'d>(
    node: &Node,
    desk: &mut Desk<'d>,
    supply: &mut Supply,
    draft: &'d Draft,
    now: Timestamp,
) -> Attempted<Result<Submitted, StoreError>> {
    if let Some(found) = find_key(desk, supply, draft)? {
        return Ok(found);
    }
    let awaited = match find_awaited(desk, &draft.new.after)? {
        Ok(awaited) => awaited,
        Err(unknown) => return Ok(Err(StoreError::DependencyNotFound(unknown))),
    };
    if supply.taken.contains(&draft.new.id) {
        return Ok(Err(StoreError::Failed { operation: "submit a job", source: "another job has the same id".into() }));
    }
    // Without one its key was there a moment ago, and went with its job.
    let number = supply.numbers.remove(&draft.new.id).ok_or(Trouble::Overtaken)?;
    supply.taken.insert(draft.new.id);
    accept(node, desk, draft, number, &awaited, now);
    if let Some(key) = &draft.new.key {
        let keyed = Keyed { job: number, digest: key.digest.to_vec() };
        supply.keys.insert((draft.new.principal.name.clone(), key.key.clone()), keyed);
    }
    let Some(on) = awaited.failed else {
        return Ok(Ok(Submitted { job: desk.job(number)?.clone(), existing: false }));
    };
    let blocked = desk.change(number, Event::DependencyFailed { on }, now)?;
    Ok(blocked.map(|change| Submitted { job: change.job, existing: false }).map_err(StoreError::Refused))
}

fn find_key(desk: &Desk<'_>, supply: &Supply, draft: &Draft) -> Attempted<Option<Result<Submitted, StoreError>>> {
    let Some(key) = &draft.new.key else { return Ok(None) };
    let Some(found) = supply.keys.get(&(draft.new.principal.name.clone(), key.key.clone())) else { return Ok(None) };
    let job = desk.job(found.job)?.clone();
    Ok(Some(match found.digest == key.digest {
        true => Ok(Submitted { job, existing: true }),
        false => Err(StoreError::KeyConflict { job: job.id }),
    }))
}

/// Sorts the jobs to wait for, or names the first that does not exist.
fn find_awaited(desk: &Desk<'_>, after: &[JobId]) -> Attempted<Result<Awaited, JobId>> {
    let mut awaited = Awaited { unfinished: vec![], failed: None };
    for id in after {
        let Some(number) = desk.number(*id) else { return Ok(Err(*id)) };
        match desk.job(number)?.outcome() {
            None => awaited.unfinished.push(number),
            Some(outcome) if outcome.is_success() => {}
            Some(_) => awaited.failed = awaited.failed.or(Some(*id)),
        }
    }
    awaited.unfinished.sort_unstable();
    awaited.unfinished.dedup();
    Ok(Ok(awaited))
}

fn accept<'d>(
    node: &Node,
    desk: &mut Desk<'d>,
    draft: &'d Draft,
    number: JobNumber,
    awaited: &Awaited,
    now: Timestamp,
) {
    let new = &draft.new;
    let after_left = awaited.unfinished.len() + usize::from(awaited.failed.is_some());
    let not_before = new.not_before.map(|when| when.at(now));
    let (state, _) = initial_state(not_before, u32::try_from(after_left).unwrap_or(u32::MAX), now);
    let job = Job {
        id: new.id,
        number,
        version: 1,
        kind: new.spec.kind(),
        principal: new.principal.clone(),
        conversation: new.conversation.clone(),
        name: new.name.clone(),
        title: draft.title.clone(),
        queue: new.queue.clone(),
        requires: new.requires.clone(),
        priority: new.priority,
        retry: new.retry.clone(),
        likeness: draft.likeness,
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
    desk.writes.queues.insert(job.queue.clone());
    desk.lines.open(job.queue.clone(), node.queue_concurrency as u64, 0);
    // A job that is blocked already waits for nobody.
    if awaited.failed.is_none() {
        desk.writes.dependencies.extend(awaited.unfinished.iter().map(|on| (*on, number)));
    }
    desk.writes.note(&job, EventKind::Submitted, None, now);
    desk.place_new(job, draft);
}
