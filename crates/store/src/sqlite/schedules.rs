//! Schedules, and the jobs that they make.

use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::id::ScheduleId;
use longshore_domain::schedule::Schedule;
use longshore_domain::store::{Fire, Fired, ScheduleRecords, StoreError};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, params};

use super::desk::Desk;
use super::errors::Attempted;
use super::submit::submit;
use super::{SqliteStore, rows};
use crate::columns::written_schedule;
use crate::draft::Draft;

const ALL: &str = "SELECT content FROM schedule ORDER BY principal_name, name";
pub(crate) const DUE_SQL: &str =
    "SELECT content FROM schedule WHERE next_at IS NOT NULL AND next_at <= ?1 ORDER BY next_at, id LIMIT ?2";
pub(crate) const NEXT_SQL: &str = "SELECT min(next_at) FROM schedule WHERE next_at IS NOT NULL";
const ADD: &str = "INSERT INTO schedule (id, version, next_at, content, principal_name, name) \
     VALUES (?1, ?2 + 1, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
const CHANGE: &str =
    "UPDATE schedule SET version = version + 1, next_at = ?3, content = ?4 WHERE id = ?1 AND version = ?2";
const MOVE_ON: &str = "UPDATE schedule SET version = version + 1, next_at = ?3, content = ?4 \
     WHERE id = ?1 AND version = ?2 AND next_at <= ?5";

fn due(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<Schedule>> {
    let mut statement = connection.prepare_cached(DUE_SQL)?;
    statement.query_map(params![now.as_millis(), limit as i64], |row| rows::json(row, 0))?.collect()
}

/// Every schedule, by the name of its principal and its own.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Schedule>> {
    connection.prepare_cached(ALL)?.query_map([], |row| rows::json(row, 0))?.collect()
}

fn next(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let next = connection.prepare_cached(NEXT_SQL)?.query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok(next.map(Timestamp::from_millis))
}

fn write(desk: &Desk<'_>, schedule: &Schedule, content: &str) -> rusqlite::Result<bool> {
    let (id, version) = (schedule.id.to_string(), schedule.version as i64);
    let next_at = schedule.state.next_at().map(Timestamp::as_millis);
    let written = match version {
        0 => {
            let values = params![id, version, next_at, content, schedule.principal.name, schedule.name];
            desk.connection.prepare_cached(ADD)?.execute(values)?
        }
        _ => desk.connection.prepare_cached(CHANGE)?.execute(params![id, version, next_at, content])?,
    };
    Ok(written > 0)
}

fn fire(
    desk: &mut Desk<'_>,
    schedule: &Schedule,
    content: &str,
    draft: Option<Draft>,
    now: Timestamp,
) -> Attempted<Result<Fired, StoreError>> {
    let next_at = schedule.state.next_at().map(Timestamp::as_millis);
    let values = params![schedule.id.to_string(), schedule.version as i64, next_at, content, now.as_millis()];
    if desk.connection.prepare_cached(MOVE_ON)?.execute(values)? == 0 {
        return Ok(Ok(Fired::Not));
    }
    let Some(draft) = draft else { return Ok(Ok(Fired::Skipped)) };
    Ok(submit(desk, draft, now)?.map(|submitted| Fired::Job(Box::new(submitted.job))))
}

#[async_trait]
impl ScheduleRecords for SqliteStore {
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        self.doors()?.readers.call("list schedules", |connection| all(connection)).await
    }

    async fn write_schedule(&self, schedule: Schedule) -> Result<bool, StoreError> {
        const OPERATION: &str = "write a schedule";
        let content = written_schedule(&schedule, OPERATION)?;
        let work = move |desk: &mut Desk<'_>| Ok(write(desk, &schedule, &content)?);
        self.doors()?.writer.call(OPERATION, work).await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Result<bool, StoreError> {
        let work = move |desk: &mut Desk<'_>| {
            let sql = "DELETE FROM schedule WHERE id = ?1";
            Ok(desk.connection.prepare_cached(sql)?.execute([id.to_string()])? > 0)
        };
        self.doors()?.writer.call("remove a schedule", work).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        self.doors()?.readers.call("list due schedules", move |connection| due(connection, now, limit)).await
    }

    async fn next_firing(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let next = self.doors()?.readers.row("read the next firing", next).await?;
        Ok(next.map(|at| at.since(now)))
    }

    async fn fire(&self, fires: Fire, now: Timestamp) -> Result<Fired, StoreError> {
        const OPERATION: &str = "fire a schedule";
        let Fire { schedule, job } = fires;
        let content = written_schedule(&schedule, OPERATION)?;
        let draft = job.map(Draft::new).transpose();
        let draft = draft.map_err(|error| StoreError::Failed { operation: OPERATION, source: Box::new(error) })?;
        self.doors()?.writer.call(OPERATION, move |desk| fire(desk, &schedule, &content, draft, now)).await?
    }

    async fn present(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(now)
    }
}
