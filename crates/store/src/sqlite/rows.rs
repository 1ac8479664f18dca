//! Between rows and the domain's types.

use std::str::FromStr;

use longshore_domain::access::{Conversation, Principal};
use longshore_domain::id::{AttemptNumber, EventSeq, JobNumber};
use longshore_domain::job::{EventKind, EventRecord, Job, JobKind, QueueName, StateName};
use longshore_domain::label::Labels;
use longshore_domain::store::BoxedError;
use longshore_domain::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use serde::de::DeserializeOwned;

use crate::columns;

/// The columns that [`job`] reads, in its order.
pub(crate) const JOB_COLUMNS: &str = "number, id, version, content, attempt, failures, queue, priority, \
     principal_class, principal_name, conversation, kind, name, title, retry, likeness, retry_of, submitted_at, \
     started_at, changed_at, pinned, output_expired, requires";

/// Places of `id`, `name` and `title` among [`JOB_COLUMNS`].
pub(super) const ID_COLUMN: usize = 1;
pub(super) const NAME_COLUMN: usize = 12;
pub(super) const TITLE_COLUMN: usize = 13;

/// Reads a job from [`JOB_COLUMNS`].
pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        number: number(row, 0)?,
        id: parse(row, 1)?,
        version: row.get::<_, i64>(2)? as u64,
        state: json(row, 3)?,
        attempt: AttemptNumber(row.get(4)?),
        failures: row.get(5)?,
        queue: queue_name(row, 6)?,
        priority: row.get(7)?,
        principal: Principal { class: named(row, 8, columns::class_parse)?, name: row.get(9)? },
        conversation: text(row, 10)?.map(Conversation::new),
        kind: named(row, 11, JobKind::parse)?,
        name: row.get(12)?,
        title: row.get(13)?,
        retry: json(row, 14)?,
        likeness: row.get::<_, i64>(15)? as u64,
        retry_of: text(row, 16)?.map(str::parse).transpose().map_err(|error| unreadable(16, error))?,
        submitted_at: Timestamp::from_millis(row.get(17)?),
        started_at: row.get::<_, Option<i64>>(18)?.map(Timestamp::from_millis),
        changed_at: Timestamp::from_millis(row.get(19)?),
        pinned: row.get(20)?,
        output_expired: row.get(21)?,
        requires: match text(row, 22)? {
            Some(labels) => labels.parse().map_err(|error| unreadable(22, error))?,
            None => Labels::default(),
        },
    })
}

/// The columns that [`event`] reads, in its order, of `event AS e` and `job AS j`.
pub(crate) const EVENT_COLUMNS: &str = "e.seq, j.id, e.job, e.at, e.kind, e.state, e.attempt, e.detail";

/// Reads a line of history from [`EVENT_COLUMNS`].
pub(super) fn event(row: &Row<'_>) -> rusqlite::Result<EventRecord> {
    Ok(EventRecord {
        seq: EventSeq(row.get::<_, i64>(0)? as u64),
        job: parse(row, 1)?,
        number: number(row, 2)?,
        at: Timestamp::from_millis(row.get(3)?),
        kind: named(row, 4, EventKind::parse)?,
        state: named(row, 5, StateName::parse)?,
        attempt: AttemptNumber(row.get(6)?),
        detail: row.get(7)?,
    })
}

pub(super) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<JobNumber> {
    Ok(JobNumber(row.get::<_, i64>(at)? as u64))
}

pub(super) fn queue_name(row: &Row<'_>, at: usize) -> rusqlite::Result<QueueName> {
    QueueName::try_from(row.get::<_, String>(at)?).map_err(|error| unreadable(at, error))
}

pub(super) fn parse<T>(row: &Row<'_>, at: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.get_ref(at)?.as_str()?.parse().map_err(|error: T::Err| unreadable(at, error))
}

pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(at)?.as_str()?).map_err(|error| unreadable(at, error))
}

pub(super) fn json_or_null<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    text(row, at)?.map(|_| json(row, at)).transpose()
}

pub(super) fn named<T>(row: &Row<'_>, at: usize, read: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let name = row.get_ref(at)?.as_str()?;
    read(name).ok_or_else(|| unreadable(at, format!("unknown name `{name}`")))
}

fn text<'r>(row: &'r Row<'_>, at: usize) -> rusqlite::Result<Option<&'r str>> {
    Ok(row.get_ref(at)?.as_str_or_null()?)
}

pub(super) fn unreadable(at: usize, error: impl Into<BoxedError>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.into())
}
