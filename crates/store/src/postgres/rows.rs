//! Between rows and the domain's types.

use std::str::FromStr;

use longshore_domain::access::{Conversation, Principal};
use longshore_domain::id::{AttemptNumber, EventSeq, JobNumber};
use longshore_domain::job::{EventKind, EventRecord, Job, JobKind, Question, QuestionKind, QueueName, StateName};
use longshore_domain::store::BoxedError;
use longshore_domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::errors::{Attempted, Trouble};
use crate::columns;

/// The columns that [`job`] reads, in its order, of `job AS j` and `standing AS s`.
pub(super) const JOB_COLUMNS: &str = "j.number, j.id, s.version, s.content, s.attempt, s.failures, s.queue, \
     s.priority, j.principal_class, j.principal_name, j.conversation, j.kind, j.name, j.title, j.retry, j.likeness, \
     j.retry_of, j.submitted_at, s.started_at, s.changed_at, s.pinned, s.output_expired, j.requires";
/// How many they are: what a query adds to them begins here.
pub(super) const JOB_WIDTH: usize = 23;

/// Reads a job from [`JOB_COLUMNS`].
pub(super) fn job(row: &Row) -> Attempted<Job> {
    Ok(Job {
        number: number(row, 0)?,
        id: parse(row, 1)?,
        version: get::<i64>(row, 2)? as u64,
        state: json(row, 3)?,
        attempt: AttemptNumber(unsigned(row, 4)?),
        failures: unsigned(row, 5)?,
        queue: queue_name(row, 6)?,
        priority: get(row, 7)?,
        principal: Principal { class: named(row, 8, columns::class_parse)?, name: get(row, 9)? },
        conversation: get::<Option<&str>>(row, 10)?.map(Conversation::new),
        kind: named(row, 11, JobKind::parse)?,
        name: get(row, 12)?,
        title: get(row, 13)?,
        retry: json(row, 14)?,
        likeness: get::<i64>(row, 15)? as u64,
        retry_of: get::<Option<&str>>(row, 16)?.map(|_| parse(row, 16)).transpose()?,
        submitted_at: time(row, 17)?,
        started_at: time_or_null(row, 18)?,
        changed_at: time(row, 19)?,
        pinned: get(row, 20)?,
        output_expired: get(row, 21)?,
        requires: get::<Option<&str>>(row, 22)?.map(|_| parse(row, 22)).transpose()?.unwrap_or_default(),
    })
}

/// Reads jobs from [`JOB_COLUMNS`].
pub(super) fn jobs(rows: &[Row]) -> Attempted<Vec<Job>> {
    rows.iter().map(job).collect()
}

/// The columns that [`event`] reads, in its order, of `event AS e` and `job AS j`.
pub(super) const EVENT_COLUMNS: &str = "e.seq, j.id, e.job, e.at, e.kind, e.state, e.attempt, e.detail";

/// Reads a line of history from [`EVENT_COLUMNS`].
pub(super) fn event(row: &Row) -> Attempted<EventRecord> {
    Ok(EventRecord {
        seq: EventSeq(get::<i64>(row, 0)? as u64),
        job: parse(row, 1)?,
        number: number(row, 2)?,
        at: time(row, 3)?,
        kind: named(row, 4, EventKind::parse)?,
        state: named(row, 5, StateName::parse)?,
        attempt: AttemptNumber(unsigned(row, 6)?),
        detail: get(row, 7)?,
    })
}

/// The columns that [`question`] reads, in its order, of `question AS q` and `job AS j`.
pub(super) const QUESTION_COLUMNS: &str =
    "q.id, j.id, q.attempt, q.key, q.kind, q.prompt, q.schema, q.asked_at, q.deadline_at, q.closed_at, q.answer";

/// Reads a question from [`QUESTION_COLUMNS`].
pub(super) fn question(row: &Row) -> Attempted<Question> {
    question_from(row, 0)
}

/// The same where those columns begin later.
pub(super) fn question_from(row: &Row, first: usize) -> Attempted<Question> {
    Ok(Question {
        id: parse(row, first)?,
        job: parse(row, first + 1)?,
        attempt: AttemptNumber(unsigned(row, first + 2)?),
        key: get(row, first + 3)?,
        kind: named(row, first + 4, QuestionKind::parse)?,
        prompt: get(row, first + 5)?,
        schema: json_or_null(row, first + 6)?,
        asked_at: time(row, first + 7)?,
        deadline_at: time_or_null(row, first + 8)?,
        closed_at: time_or_null(row, first + 9)?,
        answer: json_or_null(row, first + 10)?,
    })
}

pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Attempted<T> {
    row.try_get(at).map_err(|error| unreadable(at, error))
}

pub(super) fn number(row: &Row, at: usize) -> Attempted<JobNumber> {
    Ok(JobNumber(get::<i64>(row, at)? as u64))
}

pub(super) fn unsigned(row: &Row, at: usize) -> Attempted<u32> {
    u32::try_from(get::<i64>(row, at)?).map_err(|error| unreadable(at, error))
}

pub(super) fn queue_name(row: &Row, at: usize) -> Attempted<QueueName> {
    QueueName::try_from(get::<String>(row, at)?).map_err(|error| unreadable(at, error))
}

pub(super) fn parse<T>(row: &Row, at: usize) -> Attempted<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    get::<&str>(row, at)?.parse().map_err(|error: T::Err| unreadable(at, error))
}

pub(super) fn named<T>(row: &Row, at: usize, read: fn(&str) -> Option<T>) -> Attempted<T> {
    let name = get::<&str>(row, at)?;
    read(name).ok_or_else(|| unreadable(at, format!("unknown name `{name}`")))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row, at: usize) -> Attempted<T> {
    serde_json::from_str(get(row, at)?).map_err(|error| unreadable(at, error))
}

fn json_or_null<T: DeserializeOwned>(row: &Row, at: usize) -> Attempted<Option<T>> {
    get::<Option<&str>>(row, at)?.map(|_| json(row, at)).transpose()
}

/// What a query for the present alone gave.
pub(super) fn present(rows: &[Row], at: usize) -> Attempted<Timestamp> {
    let row = rows.first().ok_or_else(|| Trouble::Other("the database did not tell the time".into()))?;
    time(row, at)
}

pub(super) fn time(row: &Row, at: usize) -> Attempted<Timestamp> {
    Ok(Timestamp::from_millis(get(row, at)?))
}

pub(super) fn time_or_null(row: &Row, at: usize) -> Attempted<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, at)?.map(Timestamp::from_millis))
}

fn unreadable(column: usize, source: impl Into<BoxedError>) -> Trouble {
    Trouble::Unreadable { column, source: source.into() }
}

/// A value as its JSON column holds it.
pub(super) fn encoded(value: &impl Serialize) -> Attempted<String> {
    serde_json::to_string(value).map_err(|error| Trouble::Other(error.into()))
}
