//! Schedules, and the jobs that they make.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use longshore_domain::id::ScheduleId;
use longshore_domain::schedule::Schedule;
use longshore_domain::store::{Fire, Fired, ScheduleRecords, StoreError};
use longshore_domain::time::Timestamp;

use super::clock::{PRESENT, present_or};
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::{land, land_before};
use super::node::Node;
use super::port::rows_max;
use super::session::{Session, Step};
use super::submit::{Supply, submit};
use super::turn::Turn;
use super::{PostgresStore, rows};
use crate::columns::written_schedule;
use crate::draft::Draft;

pub(super) const ALL: &str = "SELECT content FROM schedule ORDER BY principal_name, name";
const ADD: &str = "INSERT INTO schedule (id, version, next_at, content, principal_name, name) \
     VALUES ($1, $2::bigint + 1, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id";
const CHANGE: &str = "UPDATE schedule SET version = version + 1, next_at = $3, content = $4 \
     WHERE id = $1 AND version = $2 RETURNING id";
const WRITTEN: &str = "SELECT 1 FROM schedule WHERE xmin = $1::text::xid8::xid AND id = $2 AND version = $3";
const REMOVE: &str = "DELETE FROM schedule WHERE id = $1 RETURNING id";

/// At most `$2` schedules whose time has come.
pub(crate) fn due_sql() -> String {
    let now = present_or("$1");
    format!("SELECT content FROM schedule WHERE next_at <= {now} ORDER BY next_at, id LIMIT $2")
}

fn next_sql() -> String {
    format!("SELECT min(next_at), {} FROM schedule WHERE next_at IS NOT NULL", present_or("$1"))
}

/// Moves a schedule on and gives the time, and a number if a job is to be made.
fn move_on_sql() -> String {
    format!(
        "UPDATE schedule SET version = version + 1, next_at = $3, content = $4 \
         WHERE id = $1 AND version = $2 AND next_at <= {} \
         RETURNING {PRESENT}, CASE WHEN $6::boolean THEN nextval('job_number') END",
        present_or("$5")
    )
}

async fn write(node: &Node, turn: &Turn<'_>, schedule: &Schedule, content: &str) -> Attempted<bool> {
    let (id, version) = (schedule.id.to_string(), schedule.version as i64);
    let next_at = schedule.state.next_at().map(Timestamp::as_millis);
    let written = match version {
        0 => {
            let owner = &schedule.principal.name;
            turn.session.query(ADD, &[&id, &version, &next_at, &content, owner, &schedule.name]).await?
        }
        _ => turn.session.query(CHANGE, &[&id, &version, &next_at, &content]).await?,
    };
    match written.is_empty() {
        false => land_before(node, turn, WRITTEN, vec![&id, &(version + 1)]).await?,
        true => land(node, turn, &Desk::default()).await.map(drop)?,
    }
    Ok(!written.is_empty())
}

async fn remove(node: &Node, turn: &Turn<'_>, id: ScheduleId) -> Attempted<bool> {
    let removed = turn.session.query(REMOVE, &[&id.to_string()]).await?;
    land(node, turn, &Desk::default()).await?;
    Ok(!removed.is_empty())
}

async fn fire(
    node: &Node,
    turn: &Turn<'_>,
    schedule: &Schedule,
    content: &str,
    draft: Option<&Draft>,
    now: Timestamp,
) -> Attempted<Result<Fired, StoreError>> {
    let (id, version) = (schedule.id.to_string(), schedule.version as i64);
    let next_at = schedule.state.next_at().map(Timestamp::as_millis);
    let (sql, said, makes) = (move_on_sql(), node.clock.said(now), draft.is_some());
    let moved = turn.session.query(&sql, &[&id, &version, &next_at, &content, &said, &makes]).await?;
    let (Some(row), Some(draft)) = (moved.first(), draft) else {
        land(node, turn, &Desk::default()).await?;
        return Ok(Ok(if moved.is_empty() { Fired::Not } else { Fired::Skipped }));
    };
    let now = node.clock.tell(now, rows::time(row, 0)?);
    let numbers = HashMap::from([(draft.new.id, rows::number(row, 1)?)]);
    let mut desk = Desk::default();
    let submitted = match submit(node, &mut desk, &mut Supply { numbers, ..Supply::default() }, draft, now)? {
        Ok(submitted) => submitted,
        Err(refused) => return Ok(Err(refused)),
    };
    land(node, turn, &desk).await?;
    Ok(Ok(Fired::Job(Box::new(submitted.job))))
}

async fn list(session: &Session, steps: &[Step<'_>]) -> Attempted<Vec<Schedule>> {
    let answers = session.run(steps).await?;
    answers.iter().flatten().map(|row| rows::json(row, 0)).collect()
}

#[async_trait]
impl ScheduleRecords for PostgresStore {
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError> {
        let pool = self.doors()?.pool;
        pool.read("list schedules", |session| async move { list(session, &[Step::new(ALL, vec![])]).await }.boxed())
            .await
    }

    async fn write_schedule(&self, schedule: Schedule) -> Result<bool, StoreError> {
        const OPERATION: &str = "write a schedule";
        let (pool, content) = (self.doors()?.pool, written_schedule(&schedule, OPERATION)?);
        let (schedule, content) = (&schedule, &content);
        pool.transact(OPERATION, move |node, turn| {
            let (schedule, content) = (schedule.clone(), content.clone());
            async move { write(node, turn, &schedule, &content).await }.boxed()
        })
        .await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Result<bool, StoreError> {
        self.doors()?.pool.transact("remove a schedule", |node, turn| remove(node, turn, id).boxed()).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        let said = pool.node.clock.said(now);
        pool.read("list due schedules", |session| {
            async move { list(session, &[Step::new(&due_sql(), vec![&said, &limit])]).await }.boxed()
        })
        .await
    }

    async fn next_firing(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        self.until("read the next firing", next_sql(), now).await
    }

    async fn fire(&self, fires: Fire, now: Timestamp) -> Result<Fired, StoreError> {
        const OPERATION: &str = "fire a schedule";
        let Fire { schedule, job } = fires;
        let (pool, content) = (self.doors()?.pool, written_schedule(&schedule, OPERATION)?);
        let draft = job.map(Draft::new).transpose();
        let draft = draft.map_err(|error| StoreError::Failed { operation: OPERATION, source: Box::new(error) })?;
        let what = &Arc::new((schedule, content, draft));
        pool.transact(OPERATION, move |node, turn| {
            let what = Arc::clone(what);
            async move { fire(node, turn, &what.0, &what.1, what.2.as_ref(), now).await }.boxed()
        })
        .await?
    }

    async fn present(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let pool = self.doors()?.pool;
        let clock = pool.node.clock;
        let sql = format!("SELECT {PRESENT}");
        let read = pool.read("read the time", |session| {
            let sql = sql.clone();
            async move { rows::present(&session.query(&sql, &[]).await?, 0) }.boxed()
        });
        Ok(clock.tell(now, read.await?))
    }
}
