//! Packing and filling a database file.

use std::path::Path;

use longshore_domain::id::{EventSeq, JobNumber};
use longshore_domain::job::{Job, Question};
use longshore_domain::store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row as Found, params, params_from_iter};
use serde_json::Value;

use super::errors::failed;
use super::rows::{self as read, JOB_COLUMNS};
use super::{SqliteOptions, artifacts, open, queries, questions, schedules};
use crate::columns;
use crate::moving::rows::{self, BYTES};
use crate::moving::{Item, Marks, MovedJob, MovedKey, MovedQuestion, MovingError, Row, Samples, Sink, Supply, Told};

const PACK: &str = "pack a database";
const UNPACK: &str = "fill a database";
/// Lines of history of one job: all of them.
const ALL: usize = i64::MAX as usize;

pub(crate) fn pack(path: &Path, options: &SqliteOptions, sink: Sink<'_>) -> Result<(), MovingError> {
    let lock = open::lock(path)?;
    let connection = open::writer(path, options)?;
    let packed = pack_all(&connection, sink);
    drop(connection);
    drop(lock);
    packed
}

fn pack_all(connection: &Connection, sink: Sink<'_>) -> Result<(), MovingError> {
    let error = |error| MovingError::from(failed(PACK)(error));
    let mut hand = |item| sink(item).map_err(MovingError::Other);
    hand(Item::Marks(marks(connection).map_err(error)?))?;
    for queue in queries::queues(connection).map_err(error)? {
        hand(Item::Queue(queue))?;
    }
    let mut last = 0;
    let sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE number > ?1 ORDER BY number LIMIT 1");
    let next = |after: u64| connection.prepare_cached(&sql)?.query_row([after as i64], read::job).optional();
    while let Some(job) = next(last).map_err(error)? {
        last = job.number.0;
        hand(Item::Job(Box::new(moved(connection, job).map_err(error)?)))?;
    }
    each(connection, "SELECT principal_name, conversation, end_seq FROM announced ORDER BY 1, 2", told, &mut hand)?;
    each(connection, "SELECT likeness, samples FROM duration ORDER BY likeness", samples, &mut hand)?;
    let mut schedules = schedules::all(connection).map_err(error)?.into_iter();
    schedules.try_for_each(|schedule| hand(Item::Schedule(Box::new(schedule))))
}

fn each(
    connection: &Connection,
    sql: &str,
    item: fn(&Found<'_>) -> rusqlite::Result<Item>,
    hand: &mut dyn FnMut(Item) -> Result<(), MovingError>,
) -> Result<(), MovingError> {
    let error = |error| MovingError::from(failed(PACK)(error));
    let mut statement = connection.prepare(sql).map_err(error)?;
    for found in statement.query_map([], item).map_err(error)? {
        hand(found.map_err(error)?)?;
    }
    Ok(())
}

fn told(row: &Found<'_>) -> rusqlite::Result<Item> {
    let end = EventSeq(row.get::<_, i64>(2)? as u64);
    Ok(Item::Chat(Told { owner: row.get(0)?, conversation: row.get(1)?, end }))
}

fn samples(row: &Found<'_>) -> rusqlite::Result<Item> {
    Ok(Item::Samples(Samples::new(row.get(0)?, &columns::samples(row.get_ref(1)?.as_blob()?))))
}

fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    let job = "SELECT max(job_number, ifnull((SELECT max(number) FROM job), 0)) FROM meta";
    let job = connection.query_row(job, [], |row| Ok(JobNumber(row.get::<_, i64>(0)? as u64)))?;
    Ok(Marks { job, event: queries::last_event(connection)? })
}

fn moved(connection: &Connection, job: Job) -> rusqlite::Result<MovedJob> {
    let number = [job.number.0 as i64];
    let mut waiting =
        connection.prepare_cached("SELECT dependent FROM dependency WHERE job = ?1 ORDER BY dependent")?;
    let dependents = waiting.query_map(number, |row| read::number(row, 0))?.collect::<rusqlite::Result<_>>()?;
    let key = "SELECT key, digest FROM key WHERE job = ?1";
    let key = connection
        .prepare_cached(key)?
        .query_row(number, |row| Ok(MovedKey { key: row.get(0)?, digest: artifacts::digest(row, 1)? }));
    let end = "SELECT end_seq FROM job WHERE number = ?1 AND conversation IS NOT NULL";
    let end = connection.prepare_cached(end)?.query_row(number, |row| row.get::<_, Option<i64>>(0)).optional()?;
    let spec = "SELECT spec FROM spec WHERE job = ?1";
    Ok(MovedJob {
        spec: connection.prepare_cached(spec)?.query_row(number, |row| read::json(row, 0))?,
        events: queries::events(connection, EventSeq(0), Some(job.id), ALL)?,
        questions: asked(connection, &job)?,
        key: key.optional()?,
        dependents,
        untold: connection.prepare_cached("SELECT 1 FROM outbox WHERE job = ?1")?.exists(number)?,
        end: end.flatten().map(|seq| EventSeq(seq as u64)),
        artifacts: artifacts::of_job(connection, job.id)?,
        job,
    })
}

fn asked(connection: &Connection, job: &Job) -> rusqlite::Result<Vec<MovedQuestion>> {
    let mut statement = connection.prepare_cached("SELECT number FROM question WHERE job = ?1 ORDER BY number")?;
    let places = statement.query_map([job.number.0 as i64], |row| row.get::<_, i64>(0));
    let places = places?.collect::<rusqlite::Result<Vec<_>>>()?;
    let questions: Vec<Question> = if places.is_empty() { vec![] } else { questions::of_job(connection, job.id)? };
    let placed = places.into_iter().zip(questions);
    Ok(placed.map(|(place, question)| MovedQuestion { place: place as u64, question }).collect())
}

pub(crate) fn unpack(path: &Path, options: &SqliteOptions, supply: Supply<'_>) -> Result<(), MovingError> {
    let lock = open::lock(path)?;
    let mut connection = open::writer(path, options)?;
    let filled = fill(&mut connection, supply);
    let emptied = open::empty_log_at_end(&connection, true);
    drop(connection);
    drop(lock);
    filled.and_then(|()| Ok(emptied?))
}

fn fill(connection: &mut Connection, supply: Supply<'_>) -> Result<(), MovingError> {
    let error = |error| MovingError::from(failed(UNPACK)(error));
    let transaction = connection.transaction().map_err(error)?;
    let Marks { event, .. } = marks(&transaction).map_err(error)?;
    if event.0 > 0 || !schedules::all(&transaction).map_err(error)?.is_empty() {
        return Err(MovingError::Inhabited);
    }
    transaction.execute_batch("DELETE FROM queue; DELETE FROM duration; DELETE FROM announced").map_err(error)?;
    for item in supply {
        let item = item.map_err(MovingError::Other)?;
        put(&transaction, &item).map_err(|error| MovingError::from(not_put(error)))?;
    }
    transaction.commit().map_err(error)
}

/// Why an item could not be written.
#[derive(Debug, thiserror::Error)]
enum NotPut {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn not_put(error: NotPut) -> StoreError {
    match error {
        NotPut::Sqlite(error) => failed(UNPACK)(error),
        NotPut::Json(error) => StoreError::Failed { operation: UNPACK, source: Box::new(error) },
    }
}

fn put(connection: &Connection, item: &Item) -> Result<(), NotPut> {
    match item {
        Item::Marks(marks) => {
            let values = params![marks.job.0 as i64, marks.event.0 as i64];
            connection.execute("UPDATE meta SET job_number = ?1, event_seq = ?2", values)?;
        }
        Item::Queue(queue) => insert(connection, "queue", &rows::queue(queue))?,
        Item::Job(moved) => put_job(connection, moved)?,
        Item::Chat(told) => insert(connection, "announced", &rows::told(told))?,
        Item::Samples(samples) => insert(connection, "duration", &rows::samples(samples))?,
        Item::Schedule(schedule) => insert(connection, "schedule", &rows::schedule(schedule)?)?,
    }
    Ok(())
}

fn put_job(connection: &Connection, moved: &MovedJob) -> Result<(), NotPut> {
    let mut job = rows::job(&moved.job)?;
    job.extend(rows::standing(&moved.job)?);
    job.insert("last_event".into(), moved.events.last().map_or(0, |event| event.seq.0).into());
    job.insert("end_seq".into(), moved.end.map(|end| end.0).into());
    insert(connection, "job", &job)?;
    let spec = params![moved.job.number.0 as i64, moved.spec.get()];
    connection.prepare_cached("INSERT INTO spec (job, spec) VALUES (?1, ?2)")?.execute(spec)?;
    let mut before = Value::Null;
    for mut event in rows::events(moved) {
        event.insert("before".into(), std::mem::replace(&mut before, event["seq"].clone()));
        insert(connection, "event", &event)?;
    }
    for MovedQuestion { place, question } in &moved.questions {
        insert(connection, "question", &rows::question(*place, &moved.job, question)?)?;
    }
    if let Some(key) = rows::key(moved) {
        insert(connection, "key", &key)?;
    }
    for dependency in rows::dependencies(moved) {
        insert(connection, "dependency", &dependency)?;
    }
    for artifact in rows::artifacts(moved) {
        insert(connection, "artifact", &artifact)?;
    }
    if moved.untold {
        connection.execute("INSERT INTO outbox (job) VALUES (?1)", [moved.job.number.0 as i64])?;
    }
    Ok(())
}

fn insert(connection: &Connection, table: &str, row: &Row) -> Result<(), NotPut> {
    let names: Vec<_> = row.keys().map(String::as_str).collect();
    let marks = vec!["?"; names.len()].join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "));
    let values = row.iter().map(|(name, value)| bound(name, value));
    connection.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

fn bound(name: &str, value: &Value) -> rusqlite::types::Value {
    match value {
        Value::Null => rusqlite::types::Value::Null,
        Value::Bool(yes) => i64::from(*yes).into(),
        Value::Number(number) => number.as_i64().into(),
        Value::String(text) if BYTES.contains(&name) => bytes(text).into(),
        Value::String(text) => text.clone().into(),
        other => other.to_string().into(),
    }
}

/// Bytes as [`rows`] writes them: `\\x` and two hexadecimal digits for each.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().skip(2).filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
    let (pairs, _) = digits.as_chunks::<2>();
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}
