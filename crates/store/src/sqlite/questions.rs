//! What jobs ask, and what was answered.

use longshore_domain::id::{AttemptNumber, JobId, QuestionId};
use longshore_domain::job::{Answer, Effect, Event, Job, Question, QuestionKind};
use longshore_domain::store::{BoxedError, Change, QuestionFilter};
use longshore_domain::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::rows;

/// The columns that [`question`] reads, in its order, of `question AS q` and `job AS j`.
const COLUMNS: &str =
    "q.id, j.id, q.attempt, q.key, q.kind, q.prompt, q.schema, q.asked_at, q.deadline_at, q.closed_at, q.answer";
pub(crate) const OF_JOB_FROM: &str =
    "FROM job AS j CROSS JOIN question AS q ON q.job = j.number WHERE j.id = ?1 ORDER BY q.number";
pub(crate) const NEXT_DEADLINE_SQL: &str = "SELECT min(deadline_at) FROM question INDEXED BY question_deadline \
     WHERE closed_at IS NULL AND deadline_at IS NOT NULL";
pub(crate) const OVERDUE_SQL: &str = "SELECT job, id FROM question INDEXED BY question_deadline \
     WHERE closed_at IS NULL AND deadline_at IS NOT NULL AND deadline_at <= ?1 ORDER BY deadline_at, number LIMIT ?2";

/// Whether one of the questions that `effects` ask has a name or a key that was used before.
pub(super) fn any_taken(connection: &Connection, job: &Job, effects: &[Effect]) -> Attempted<bool> {
    for effect in effects {
        let Effect::Ask(question) = effect else { continue };
        let mut statement = connection.prepare_cached(
            "SELECT 1 FROM question WHERE id = ?1 \
             UNION ALL SELECT 1 FROM question WHERE job = ?2 AND attempt = ?3 AND key = ?4",
        )?;
        let number = job.number.0 as i64;
        if statement.exists(params![question.id.to_string(), number, question.attempt.0, question.key])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a question that is open from now on.
pub(super) fn insert(connection: &Connection, job: &Job, question: &Question) -> Attempted<()> {
    let sql = "INSERT INTO question (id, job, attempt, key, kind, prompt, schema, asked_at, deadline_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.execute(params![
        question.id.to_string(),
        job.number.0 as i64,
        question.attempt.0,
        question.key,
        question.kind.as_str(),
        question.prompt,
        question.schema.as_ref().map(encoded).transpose()?,
        question.asked_at.as_millis(),
        question.deadline_at.map(Timestamp::as_millis),
    ])?;
    Ok(())
}

/// Closes a question that is open.
pub(super) fn close(
    connection: &Connection,
    question: QuestionId,
    answer: Option<&Answer>,
    now: Timestamp,
) -> Attempted<()> {
    let sql = "UPDATE question SET closed_at = ?2, answer = ?3 WHERE id = ?1 AND closed_at IS NULL";
    let answer = answer.map(encoded).transpose()?;
    connection.prepare_cached(sql)?.execute(params![question.to_string(), now.as_millis(), answer])?;
    Ok(())
}

/// Lets up to `limit` questions run out whose deadline has passed.
pub(super) fn expire(desk: &mut Desk<'_>, now: Timestamp, limit: usize) -> Attempted<Vec<Change>> {
    let mut statement = desk.connection.prepare_cached(OVERDUE_SQL)?;
    let overdue = |row: &Row<'_>| Ok((rows::number(row, 0)?, rows::parse(row, 1)?));
    let found = statement.query_map(params![now.as_millis(), limit as i64], overdue)?;
    let overdue = found.collect::<rusqlite::Result<Vec<_>>>()?;
    drop(statement);
    let mut changes = Vec::with_capacity(overdue.len());
    for (number, question) in overdue {
        let job = desk.take(number)?.ok_or(Trouble::Missing(number))?;
        changes.extend(desk.change(job, Event::Unanswered { question }, now)?.ok());
    }
    Ok(changes)
}

/// All questions of a job, in the order of asking.
pub(super) fn of_job(connection: &Connection, job: JobId) -> rusqlite::Result<Vec<Question>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} {OF_JOB_FROM}"))?;
    statement.query_map([job.to_string()], question)?.collect()
}

/// Up to `limit` open questions that `filter` lets through, oldest first.
pub(super) fn open(connection: &Connection, filter: &QuestionFilter, limit: usize) -> rusqlite::Result<Vec<Question>> {
    let (sql, mut values) = open_query(filter);
    values.push(Value::from(limit as i64));
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_map(params_from_iter(values), question)?.collect()
}

pub(crate) fn open_query(filter: &QuestionFilter) -> (String, Vec<Value>) {
    let mut values = vec![];
    let mut sql = format!(
        "SELECT {COLUMNS} FROM question AS q INDEXED BY question_open CROSS JOIN job AS j ON j.number = q.job \
         WHERE q.closed_at IS NULL"
    );
    if let Some(after) = filter.after {
        sql.push_str(" AND q.number > ifnull((SELECT number FROM question WHERE id = ?), 0)");
        values.push(after.to_string().into());
    }
    if let Some(owner) = &filter.owner {
        sql.push_str(" AND j.principal_name = ?");
        values.push(owner.clone().into());
    }
    sql.push_str(" ORDER BY q.number LIMIT ?");
    (sql, values)
}

pub(super) fn next_deadline(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let at: Option<i64> = connection.prepare_cached(NEXT_DEADLINE_SQL)?.query_row([], |row| row.get(0))?;
    Ok(at.map(Timestamp::from_millis))
}

fn question(row: &Row<'_>) -> rusqlite::Result<Question> {
    Ok(Question {
        id: rows::parse(row, 0)?,
        job: rows::parse(row, 1)?,
        attempt: AttemptNumber(row.get(2)?),
        key: row.get(3)?,
        kind: rows::named(row, 4, QuestionKind::parse)?,
        prompt: row.get(5)?,
        schema: rows::json_or_null(row, 6)?,
        asked_at: Timestamp::from_millis(row.get(7)?),
        deadline_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_millis),
        closed_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_millis),
        answer: rows::json_or_null(row, 10)?,
    })
}

fn encoded(value: &impl Serialize) -> Attempted<String> {
    let encoded = serde_json::to_string(value);
    Ok(encoded.map_err(|error| rusqlite::Error::ToSqlConversionFailure(BoxedError::from(error)))?)
}
