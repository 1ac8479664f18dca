//! The schema, as a list of steps that are applied in order and never edited after release.

use longshore_domain::store::StoreError;
use rusqlite::Connection;

use super::errors::failed;

/// Name and text of each step; the number that the name begins with is the schema version that it leads to.
pub(crate) const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_jobs.sql", include_str!("../../migrations/sqlite/0001_jobs.sql")),
    ("0002_questions.sql", include_str!("../../migrations/sqlite/0002_questions.sql")),
    ("0003_announced.sql", include_str!("../../migrations/sqlite/0003_announced.sql")),
    ("0004_event_chain.sql", include_str!("../../migrations/sqlite/0004_event_chain.sql")),
    ("0005_nodes.sql", include_str!("../../migrations/sqlite/0005_nodes.sql")),
    ("0006_artifacts.sql", include_str!("../../migrations/sqlite/0006_artifacts.sql")),
    ("0007_documents.sql", include_str!("../../migrations/sqlite/0007_documents.sql")),
    ("0008_schedules.sql", include_str!("../../migrations/sqlite/0008_schedules.sql")),
    ("0009_forgetting.sql", include_str!("../../migrations/sqlite/0009_forgetting.sql")),
];

/// The newest schema version that this build knows.
pub(crate) const SCHEMA_NEWEST: u32 = MIGRATIONS.len() as u32;

/// The schema version of a database; 0 = empty. Reads only.
///
/// # Errors
/// [`StoreError::Newer`] for one that this build does not know, [`StoreError::Corrupt`] if it is no database, or one of
/// something else.
pub(super) fn check_version(connection: &Connection) -> Result<u32, StoreError> {
    let found = read_version(connection).map_err(failed("read the schema version"))?;
    let is_ours = is_ours(connection, found).map_err(failed("read the schema"))?;
    match found {
        _ if !is_ours => Err(StoreError::Corrupt("it has tables, and they are not Longshore's".into())),
        0..=SCHEMA_NEWEST => Ok(found),
        _ => Err(StoreError::Newer { found, known: SCHEMA_NEWEST }),
    }
}

/// Brings the schema from version `from` to the newest, one transaction each step.
pub(super) fn migrate(connection: &mut Connection, from: u32) -> Result<(), StoreError> {
    for (at, (name, sql)) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        apply_step(connection, at + 1, sql).map_err(failed("migrate the database"))?;
        tracing::info!(migration = name, "schema migrated");
    }
    Ok(())
}

fn read_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Every schema of ours has jobs, and nothing is in a database that has none yet.
fn is_ours(connection: &Connection, version: u32) -> rusqlite::Result<bool> {
    let sql = match version {
        0 => "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master)",
        _ => "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'job')",
    };
    connection.query_row(sql, [], |row| row.get(0))
}

fn apply_step(connection: &mut Connection, version: usize, sql: &str) -> rusqlite::Result<()> {
    let step = connection.transaction()?;
    step.execute_batch(sql)?;
    step.pragma_update(None, "user_version", version as i64)?;
    step.commit()
}
