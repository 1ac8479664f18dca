//! Documents that are kept beside the jobs.

use longshore_domain::store::{DOCUMENTS_PASSING_MAX, Document, NewDocument};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::desk::Desk;
use super::errors::Attempted;

/// Those whose time is over, and those that would go next if there are too many.
pub(crate) const CLEAR_SQL: &str = "DELETE FROM document WHERE until <= max(?1, coalesce((SELECT until FROM document \
     WHERE until IS NOT NULL ORDER BY until DESC LIMIT 1 OFFSET ?2), 0))";

/// The document of that name.
pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<Document>> {
    let mut statement = connection.prepare_cached("SELECT version, text FROM document WHERE name = ?1")?;
    statement
        .query_row([name], |row| Ok(Document { version: row.get::<_, i64>(0)?.unsigned_abs(), text: row.get(1)? }))
        .optional()
}

/// Writes a document if nobody else did meanwhile.
pub(super) fn write(desk: &mut Desk<'_>, new: &NewDocument, now: Timestamp) -> Attempted<bool> {
    let until = new.keep.map(|keep| now.plus(keep).as_millis());
    let written = match new.replaces {
        0 => {
            desk.connection.prepare_cached(CLEAR_SQL)?.execute(params![now.as_millis(), DOCUMENTS_PASSING_MAX - 1])?;
            let sql = "INSERT INTO document (name, version, text, until) VALUES (?1, 1, ?2, ?3) \
                       ON CONFLICT (name) DO NOTHING";
            desk.connection.prepare_cached(sql)?.execute(params![new.name, new.text, until])?
        }
        seen => {
            let seen = i64::try_from(seen).unwrap_or(i64::MAX);
            let sql =
                "UPDATE document SET version = version + 1, text = ?2, until = ?3 WHERE name = ?1 AND version = ?4";
            desk.connection.prepare_cached(sql)?.execute(params![new.name, new.text, until, seen])?
        }
    };
    Ok(written > 0)
}
