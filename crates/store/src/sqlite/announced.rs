//! Which ends the chats of jobs were told.

use longshore_domain::job::Job;
use longshore_domain::store::{Notice, Unannounced};
use rusqlite::{Connection, OptionalExtension, params};

use super::desk::Desk;
use super::errors::Attempted;
use super::rows::{self, JOB_COLUMNS};

/// The jobs of chat `?1` of principal `?2` that ended after `?3`, newest end first.
pub(crate) fn ends_sql() -> String {
    format!(
        "SELECT {JOB_COLUMNS} FROM job INDEXED BY job_end \
         WHERE conversation = ?1 AND principal_name = ?2 AND end_seq > ?3 ORDER BY end_seq DESC"
    )
}

pub(crate) const NEWEST_END_SQL: &str = "SELECT max(end_seq) FROM job INDEXED BY job_end \
     WHERE conversation = ?1 AND principal_name = ?2 AND end_seq > ?3";

/// What `notice` asks for, without announcing it.
pub(super) fn read(connection: &Connection, notice: &Notice) -> rusqlite::Result<Unannounced> {
    let mark = mark(connection, notice)?;
    let mut statement = connection.prepare_cached(&ends_sql())?;
    let mut found = statement.query(params![notice.conversation.as_str(), notice.owner, mark])?;
    let mut ends = Unannounced::default();
    while let Some(row) = found.next()? {
        if notice.except.contains(&rows::parse(row, rows::ID_COLUMN)?) {
            continue;
        }
        ends.count += 1;
        if ends.jobs.len() < notice.limit {
            ends.jobs.push(rows::job(row)?);
        }
    }
    Ok(ends)
}

/// What `notice` asks for, announced from now on, as are the ends that it leaves out.
pub(super) fn announce(desk: &Desk, notice: &Notice) -> Attempted<Unannounced> {
    let connection = &desk.connection;
    let ends = read(connection, notice)?;
    let range = params![notice.conversation.as_str(), notice.owner, mark(connection, notice)?];
    let newest: Option<i64> = connection.prepare_cached(NEWEST_END_SQL)?.query_row(range, |row| row.get(0))?;
    if let Some(newest) = newest {
        let sql = "INSERT INTO announced (principal_name, conversation, end_seq) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (principal_name, conversation) DO UPDATE SET end_seq = excluded.end_seq";
        let values = params![notice.owner, notice.conversation.as_str(), newest];
        connection.prepare_cached(sql)?.execute(values)?;
    }
    Ok(ends)
}

fn mark(connection: &Connection, notice: &Notice) -> rusqlite::Result<i64> {
    let sql = "SELECT end_seq FROM announced WHERE principal_name = ?1 AND conversation = ?2";
    let values = params![notice.owner, notice.conversation.as_str()];
    let mark = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
    Ok(mark.unwrap_or(0))
}

/// Forgets what the chat of a removed job was told if that was its last one.
pub(super) fn forget(desk: &Desk, removed: &Job) -> Attempted<()> {
    let Some(conversation) = &removed.conversation else { return Ok(()) };
    let sql = "DELETE FROM announced WHERE principal_name = ?1 AND conversation = ?2 AND NOT EXISTS \
               (SELECT 1 FROM job INDEXED BY job_conversation WHERE conversation = ?2 AND principal_name = ?1)";
    desk.connection.prepare_cached(sql)?.execute(params![removed.principal.name, conversation.as_str()])?;
    Ok(())
}
