//! Pinning, and what is left of jobs after their time.

use std::collections::HashSet;
use std::time::Duration;

use longshore_domain::id::{JobId, JobNumber};
use longshore_domain::job::Job;
use longshore_domain::store::StoreError;
use longshore_domain::time::Timestamp;

use super::artifacts;
use super::clock::present_or;
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::land;
use super::node::Node;
use super::rows;
use super::session::Step;
use super::turn::Turn;

async fn lock_ids(turn: &Turn<'_>, ids: &[JobId]) -> Attempted<Vec<Job>> {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    Ok(turn.lock_jobs("j.id = ANY($1)", vec![&ids]).await?.jobs)
}

/// Keeps a job from retention, or no longer.
pub(super) async fn pin(node: &Node, turn: &Turn<'_>, id: JobId, pinned: bool) -> Attempted<Result<Job, StoreError>> {
    let mut desk = Desk::of(lock_ids(turn, &[id]).await?);
    let found = match desk.number(id) {
        Some(number) => Ok(desk.mark(number, |job| job.pinned = pinned)?.clone()),
        None => Err(StoreError::JobNotFound(id)),
    };
    land(node, turn, &desk).await?;
    Ok(found)
}

/// Notes that the output of these jobs is to go; returns of which it is. Unknown, unfinished and pinned ones, and those
/// noted before, stay as they are.
pub(super) async fn output_expired(node: &Node, turn: &Turn<'_>, ids: &[JobId]) -> Attempted<Vec<JobId>> {
    let mut desk = Desk::of(lock_ids(turn, ids).await?);
    let (mut gone, mut numbers) = (vec![], vec![]);
    for number in desk.all() {
        let job = desk.job(number)?;
        if job.is_finished() && !job.pinned && !job.output_expired {
            gone.push(job.id);
            desk.mark(number, |job| job.output_expired = true)?;
            numbers.push(number);
        }
    }
    artifacts::forget_output(turn, &numbers).await?;
    land(node, turn, &desk).await?;
    Ok(gone)
}

/// Notes the newest event, before the row that carries it may go.
const KEEP_NEWEST: &str = "UPDATE meta SET event_seq = greatest(event_seq, (SELECT max(seq) FROM event))";
const REMOVE: [&str; 7] = [
    "DELETE FROM event WHERE job = ANY($1)",
    "DELETE FROM key WHERE job = ANY($1)",
    "DELETE FROM question WHERE job = ANY($1)",
    "DELETE FROM ended WHERE job = ANY($1)",
    "DELETE FROM artifact WHERE job = ANY($1)",
    "DELETE FROM standing WHERE job = ANY($1)",
    "DELETE FROM job WHERE number = ANY($1)",
];
/// Forgets what chats were told whose last job was removed.
const FORGET: &str = "DELETE FROM announced AS a USING unnest($1::text[], $2::text[]) AS n(principal_name, conversation) \
     WHERE a.principal_name = n.principal_name AND a.conversation = n.conversation AND NOT EXISTS (SELECT 1 \
     FROM job AS j WHERE j.conversation = n.conversation AND j.principal_name = n.principal_name)";

/// Removes finished jobs with all that belongs to them; returns which. Unfinished and pinned ones stay, and so do
/// those whose dependents have not been told yet.
pub(super) async fn remove(node: &Node, turn: &Turn<'_>, ids: &[JobId]) -> Attempted<Vec<JobId>> {
    let locked = lock_ids(turn, ids).await?;
    let numbers: Vec<_> = locked.iter().map(|job| job.number.0 as i64).collect();
    let unsettled = turn.session.query("SELECT job FROM outbox WHERE job = ANY($1)", &[&numbers]).await?;
    let unsettled = unsettled.iter().map(|row| rows::number(row, 0)).collect::<Attempted<HashSet<JobNumber>>>()?;
    let goes = |job: &&Job| job.is_finished() && !job.pinned && !unsettled.contains(&job.number);
    let removed: Vec<_> = locked.iter().filter(goes).collect();
    let numbers: Vec<_> = removed.iter().map(|job| job.number.0 as i64).collect();
    let chats =
        removed.iter().filter_map(|job| Some((job.principal.name.as_str(), job.conversation.as_ref()?.as_str())));
    let (names, conversations): (Vec<_>, Vec<_>) = chats.unzip();
    if !removed.is_empty() {
        let mut steps = vec![Step::new(KEEP_NEWEST, vec![])];
        steps.extend(REMOVE.iter().map(|sql| Step::new(sql, vec![&numbers])));
        steps.push(Step::new(FORGET, vec![&names, &conversations]));
        turn.session.run(&steps).await?;
    }
    land(node, turn, &Desk::default()).await?;
    Ok(removed.iter().map(|job| job.id).collect())
}

/// Dates up to `$3` durations, and of the rest of these deletes old ones.
fn forget_sql() -> String {
    let now = present_or("$1");
    format!(
        "WITH dated AS (UPDATE duration SET learned_at = {now} WHERE likeness IN (SELECT likeness FROM duration \
         WHERE learned_at IS NULL LIMIT $3 FOR UPDATE SKIP LOCKED) RETURNING 1), \
         forgotten AS (DELETE FROM duration WHERE likeness IN (SELECT likeness FROM duration \
         WHERE learned_at < {now} - $2::bigint LIMIT $3 - (SELECT count(*) FROM dated) FOR UPDATE SKIP LOCKED) \
         RETURNING 1) SELECT (SELECT count(*) FROM dated) + (SELECT count(*) FROM forgotten)"
    )
}

/// Forgets durations of which nothing was learned for `age`. Those that nobody knows the age of are young.
pub(super) async fn forget_samples(
    node: &Node,
    turn: &Turn<'_>,
    age: Duration,
    limit: i64,
    now: Timestamp,
) -> Attempted<usize> {
    let (said, age) = (node.clock.said(now), i64::try_from(age.as_millis()).unwrap_or(i64::MAX / 2));
    let rows = turn.session.query(&forget_sql(), &[&said, &age, &limit]).await?;
    let done = rows.first().map_or(Ok(0), |row| rows::get::<i64>(row, 0))?;
    land(node, turn, &Desk::default()).await?;
    Ok(usize::try_from(done).unwrap_or_default())
}
