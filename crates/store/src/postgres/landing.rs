//! Writing a desk down: one round trip that ends with the commit, and finding out what became of it if the connection
//! breaks in that moment.

use std::collections::{HashMap, HashSet};

use longshore_domain::id::{EventSeq, JobNumber};
use longshore_domain::job::Effect;
use longshore_domain::store::Change;
use tokio_postgres::Row;

use super::arrays::Columns;
use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::node::Node;
use super::rows;
use super::session::{Session, Step, Value};
use super::tries::Tries;
use super::turn::Turn;
use crate::columns;

const INSERT_QUEUES: &str = "INSERT INTO queue (name, concurrency) SELECT name, $2::bigint FROM unnest($1::text[]) AS n(name) \
     ON CONFLICT (name) DO NOTHING";
const INSERT_JOBS: &str = "INSERT INTO job (number, id, principal_class, principal_name, conversation, kind, name, \
     title, retry, likeness, retry_of, submitted_at, spec, requires) SELECT * FROM unnest($1::job_row[])";
const INSERT_KEYS: &str = "INSERT INTO key (principal_class, principal_name, key, job, digest) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])";
const INSERT_DEPENDENCIES: &str =
    "INSERT INTO dependency (job, dependent) SELECT * FROM unnest($1::bigint[], $2::bigint[])";
const INSERT_STANDINGS: &str = "INSERT INTO standing (job, version, state, phase, content, attempt, failures, queue, \
     priority, holder, started_at, changed_at, due_at, finished_at, outcome, pinned, output_expired) \
     SELECT job, version, state, phase, content, attempt, failures, queue, priority, holder, started_at, changed_at, \
     due_at, finished_at, outcome, pinned, output_expired FROM unnest($1::standing_row[])";
const UPDATE_STANDINGS: &str = "WITH u AS (UPDATE standing AS s SET version = n.version, state = n.state, \
     phase = n.phase, content = n.content, attempt = n.attempt, failures = n.failures, holder = n.holder, \
     started_at = n.started_at, changed_at = n.changed_at, due_at = n.due_at, finished_at = n.finished_at, \
     outcome = n.outcome, pinned = n.pinned, output_expired = n.output_expired \
     FROM unnest($1::standing_row[]) AS n WHERE s.job = n.job AND s.version = n.stored RETURNING 1) \
     SELECT must_be((SELECT count(*) FROM u), cardinality($1::standing_row[]))";
const READ_SPECS: &str = "SELECT number, spec FROM job WHERE number = ANY($1)";
const INSERT_OUTBOX: &str = "INSERT INTO outbox (job) SELECT DISTINCT d.job FROM unnest($1::bigint[]) AS n(job) \
     JOIN dependency AS d ON d.job = n.job RETURNING job";
const READ_OUTBOX: &str = "SELECT job FROM outbox WHERE job = ANY($1)";
/// Gives the place of the last of `$1` lines, under a lock that is held until the commit is visible, so that the
/// history grows at its end only: decision 0009.
const TAKE_PLACES: &str = "SELECT setval('event_seq', nextval('event_seq') + $1 - 1) FROM \
     (SELECT pg_advisory_xact_lock(hashtext('longshore history'), hashtext(current_schema())) OFFSET 0) AS l";
const INSERT_LINES: &str = "INSERT INTO event (seq, job, at, kind, state, attempt, detail) \
     SELECT currval('event_seq') - $2 + place, job, at, kind, state, attempt, detail \
     FROM unnest($1::line_row[]) WITH ORDINALITY AS n(job, at, kind, state, attempt, detail, place)";
const INSERT_ENDED: &str = "INSERT INTO ended (principal_name, conversation, seq, job) \
     SELECT principal_name, conversation, currval('event_seq') - $5 + line, job \
     FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS n(principal_name, conversation, line, job)";
const INSERT_QUESTIONS: &str = "INSERT INTO question (job, id, attempt, key, kind, prompt, schema, asked_at, \
     deadline_at) SELECT job, id, attempt, key, kind, prompt, schema, asked_at, deadline_at \
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], \
     $8::bigint[], $9::bigint[]) WITH ORDINALITY \
     AS n(job, id, attempt, key, kind, prompt, schema, asked_at, deadline_at, place) ORDER BY place";
const CLOSE_QUESTIONS: &str = "UPDATE question AS q SET closed_at = n.closed_at, answer = n.answer \
     FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n(id, closed_at, answer) \
     WHERE q.id = n.id AND q.closed_at IS NULL";
/// Adds samples behind those there are, and keeps the newest.
const LEARN: &str = "INSERT INTO duration (likeness, samples, learned_at) \
     SELECT * FROM unnest($1::bigint[], $2::bytea[], $4::bigint[]) \
     ON CONFLICT (likeness) DO UPDATE SET learned_at = excluded.learned_at, \
     samples = substring(duration.samples || excluded.samples \
     FROM greatest(1, length(duration.samples) + length(excluded.samples) - $3 + 1))";
/// Changed rows wake other nodes, once for all of them.
pub(super) const NOTIFY: &str = "SELECT pg_notify($1, $2)";
/// The newest place in the history, also when the line that had it was removed.
pub(super) const LAST_EVENT: &str = "SELECT greatest(event_seq, (SELECT max(seq) FROM event)) FROM meta";

/// What is only known once a desk was written.
#[derive(Default)]
pub(super) struct Landed {
    /// The last place of the history before its lines.
    base: u64,
    /// Jobs that ended and are waited for.
    awaited: HashSet<JobNumber>,
    specs: HashMap<JobNumber, String>,
}

impl Landed {
    /// Completes a change that was made on the desk.
    pub(super) fn complete(&self, change: &mut Change) {
        change.seq = EventSeq(self.base + change.seq.0);
        if !self.awaited.contains(&change.job.number) {
            change.effects.retain(|effect| *effect != Effect::Settle);
        }
    }

    pub(super) fn spec(&mut self, number: JobNumber) -> Option<String> {
        self.specs.remove(&number)
    }
}

/// Writes the desk and commits the transaction. What it says is durable.
///
/// # Errors
/// [`Trouble::Unknown`] if the connection broke and it could not be found out what became of the commit; after anything
/// else nothing was changed.
pub(super) async fn land(node: &Node, turn: &Turn<'_>, desk: &Desk<'_>) -> Attempted<Landed> {
    let columns = Columns::of(desk)?;
    let plan = Plan::of(node, &columns);
    match turn.session.run(&plan.steps).await {
        Ok(answers) => {
            turn.session.mark_shut();
            // It is durable: whatever cannot be read of it must not have it done again.
            plan.read(answers, &columns).map_err(|trouble| Trouble::Unknown(Box::new(trouble)))
        }
        // Whatever leaves no lines of history can be done again.
        Err(trouble) if trouble.is_loss() && columns.count == 0 => Err(trouble),
        Err(trouble) if trouble.is_loss() => look(node, turn, &Mark::Lines(&columns), trouble).await,
        Err(trouble) => Err(trouble),
    }
}

/// Commits a transaction that leaves no lines of history and must not be done again all the same. `witness` is a query for
/// a row that it wrote, which it alone can have written; `$1` is who the transaction is.
///
/// # Errors
/// As [`land`].
pub(super) async fn land_before(
    node: &Node,
    turn: &Turn<'_>,
    witness: &str,
    mut values: Vec<Value<'_>>,
) -> Attempted<()> {
    match land(node, turn, &Desk::default()).await {
        Err(trouble) if trouble.is_loss() => {
            values.insert(0, &turn.xid);
            look(node, turn, &Mark::Row(witness, values), trouble).await.map(drop)
        }
        landed => landed.map(drop),
    }
}

/// The same for a desk on which these changes were made, which it completes.
pub(super) async fn land_changes(
    node: &Node,
    turn: &Turn<'_>,
    desk: &Desk<'_>,
    mut changes: Vec<Change>,
) -> Attempted<Vec<Change>> {
    let landed = land(node, turn, desk).await?;
    changes.iter_mut().for_each(|change| landed.complete(change));
    Ok(changes)
}

/// What a place in the list of steps gives back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gives {
    Nothing,
    Specs,
    Awaited,
    /// The place of the newest line.
    Newest,
}

/// The statements that a desk needs, in the order in which everybody takes locks: what is unique, then the history.
#[derive(Default)]
struct Plan<'c> {
    steps: Vec<Step<'c>>,
    gives: Vec<Gives>,
}

impl<'c> Plan<'c> {
    fn of(node: &'c Node, columns: &'c Columns<'_>) -> Self {
        let mut plan = Self::default();
        let Columns { jobs, keys, dependencies, inserted, updated, lines, ended, asks, closes, samples, .. } = columns;
        plan.add(!columns.queues.is_empty(), INSERT_QUEUES, vec![&columns.queues, &node.queue_concurrency]);
        plan.add(!jobs.is_empty(), INSERT_JOBS, vec![jobs]);
        plan.add(!inserted.is_empty(), INSERT_STANDINGS, vec![inserted]);
        plan.add(!keys.job.is_empty(), INSERT_KEYS, keys.values());
        plan.add(!dependencies.0.is_empty(), INSERT_DEPENDENCIES, vec![&dependencies.0, &dependencies.1]);
        plan.add(!updated.is_empty(), UPDATE_STANDINGS, vec![updated]);
        plan.ask(Gives::Specs, !columns.taken.is_empty(), READ_SPECS, vec![&columns.taken]);
        plan.ask(Gives::Awaited, !columns.ends.is_empty(), INSERT_OUTBOX, vec![&columns.ends]);
        if columns.count > 0 {
            plan.ask(Gives::Newest, true, TAKE_PLACES, vec![&columns.count]);
            plan.add(true, INSERT_LINES, vec![lines, &columns.count]);
            plan.add(!ended.job.is_empty(), INSERT_ENDED, with(ended.values(), vec![&columns.count]));
            plan.add(!asks.job.is_empty(), INSERT_QUESTIONS, asks.values());
            plan.add(!closes.id.is_empty(), CLOSE_QUESTIONS, vec![&closes.id, &closes.closed_at, &closes.answer]);
            plan.add(
                !samples.likeness.is_empty(),
                LEARN,
                vec![&samples.likeness, &samples.bytes, &SAMPLES_BYTES_MAX, &samples.learned_at],
            );
            plan.add(true, NOTIFY, vec![&node.channel, &node.tag]);
        } else if !updated.is_empty() {
            plan.ask(Gives::Newest, true, LAST_EVENT, vec![]);
        }
        plan.add(true, "COMMIT", vec![]);
        plan
    }

    fn add(&mut self, wanted: bool, sql: &'c str, values: Vec<Value<'c>>) {
        self.ask(Gives::Nothing, wanted, sql, values);
    }

    fn ask(&mut self, gives: Gives, wanted: bool, sql: &'c str, values: Vec<Value<'c>>) {
        if wanted {
            self.steps.push(Step::new(sql, values));
            self.gives.push(gives);
        }
    }

    fn read(&self, answers: Vec<Vec<Row>>, columns: &Columns<'_>) -> Attempted<Landed> {
        let mut landed = Landed::default();
        for (gives, rows) in self.gives.iter().zip(answers) {
            match gives {
                Gives::Nothing => {}
                Gives::Specs => landed.specs = read_specs(&rows)?,
                Gives::Awaited => landed.awaited = read_numbers(&rows)?,
                Gives::Newest => landed.base = (newest(&rows)? - columns.count) as u64,
            }
        }
        Ok(landed)
    }
}

fn with<'c>(mut values: Vec<Value<'c>>, more: Vec<Value<'c>>) -> Vec<Value<'c>> {
    values.extend(more);
    values
}

const SAMPLES_BYTES_MAX: i32 = columns::SAMPLES_BYTES_MAX as i32;

fn newest(rows: &[Row]) -> Attempted<i64> {
    rows.first().map_or(Ok(0), |row| rows::get(row, 0))
}

fn read_numbers(rows: &[Row]) -> Attempted<HashSet<JobNumber>> {
    rows.iter().map(|row| rows::number(row, 0)).collect()
}

fn read_specs(rows: &[Row]) -> Attempted<HashMap<JobNumber, String>> {
    rows.iter().map(|row| Ok((rows::number(row, 0)?, rows::get(row, 1)?))).collect()
}

/// What a transaction leaves behind, by which it is known.
enum Mark<'m> {
    /// Lines of history.
    Lines(&'m Columns<'m>),
    /// A row that this query finds.
    Row(&'m str, Vec<Value<'m>>),
}

/// The connection broke: looks over another one whether the transaction was committed, and what it would have told.
async fn look(node: &Node, broken: &Turn<'_>, mark: &Mark<'_>, trouble: Trouble) -> Attempted<Landed> {
    let mut tries = Tries::new(node.patience);
    loop {
        let seen = match node.connector.connect().await {
            Ok(session) => look_over(&session, &broken.xid, mark).await,
            Err(away) => Err(away),
        };
        match seen {
            Ok(Seen::Committed(landed)) => return Ok(landed),
            Ok(Seen::RolledBack) => return Err(trouble),
            Ok(Seen::Forgotten) => return Err(Trouble::Unknown(Box::new(trouble))),
            Ok(Seen::UnderWay) => {}
            Err(away) => tracing::warn!(error = %away, "looking what became of a commit"),
        }
        if !tries.pause().await {
            return Err(Trouble::Unknown(Box::new(trouble)));
        }
    }
}

/// What the server knows of a transaction.
enum Seen {
    Committed(Landed),
    RolledBack,
    UnderWay,
    Forgotten,
}

const STATUS: &str = "SELECT pg_xact_status($1::text::xid8)";
/// What the server says of an id that it has not given yet: a crash took the one that we had.
const NOT_GIVEN: &str = "22023";
/// Ends a transaction whose connection is gone without the server having noticed; only ours has this id. One that waits
/// for a standby would be seen as committed by that, though the standby does not have it.
const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = $1::text::xid8::xid \
     AND wait_event IS DISTINCT FROM 'SyncRep'";
/// The lines of transaction `$2`. After a crash another one may have been given its id, but not with the same lines.
const FIND_LINES: &str = "SELECT min(e.seq) - 1, count(DISTINCT e.seq) \
     FROM unnest($1::line_row[]) AS n JOIN event AS e ON e.job = n.job AND e.at = n.at AND e.kind = n.kind \
     AND e.state = n.state AND e.attempt = n.attempt WHERE e.xmin = $2::text::xid8::xid";

async fn look_over(session: &Session, xid: &str, mark: &Mark<'_>) -> Attempted<Seen> {
    let rows = match session.query(STATUS, &[&xid]).await {
        Err(Trouble::Server { code, .. }) if code.code() == NOT_GIVEN => return Ok(Seen::RolledBack),
        answer => answer?,
    };
    match rows.first().map(|row| rows::get::<Option<&str>>(row, 0)).transpose()?.flatten() {
        Some("committed") => find(session, xid, mark).await,
        Some("aborted") => Ok(Seen::RolledBack),
        Some(_) => {
            session.query(END, &[&xid]).await?;
            Ok(Seen::UnderWay)
        }
        None => Ok(Seen::Forgotten),
    }
}

/// Whether a transaction of this id that was committed is the one that leaves this mark: after a crash it may be another.
async fn find(session: &Session, xid: &str, mark: &Mark<'_>) -> Attempted<Seen> {
    let columns = match mark {
        Mark::Lines(columns) => columns,
        Mark::Row(query, values) => {
            let found = !session.query(query, values).await?.is_empty();
            return Ok(if found { Seen::Committed(Landed::default()) } else { Seen::RolledBack });
        }
    };
    let found = session.query(FIND_LINES, &[&columns.lines, &xid]).await?;
    let Some(found) = found.first().filter(|row| rows::get::<i64>(row, 1).is_ok_and(|count| count == columns.count))
    else {
        return Ok(Seen::RolledBack);
    };
    let specs = session.query(READ_SPECS, &[&columns.taken]).await?;
    let awaited = session.query(READ_OUTBOX, &[&columns.ends]).await?;
    let base = rows::get::<i64>(found, 0)? as u64;
    Ok(Seen::Committed(Landed { base, awaited: read_numbers(&awaited)?, specs: read_specs(&specs)? }))
}
