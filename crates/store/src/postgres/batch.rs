//! Requests that share a transaction: what all of them need is read and locked in one round trip, then each is decided
//! on the desk, then the desk is written in another.

use std::collections::{BTreeSet, HashMap};

use longshore_domain::id::{AttemptNumber, JobId, JobNumber};
use longshore_domain::job::{Event, Job, Lease};
use longshore_domain::store::{Change, Claim, IdempotencyKey, StoreError, Submitted};
use longshore_domain::time::Timestamp;
use tokio_postgres::Row;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::landing::{self, Landed};
use super::node::Node;
use super::rows::{self, JOB_COLUMNS, JOB_WIDTH};
use super::session::{Session, Step, Value};
use super::submit::{Keyed, Supply, submit};
use super::turn::{Turn, select_jobs, who, who_sql};
use crate::columns::KEY_CLASSES;
use crate::draft::{Draft, Taken};

/// Something asked of the store that shares its transaction with others.
pub(super) struct Request {
    pub(super) ask: Ask,
    /// Ready jobs are taken in the same transaction.
    pub(super) room: Option<Claim>,
    pub(super) now: Timestamp,
}

/// What is asked.
pub(super) enum Ask {
    Submit(Box<Draft>),
    Record { job: JobId, event: Box<Event> },
    Claim,
}

/// What became of a request.
pub(super) struct Answer {
    pub(super) done: Done,
    pub(super) taken: Vec<Taken>,
}

/// What became of what was asked.
pub(super) enum Done {
    Submitted(Result<Submitted, StoreError>),
    Recorded(Result<Change, StoreError>),
    Claimed,
}

impl Request {
    /// What it does, for errors.
    pub(super) fn operation(&self) -> &'static str {
        match self.ask {
            Ask::Submit(_) => "submit a job",
            Ask::Record { .. } => "record an event",
            Ask::Claim => "claim jobs",
        }
    }
}

/// Does all of the batch in one transaction, or nothing of it.
pub(super) async fn attempt(node: &Node, session: &Session, batch: &[&Request]) -> Attempted<Vec<Answer>> {
    let needs = Needs::of(batch);
    session.mark_open();
    let Loaded { mut desk, mut supply, xid, present } = load(session, &needs).await?;
    let mut decided = Vec::with_capacity(batch.len());
    for request in batch {
        let now = node.clock.tell(request.now, present);
        decided.push(decide(node, &mut desk, &mut supply, request, now)?);
    }
    let queues = std::mem::take(&mut desk.writes.queues);
    desk.writes.queues = queues.into_iter().filter(|queue| !node.knows(queue)).collect();
    let landed = landing::land(node, &Turn { session, xid }, &desk).await?;
    node.learn(&desk.writes.queues);
    // It is durable by now, and must not be done again.
    complete(decided, landed, &desk).map_err(|trouble| Trouble::Unknown(Box::new(trouble)))
}

/// What became of a request on the desk.
struct Decided {
    done: Done,
    taken: Vec<Job>,
}

fn decide<'d>(
    node: &Node,
    desk: &mut Desk<'d>,
    supply: &mut Supply,
    request: &'d Request,
    now: Timestamp,
) -> Attempted<Decided> {
    let done = match &request.ask {
        Ask::Submit(draft) => Done::Submitted(submit(node, desk, supply, draft, now)?),
        Ask::Record { job, event } => Done::Recorded(record(desk, *job, event, now)?),
        Ask::Claim => Done::Claimed,
    };
    let taken = match (&done, &request.room) {
        (Done::Submitted(Err(_)), _) | (_, None) => vec![],
        (_, Some(room)) => claim(desk, room, now)?,
    };
    Ok(Decided { done, taken })
}

fn record(desk: &mut Desk<'_>, id: JobId, event: &Event, now: Timestamp) -> Attempted<Result<Change, StoreError>> {
    let Some(number) = desk.number(id) else { return Ok(Err(StoreError::JobNotFound(id))) };
    #[cfg(feature = "unfenced")]
    super::unfenced::believe(desk, number, event, now)?;
    Ok(desk.change(number, event.clone(), now)?.map_err(StoreError::Refused))
}

/// Takes up to one ready job for each nonce, honouring the limits of the queues and what the holder has.
fn claim(desk: &mut Desk<'_>, room: &Claim, now: Timestamp) -> Attempted<Vec<Job>> {
    let mut taken = vec![];
    if desk.draining.contains(&room.holder) {
        return Ok(taken);
    }
    for nonce in &room.nonces {
        let Some(number) = desk.lines.next(&room.labels) else { break };
        let token = desk.job(number)?.attempt.next();
        let until = now.plus(room.lease);
        let lease = Lease { holder: room.holder, token, until, nonce: *nonce, boot: room.boot.clone() };
        let change = desk.change(number, Event::Claimed { lease }, now)?;
        taken.push(change.map_err(|source| Trouble::NotClaimable { number, source })?.job);
        if !desk.is_new(number) {
            desk.writes.taken.push(number);
        }
    }
    Ok(taken)
}

fn complete(decided: Vec<Decided>, mut landed: Landed, desk: &Desk<'_>) -> Attempted<Vec<Answer>> {
    let drafts: HashMap<_, _> = desk.writes.accepted.iter().map(|(number, draft)| (*number, *draft)).collect();
    let mut spec = |number: JobNumber| match drafts.get(&number) {
        Some(draft) => Ok(draft.spec.clone()),
        None => landed.spec(number).ok_or(Trouble::Missing(number)),
    };
    let mut answers = Vec::with_capacity(decided.len());
    for Decided { done, taken } in decided {
        let taken = taken.into_iter().map(|job| Ok(Taken { spec: spec(job.number)?, job }));
        answers.push(Answer { taken: taken.collect::<Attempted<_>>()?, done });
    }
    for answer in &mut answers {
        if let Done::Recorded(Ok(change)) = &mut answer.done {
            landed.complete(change);
        }
    }
    Ok(answers)
}

/// What the requests of a batch need, together.
#[derive(Default)]
struct Needs<'b> {
    /// Jobs that events happen to, or that new jobs wait for.
    jobs: Vec<String>,
    drafts: Vec<&'b Draft>,
    /// Questions that are asked, and who asks.
    questions: Vec<String>,
    askers: Vec<String>,
    slots: i64,
    /// Where the new jobs stand.
    queues: BTreeSet<&'b str>,
    /// What those who claim have, together.
    labels: BTreeSet<&'b str>,
    /// At most so many places become free, or ready jobs leave their line, before jobs are claimed.
    freed: i64,
}

impl<'b> Needs<'b> {
    fn of(batch: &[&'b Request]) -> Self {
        let mut needs = Self::default();
        for request in batch {
            if let Some(room) = &request.room {
                needs.slots += room.nonces.len() as i64;
                needs.labels.extend(room.labels.iter());
            }
            match &request.ask {
                Ask::Submit(draft) => {
                    needs.jobs.extend(draft.new.after.iter().map(ToString::to_string));
                    needs.queues.insert(draft.new.queue.as_str());
                    needs.drafts.push(draft);
                }
                Ask::Record { job, event } => {
                    needs.freed += 1;
                    needs.jobs.push(job.to_string());
                    if let Event::Asked { questions, .. } = &**event {
                        needs.askers.push(job.to_string());
                        needs.questions.extend(questions.iter().map(|question| question.id.to_string()));
                    }
                }
                Ask::Claim => {}
            }
        }
        needs
    }
}

/// What was read for a batch.
#[derive(Default)]
struct Loaded<'d> {
    desk: Desk<'d>,
    supply: Supply,
    xid: String,
    /// The time by the database once everything was locked.
    present: Timestamp,
}

/// Jobs by id, locked in the order of their numbers, which is everybody's.
pub(crate) fn lock_jobs_sql() -> String {
    // Sorted by a column that no index has, or a plan could walk through the index instead.
    format!(
        "WITH n AS MATERIALIZED (SELECT i.number FROM unnest($1::text[]) AS u(id) JOIN job AS i ON i.id = u.id) {} \
         JOIN n ON n.number = j.number ORDER BY n.number FOR UPDATE OF s",
        select_jobs()
    )
}

/// Jobs that keys name, the newest last: of two of different classes it counts.
fn keyed_sql() -> String {
    format!(
        "SELECT {JOB_COLUMNS}, k.principal_name, k.key, k.digest FROM unnest($1::text[], $2::text[]) AS n(name, key) \
         JOIN key AS k ON k.principal_class IN {KEY_CLASSES} AND k.principal_name = n.name AND k.key = n.key \
         JOIN job AS j ON j.number = k.job JOIN standing AS s ON s.job = j.number ORDER BY j.number"
    )
}

/// Whether the id of each draft is taken, and a number if neither its id nor its key is. Read before the jobs that keys
/// name: a key that is seen here is seen then.
fn numbers_sql() -> String {
    format!(
        "SELECT place, taken, CASE WHEN NOT taken AND NOT keyed THEN nextval('job_number') END \
         FROM (SELECT n.place, EXISTS (SELECT 1 FROM job AS j WHERE j.id = n.id) AS taken, \
         n.key IS NOT NULL AND EXISTS (SELECT 1 FROM key AS k WHERE k.principal_class IN {KEY_CLASSES} \
         AND k.principal_name = n.name AND k.key = n.key) AS keyed \
         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS n(id, name, key, place) OFFSET 0) AS n"
    )
}

/// Questions of these names, and all those that these jobs ever asked.
const ASKED: &str = "SELECT q.id, j.id, q.attempt, q.key FROM question AS q JOIN job AS j ON j.number = q.job \
     WHERE q.id = ANY($1) \
     UNION ALL SELECT q.id, j.id, q.attempt, q.key FROM job AS j JOIN question AS q ON q.job = j.number \
     WHERE j.id = ANY($2)";

/// Held by whoever claims until its commit: how many are live is exact for it, and nobody else takes what it reads.
pub(super) const LOCK_CLAIMS: &str =
    "SELECT pg_advisory_xact_lock(hashtext('longshore claims'), hashtext(current_schema()))";

/// Nodes that take no jobs.
const DRAINING: &str = "SELECT id FROM node WHERE draining";

/// The queues that have ready jobs, or may have some in a moment (`$4`, and those of the jobs `$5`), with how much of each
/// is taken, each with as many of the first ready jobs of each of its lines that `$3` may take as `$1` slots can take if up
/// to `$2` places become free, or jobs leave the line, before. A row that somebody changes just now is passed over.
///
/// Lines that require labels are found by going from phase to phase along the index, and only for those who have some;
/// queues by going from one to the next within a phase, so that those without ready jobs cost nothing.
pub(crate) fn ready_sql() -> String {
    format!(
        "WITH RECURSIVE step (phase) AS (\
         (SELECT phase FROM standing WHERE phase > 'queued' AND cardinality($3::text[]) > 0 ORDER BY phase LIMIT 1) \
         UNION ALL SELECT n.phase FROM step CROSS JOIN LATERAL \
         (SELECT s.phase FROM standing AS s WHERE s.phase > step.phase ORDER BY s.phase LIMIT 1) AS n \
         WHERE starts_with(step.phase, 'queued ')), \
         p AS MATERIALIZED (SELECT 'queued' AS phase UNION ALL SELECT phase FROM step \
         WHERE starts_with(phase, 'queued ') AND string_to_array(substr(phase, 8), ' ') <@ $3::text[]), \
         line (phase, queue) AS (\
         SELECT p.phase, n.queue FROM p CROSS JOIN LATERAL \
         (SELECT s.queue FROM standing AS s WHERE s.phase = p.phase ORDER BY s.queue LIMIT 1) AS n \
         UNION ALL SELECT line.phase, n.queue FROM line CROSS JOIN LATERAL (SELECT s.queue FROM standing AS s \
         WHERE s.phase = line.phase AND s.queue > line.queue ORDER BY s.queue LIMIT 1) AS n), \
         n AS MATERIALIZED (SELECT queue FROM line UNION SELECT unnest($4::text[]) UNION SELECT s.queue \
         FROM unnest($5::text[]) AS u(id) JOIN job AS i ON i.id = u.id JOIN standing AS s ON s.job = i.number), \
         q AS MATERIALIZED (SELECT name, concurrency, (SELECT count(*) FROM standing AS l \
         WHERE l.phase = 'live' AND l.queue = name) AS live FROM n JOIN queue ON name = n.queue) \
         SELECT {JOB_COLUMNS}, q.name, q.concurrency, q.live FROM q CROSS JOIN p LEFT JOIN LATERAL \
         (SELECT * FROM standing AS r WHERE r.phase = p.phase AND r.queue = q.name ORDER BY r.priority DESC, r.job \
         LIMIT greatest(0, least($1::bigint + $2::bigint, q.concurrency - q.live + $2)) FOR UPDATE SKIP LOCKED) AS s ON true \
         LEFT JOIN job AS j ON j.number = s.job"
    )
}

async fn load<'d>(session: &Session, needs: &Needs<'_>) -> Attempted<Loaded<'d>> {
    let keys = KeyColumns::of(&needs.drafts);
    let labels: Vec<_> = needs.labels.iter().copied().collect();
    let queues: Vec<_> = needs.queues.iter().copied().collect();
    let (lock_jobs, numbers, keyed) = (lock_jobs_sql(), numbers_sql(), keyed_sql());
    let (ready, who) = (ready_sql(), who_sql());
    let mut steps = vec![Step::new("BEGIN", vec![])];
    let mut reads = vec![Read::Nothing];
    let mut read = |what, wanted: bool, step| {
        if wanted {
            steps.push(step);
            reads.push(what);
        }
    };
    read(Read::Jobs, !needs.jobs.is_empty(), Step::new(&lock_jobs, vec![&needs.jobs]));
    read(Read::Numbers, !keys.id.is_empty(), Step::new(&numbers, vec![&keys.id, &keys.name, &keys.key]));
    read(Read::Keyed, keys.any, Step::new(&keyed, vec![&keys.name, &keys.key]));
    read(Read::Asked, !needs.askers.is_empty(), Step::new(ASKED, vec![&needs.questions, &needs.askers]));
    read(Read::Nothing, needs.slots > 0, Step::new(LOCK_CLAIMS, vec![]));
    read(Read::Draining, needs.slots > 0, Step::new(DRAINING, vec![]));
    let along = vec![&needs.slots as Value<'_>, &needs.freed, &labels, &queues, &needs.jobs];
    read(Read::Ready, needs.slots > 0, Step::new(&ready, along));
    // Last: whatever is judged by the time is locked by then.
    read(Read::Who, true, Step::new(&who, vec![]));
    let answers = session.run(&steps).await?;
    let mut loaded = Loaded::default();
    for (read, rows) in reads.iter().zip(&answers) {
        read.put(rows, needs, &mut loaded)?;
    }
    Ok(loaded)
}

/// What a step of the loading reads.
#[derive(Clone, Copy)]
enum Read {
    Nothing,
    Jobs,
    Keyed,
    Numbers,
    Asked,
    Draining,
    Ready,
    Who,
}

impl Read {
    fn put(self, rows: &[Row], needs: &Needs<'_>, loaded: &mut Loaded<'_>) -> Attempted<()> {
        let Loaded { desk, supply, xid, present } = loaded;
        match self {
            Self::Nothing => {}
            Self::Jobs => rows::jobs(rows)?.into_iter().for_each(|job| desk.place(job)),
            Self::Keyed => {
                for row in rows {
                    let job = rows::job(row)?;
                    let digest = rows::get::<&[u8]>(row, JOB_WIDTH + 2)?;
                    let keyed = Keyed { job: job.number, digest: digest.to_vec() };
                    supply.keys.insert((rows::get(row, JOB_WIDTH)?, rows::get(row, JOB_WIDTH + 1)?), keyed);
                    desk.place(job);
                }
            }
            Self::Numbers => number(rows, needs, supply)?,
            Self::Asked => {
                for row in rows {
                    desk.asked.ids.insert(rows::parse(row, 0)?);
                    let attempt = AttemptNumber(rows::unsigned(row, 2)?);
                    desk.asked.keys.insert((rows::parse(row, 1)?, attempt, rows::get(row, 3)?));
                }
            }
            Self::Draining => {
                desk.draining = rows.iter().map(|row| rows::parse(row, 0)).collect::<Attempted<_>>()?;
            }
            Self::Ready => ready(rows, desk)?,
            Self::Who => (*xid, *present) = who(rows)?,
        }
        Ok(())
    }
}

/// Hands the numbers out in the order of the requests, whatever the order in which they were taken.
fn number(rows: &[Row], needs: &Needs<'_>, supply: &mut Supply) -> Attempted<()> {
    let (mut places, mut numbers) = (vec![], vec![]);
    for row in rows {
        let place = usize::try_from(rows::get::<i64>(row, 0)? - 1).unwrap_or(usize::MAX);
        let Some(draft) = needs.drafts.get(place) else { continue };
        if rows::get(row, 1)? {
            supply.taken.insert(draft.new.id);
        }
        if let Some(number) = rows::get::<Option<i64>>(row, 2)? {
            places.push(place);
            numbers.push(JobNumber(number as u64));
        }
    }
    places.sort_unstable();
    numbers.sort_unstable();
    for (place, number) in places.into_iter().zip(numbers) {
        // Of two with one id, the first is accepted.
        supply.numbers.entry(needs.drafts[place].new.id).or_insert(number);
    }
    Ok(())
}

fn ready(rows: &[Row], desk: &mut Desk<'_>) -> Attempted<()> {
    for row in rows {
        let queue = rows::queue_name(row, JOB_WIDTH)?;
        let (concurrency, live) = (rows::get::<i64>(row, JOB_WIDTH + 1)?, rows::get::<i64>(row, JOB_WIDTH + 2)?);
        desk.lines.open(queue, concurrency as u64, live as u64);
        if rows::get::<Option<i64>>(row, 0)?.is_some() {
            let job = rows::job(row)?;
            desk.lines.admit(&job);
            desk.place(job);
        }
    }
    Ok(())
}

/// Ids and keys of drafts as columns.
#[derive(Default)]
struct KeyColumns<'b> {
    id: Vec<&'b str>,
    name: Vec<&'b str>,
    key: Vec<Option<&'b str>>,
    any: bool,
}

impl<'b> KeyColumns<'b> {
    fn of(drafts: &[&'b Draft]) -> Self {
        let mut columns = Self::default();
        for draft in drafts {
            columns.id.push(&draft.id);
            columns.name.push(&draft.new.principal.name);
            columns.key.push(draft.new.key.as_ref().map(|key: &IdempotencyKey| key.key.as_str()));
            columns.any |= draft.new.key.is_some();
        }
        columns
    }
}
