//! Packing and filling a schema.

use std::collections::HashMap;

use longshore_domain::id::{EventSeq, JobNumber};
use longshore_domain::job::Job;
use longshore_domain::store::Queue;
use serde_json::Value;
use tokio_postgres::Row as Found;

use super::clock::PRESENT;
use super::errors::{Attempted, Trouble, failed};
use super::landing::LAST_EVENT;
use super::rows::{self as read, EVENT_COLUMNS, JOB_COLUMNS, JOB_WIDTH, QUESTION_COLUMNS};
use super::session::{Session, Step};
use super::{PostgresOptions, artifacts, connector, prepare, schedules};
use crate::columns;
use crate::moving::rows;
use crate::moving::{Item, Marks, MovedJob, MovedKey, MovedQuestion, MovingError, Row, Samples, Sink, Supply, Told};

const PACK: &str = "pack a database";
const UNPACK: &str = "fill a database";
/// Jobs read at once.
const JOBS_AT_ONCE: i64 = 200;
/// Rows are sent once there are about so many bytes of them.
const BYTES_AT_ONCE: usize = 2 * 1024 * 1024;

const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const JOB_MARK: &str = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM job_number";
const QUEUES: &str = "SELECT name, concurrency FROM queue ORDER BY name";
const TOLD: &str = "SELECT principal_name, conversation, end_seq FROM announced ORDER BY 1, 2";
const DURATIONS: &str = "SELECT likeness, samples FROM duration ORDER BY likeness";
const DEPENDENTS: &str = "SELECT job, dependent FROM dependency WHERE job = ANY($1) ORDER BY job, dependent";
const UNTOLD: &str = "SELECT job FROM outbox WHERE job = ANY($1)";
const KEYS: &str = "SELECT job, key, digest FROM key WHERE job = ANY($1)";
const ENDS: &str = "SELECT job, seq FROM ended WHERE job = ANY($1)";
const ARTIFACTS: &str = "SELECT job, name, digest, bytes, made_at FROM artifact WHERE job = ANY($1) ORDER BY job, name";
const MOVE_IN: &str =
    "LOCK TABLE job IN EXCLUSIVE MODE; DELETE FROM queue; DELETE FROM duration; DELETE FROM announced";

fn jobs_sql() -> String {
    format!(
        "SELECT {JOB_COLUMNS}, j.spec FROM job AS j JOIN standing AS s ON s.job = j.number WHERE j.number > $1 \
         ORDER BY j.number LIMIT $2"
    )
}

fn events_sql() -> String {
    format!(
        "SELECT {EVENT_COLUMNS} FROM event AS e JOIN job AS j ON j.number = e.job WHERE e.job = ANY($1) \
         ORDER BY e.job, e.seq"
    )
}

fn questions_sql() -> String {
    format!(
        "SELECT q.job, q.number, {QUESTION_COLUMNS} FROM question AS q JOIN job AS j ON j.number = q.job \
         WHERE q.job = ANY($1) ORDER BY q.job, q.number"
    )
}

pub(crate) async fn pack(options: &PostgresOptions, sink: Sink<'_>) -> Result<(), MovingError> {
    let error = |trouble| MovingError::from(failed(PACK, trouble));
    let session = enter(options).await.map_err(error)?;
    session.execute(SNAPSHOT).await.map_err(error)?;
    let mut hand = |item| sink(item).map_err(MovingError::Other);
    hand(Item::Marks(marks(&session).await.map_err(error)?))?;
    for row in session.query(QUEUES, &[]).await.map_err(error)? {
        hand(Item::Queue(queue(&row).map_err(error)?))?;
    }
    let mut last = JobNumber(0);
    loop {
        let jobs = jobs(&session, last).await.map_err(error)?;
        let Some(newest) = jobs.last() else { break };
        last = newest.job.number;
        jobs.into_iter().try_for_each(|job| hand(Item::Job(Box::new(job))))?;
    }
    for row in session.query(TOLD, &[]).await.map_err(error)? {
        hand(Item::Chat(told(&row).map_err(error)?))?;
    }
    for row in session.query(DURATIONS, &[]).await.map_err(error)? {
        hand(Item::Samples(samples(&row).map_err(error)?))?;
    }
    for row in session.query(schedules::ALL, &[]).await.map_err(error)? {
        hand(Item::Schedule(read::json(&row, 0).map_err(error)?))?;
    }
    session.execute("COMMIT").await.map_err(error)
}

/// A connection to the newest schema.
async fn enter(options: &PostgresOptions) -> Attempted<Session> {
    let (session, _) = prepare(&connector(options)?).await?;
    // It waits for files, and its statements are as long as they are.
    session.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0").await?;
    Ok(session)
}

fn seq(row: &Found, at: usize) -> Attempted<EventSeq> {
    Ok(EventSeq(read::get::<i64>(row, at)? as u64))
}

fn queue(row: &Found) -> Attempted<Queue> {
    Ok(Queue { name: read::queue_name(row, 0)?, concurrency: read::unsigned(row, 1)? })
}

fn told(row: &Found) -> Attempted<Told> {
    Ok(Told { owner: read::get(row, 0)?, conversation: read::get(row, 1)?, end: seq(row, 2)? })
}

fn samples(row: &Found) -> Attempted<Samples> {
    Ok(Samples::new(read::get(row, 0)?, &columns::samples(read::get(row, 1)?)))
}

async fn marks(session: &Session) -> Attempted<Marks> {
    let nothing = || Trouble::Other("the schema has no marks".into());
    let job = session.query(JOB_MARK, &[]).await?;
    let event = session.query(LAST_EVENT, &[]).await?;
    let job = read::number(job.first().ok_or_else(nothing)?, 0)?;
    Ok(Marks { job, event: seq(event.first().ok_or_else(nothing)?, 0)? })
}

/// The next jobs after one, with all that belongs to them.
async fn jobs(session: &Session, after: JobNumber) -> Attempted<Vec<MovedJob>> {
    let found = session.query(&jobs_sql(), &[&(after.0 as i64), &JOBS_AT_ONCE]).await?;
    let mut jobs = found.iter().map(bare).collect::<Attempted<Vec<_>>>()?;
    let numbers: Vec<_> = jobs.iter().map(|moved| moved.job.number.0 as i64).collect();
    let (events, questions) = (events_sql(), questions_sql());
    let steps = [&events, &questions, DEPENDENTS, UNTOLD, KEYS, ENDS, ARTIFACTS];
    let answers = session.run(&steps.map(|sql| Step::new(sql, vec![&numbers]))).await?;
    let [events, questions, dependents, untold, keys, ends, artifacts] = &answers[..] else {
        return Err(Trouble::Other("a step gave no answer".into()));
    };
    let mut places: HashMap<_, _> = jobs.iter_mut().map(|moved| (moved.job.number, moved)).collect();
    let mut add = |rows: &[Found], at: usize, put: fn(&mut MovedJob, &Found) -> Attempted<()>| {
        rows.iter().try_for_each(|row| match places.get_mut(&read::number(row, at)?) {
            Some(moved) => put(moved, row),
            None => Ok(()),
        })
    };
    add(events, 2, |moved, row| {
        moved.events.push(read::event(row)?);
        Ok(())
    })?;
    add(questions, 0, |moved, row| {
        moved.questions.push(question(row)?);
        Ok(())
    })?;
    add(dependents, 0, |moved, row| {
        moved.dependents.push(read::number(row, 1)?);
        Ok(())
    })?;
    add(untold, 0, |moved, _| {
        moved.untold = true;
        Ok(())
    })?;
    add(keys, 0, |moved, row| {
        moved.key = Some(key(row)?);
        Ok(())
    })?;
    add(ends, 0, |moved, row| {
        moved.end = Some(seq(row, 1)?);
        Ok(())
    })?;
    add(artifacts, 0, |moved, row| {
        moved.artifacts.push(artifacts::artifact(row, 1)?);
        Ok(())
    })?;
    Ok(jobs)
}

fn bare(row: &Found) -> Attempted<MovedJob> {
    Ok(MovedJob {
        job: read::job(row)?,
        spec: read::json(row, JOB_WIDTH)?,
        events: vec![],
        questions: vec![],
        key: None,
        dependents: vec![],
        untold: false,
        end: None,
        artifacts: vec![],
    })
}

fn question(row: &Found) -> Attempted<MovedQuestion> {
    Ok(MovedQuestion { place: read::get::<i64>(row, 1)? as u64, question: read::question_from(row, 2)? })
}

fn key(row: &Found) -> Attempted<MovedKey> {
    Ok(MovedKey { key: read::get(row, 1)?, digest: artifacts::digest(row, 2)? })
}

pub(crate) async fn unpack(options: &PostgresOptions, supply: Supply<'_>) -> Result<(), MovingError> {
    let error = |trouble| MovingError::from(failed(UNPACK, trouble));
    let session = enter(options).await.map_err(error)?;
    session.execute("BEGIN").await.map_err(error)?;
    session.execute(MOVE_IN).await.map_err(error)?;
    let schedules = session.query(schedules::ALL, &[]).await.map_err(error)?;
    if marks(&session).await.map_err(error)?.event.0 > 0 || !schedules.is_empty() {
        return Err(MovingError::Inhabited);
    }
    if let Some(node) = served_by(&session).await.map_err(error)? {
        return Err(MovingError::Served { node });
    }
    let mut load = Load::default();
    for item in supply {
        load.add(&item.map_err(MovingError::Other)?).map_err(|json| error(Trouble::Other(json.into())))?;
        if load.bytes >= BYTES_AT_ONCE {
            load.send(&session).await.map_err(error)?;
        }
    }
    load.send(&session).await.map_err(error)?;
    load.set_marks(&session).await.map_err(error)?;
    session.execute("COMMIT").await.map_err(error)
}

/// The name of a node that serves the schema at present.
async fn served_by(session: &Session) -> Attempted<Option<String>> {
    let sql = format!("SELECT name FROM node WHERE alive_until > {PRESENT} ORDER BY name LIMIT 1");
    session.query(&sql, &[]).await?.first().map(|row| read::get(row, 0)).transpose()
}

/// Rows on their way to the server.
#[derive(Default)]
struct Load {
    tables: HashMap<&'static str, Vec<Value>>,
    bytes: usize,
    marks: Marks,
}

impl Load {
    fn add(&mut self, item: &Item) -> serde_json::Result<()> {
        match item {
            Item::Marks(marks) => self.marks = *marks,
            Item::Queue(queue) => self.push("queue", rows::queue(queue)),
            Item::Job(moved) => self.add_job(moved)?,
            Item::Chat(told) => self.push("announced", rows::told(told)),
            Item::Samples(samples) => self.push("duration", rows::samples(samples)),
            Item::Schedule(schedule) => self.push("schedule", rows::schedule(schedule)?),
        }
        Ok(())
    }

    fn add_job(&mut self, moved: &MovedJob) -> serde_json::Result<()> {
        let Job { number, principal, conversation, .. } = &moved.job;
        let mut job = rows::job(&moved.job)?;
        job.insert("spec".into(), moved.spec.get().into());
        self.push("job", job);
        let mut standing = rows::standing(&moved.job)?;
        standing.insert("job".into(), number.0.into());
        standing.insert("holder".into(), moved.job.state.lease().map(|lease| lease.holder.to_string()).into());
        self.push("standing", standing);
        rows::events(moved).for_each(|row| self.push("event", row));
        for MovedQuestion { place, question } in &moved.questions {
            self.push("question", rows::question(*place, &moved.job, question)?);
        }
        rows::key(moved).into_iter().for_each(|row| self.push("key", row));
        rows::dependencies(moved).for_each(|row| self.push("dependency", row));
        rows::artifacts(moved).for_each(|row| self.push("artifact", row));
        if moved.untold {
            self.push("outbox", Row::from_iter([("job".to_owned(), number.0.into())]));
        }
        if let (Some(end), Some(chat)) = (moved.end, conversation) {
            let names = ["principal_name", "conversation", "seq", "job"].map(str::to_owned);
            let values = [principal.name.as_str().into(), chat.as_str().into(), end.0.into(), number.0.into()];
            self.push("ended", names.into_iter().zip(values).collect());
        }
        Ok(())
    }

    fn push(&mut self, table: &'static str, row: Row) {
        self.bytes += row.values().map(|value| value.as_str().map_or(16, str::len)).sum::<usize>();
        self.tables.entry(table).or_default().push(Value::Object(row));
    }

    async fn send(&mut self, session: &Session) -> Attempted<()> {
        self.bytes = 0;
        for (table, rows) in self.tables.drain() {
            // Places of questions are given by the server unless it is told not to.
            let sql = format!(
                "INSERT INTO {table} OVERRIDING SYSTEM VALUE \
                 SELECT * FROM json_populate_recordset(NULL::{table}, $1::text::json)"
            );
            session.query(&sql, &[&Value::Array(rows).to_string()]).await?;
        }
        Ok(())
    }

    async fn set_marks(&self, session: &Session) -> Attempted<()> {
        let (job, event) = (self.marks.job.0 as i64, self.marks.event.0 as i64);
        session.query("SELECT setval('job_number', greatest($1::bigint, 1), $1 > 0)", &[&job]).await?;
        session.query("SELECT setval('event_seq', greatest($1::bigint, 1), $1 > 0)", &[&event]).await?;
        session.query("UPDATE meta SET event_seq = $1", &[&event]).await?;
        let places = "SELECT setval(pg_get_serial_sequence('question', 'number'), greatest(max(number), 1), \
                      max(number) IS NOT NULL) FROM question";
        session.query(places, &[]).await.map(drop)
    }
}
