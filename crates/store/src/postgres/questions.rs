//! What jobs ask, and what was answered.

use longshore_domain::id::JobId;
use longshore_domain::job::{Event, Question};
use longshore_domain::store::{Change, QuestionFilter};
use longshore_domain::time::Timestamp;
use tokio_postgres::Row;

use super::clock::present_or;
use super::desk::Desk;
use super::errors::Attempted;
use super::landing::land_changes;
use super::node::Node;
use super::rows::{self, QUESTION_COLUMNS};
use super::session::Session;
use super::turn::Turn;

/// At most `$2` open questions whose deadline has passed.
pub(crate) fn overdue_sql() -> String {
    let now = present_or("$1");
    format!(
        "SELECT job, id FROM question WHERE closed_at IS NULL AND deadline_at <= {now} \
         ORDER BY deadline_at, number LIMIT $2"
    )
}

/// Lets up to `limit` questions run out whose deadline has passed.
pub(super) async fn expire(node: &Node, turn: &Turn<'_>, now: Timestamp, limit: i64) -> Attempted<Vec<Change>> {
    let overdue = turn.session.query(&overdue_sql(), &[&node.clock.said(now), &limit]).await?;
    let overdue = overdue.iter().map(|row| Ok((rows::number(row, 0)?, rows::parse(row, 1)?)));
    let overdue = overdue.collect::<Attempted<Vec<_>>>()?;
    let locked = turn.lock_numbers(overdue.iter().map(|(number, _)| *number)).await?;
    let now = locked.now(node, now);
    let mut desk = Desk::of(locked.jobs);
    let mut changes = vec![];
    for (number, question) in overdue {
        // It may have been answered, or removed with its job, before the job was locked.
        if desk.has(number) {
            changes.extend(desk.change(number, Event::Unanswered { question }, now)?.ok());
        }
    }
    land_changes(node, turn, &desk, changes).await
}

/// All questions of a job, in the order of asking.
pub(super) async fn of_job(session: &Session, job: JobId) -> Attempted<Vec<Question>> {
    let sql = format!(
        "SELECT {QUESTION_COLUMNS} FROM job AS j JOIN question AS q ON q.job = j.number WHERE j.id = $1 ORDER BY q.number"
    );
    read(&session.query(&sql, &[&job.to_string()]).await?)
}

/// Up to `limit` open questions that `filter` lets through, oldest first.
pub(super) async fn open(session: &Session, filter: &QuestionFilter, limit: i64) -> Attempted<Vec<Question>> {
    let sql = format!(
        "SELECT {QUESTION_COLUMNS} FROM question AS q JOIN job AS j ON j.number = q.job WHERE q.closed_at IS NULL \
         AND q.number > coalesce((SELECT number FROM question WHERE id = $1), 0) \
         AND ($2::text IS NULL OR j.principal_name = $2) ORDER BY q.number LIMIT $3"
    );
    let after = filter.after.map(|after| after.to_string());
    read(&session.query(&sql, &[&after, &filter.owner, &limit]).await?)
}

fn read(rows: &[Row]) -> Attempted<Vec<Question>> {
    rows.iter().map(rows::question).collect()
}
