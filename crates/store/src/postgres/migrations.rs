//! The schema, as a list of steps that are applied in order and never edited after release.
//!
//! Nodes of different versions may share a database while they are upgraded one by one: a step says from which schema
//! on programs can work with what it leaves behind.

use tokio_postgres::Row;

use super::errors::{Attempted, Trouble};
use super::session::Session;

/// One step of the schema.
pub(crate) struct Migration {
    /// The number that it begins with is the schema version that the step leads to.
    pub(crate) name: &'static str,
    sql: &'static str,
    /// The oldest schema whose programs can work with the one that the step leads to: the step's own number unless all
    /// that it does is out of sight of older programs.
    pub(crate) compatible_from: u32,
}

/// Every step.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_jobs.sql",
        sql: include_str!("../../migrations/postgres/0001_jobs.sql"),
        compatible_from: 1,
    },
    Migration {
        name: "0002_nodes.sql",
        sql: include_str!("../../migrations/postgres/0002_nodes.sql"),
        compatible_from: 1,
    },
    // An older program would not take the artifacts of a job away with it.
    Migration {
        name: "0003_artifacts.sql",
        sql: include_str!("../../migrations/postgres/0003_artifacts.sql"),
        compatible_from: 3,
    },
    Migration {
        name: "0004_documents.sql",
        sql: include_str!("../../migrations/postgres/0004_documents.sql"),
        compatible_from: 3,
    },
    Migration {
        name: "0005_rows.sql",
        sql: include_str!("../../migrations/postgres/0005_rows.sql"),
        compatible_from: 3,
    },
    Migration {
        name: "0006_schedules.sql",
        sql: include_str!("../../migrations/postgres/0006_schedules.sql"),
        compatible_from: 3,
    },
    Migration {
        name: "0007_forgetting.sql",
        sql: include_str!("../../migrations/postgres/0007_forgetting.sql"),
        compatible_from: 3,
    },
];

/// The newest schema version that this build knows.
pub(crate) const SCHEMA_NEWEST: u32 = MIGRATIONS.len() as u32;

/// What `meta` tells of the schema.
pub(super) const COLUMNS: &str = "schema_version, compatible_from";

/// What the database says of its schema.
struct Found {
    version: u32,
    compatible_from: u32,
}

/// Brings the schema from whatever is there to the newest that this build knows, in one transaction and one process
/// at a time. A newer one that this build can work with is left as it is.
///
/// # Errors
/// [`Trouble::Newer`] for one that this build cannot work with.
pub(super) async fn migrate(session: &Session, schema: &str) -> Attempted<()> {
    session.execute("BEGIN").await?;
    match migrate_inside(session, schema).await {
        Ok(()) => session.execute("COMMIT").await,
        Err(trouble) => {
            // Without a connection there is nothing left to undo.
            drop(session.execute("ROLLBACK").await);
            Err(trouble)
        }
    }
}

async fn migrate_inside(session: &Session, schema: &str) -> Attempted<()> {
    session.query("SELECT pg_advisory_xact_lock(hashtext('longshore migration'), hashtext($1))", &[&schema]).await?;
    let exists = session.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await?;
    // Asked first, because making what exists still takes the right to make.
    if exists.is_empty() {
        session.execute(&format!("CREATE SCHEMA {schema}")).await?;
    }
    let found = find(session, schema).await?;
    found.judge()?;
    for (at, step) in MIGRATIONS.iter().enumerate().skip(found.version as usize) {
        session.execute(step.sql).await?;
        let noted = "UPDATE meta SET schema_version = $1, compatible_from = $2";
        session.query(noted, &[&(at as i64 + 1), &i64::from(step.compatible_from)]).await?;
        tracing::info!(migration = step.name, "schema migrated");
    }
    Ok(())
}

/// Checks that this build can work with the schema, as a newer node may have left it.
pub(super) async fn check(session: &Session) -> Attempted<()> {
    read(session).await?.judge()
}

/// The server's version and that of the schema, for people.
///
/// # Errors
/// [`Trouble::Newer`] for a schema that this build cannot work with.
pub(super) async fn look(session: &Session, schema: &str) -> Attempted<String> {
    let found = find(session, schema).await?;
    found.judge()?;
    let server = session.query("SELECT current_setting('server_version')", &[]).await?;
    let server = server[0].try_get::<_, String>(0)?;
    Ok(match found.version {
        0 => format!("PostgreSQL {server}, no schema yet"),
        version => format!("PostgreSQL {server}, schema {version}"),
    })
}

async fn find(session: &Session, schema: &str) -> Attempted<Found> {
    let tables = session.query("SELECT to_regclass($1)::text", &[&format!("{schema}.meta")]).await?;
    match tables[0].try_get::<_, Option<String>>(0)? {
        Some(_) => read(session).await,
        None => Ok(Found { version: 0, compatible_from: 0 }),
    }
}

/// The version of the schema.
pub(super) async fn version(session: &Session) -> Attempted<u32> {
    Ok(read(session).await?.version)
}

async fn read(session: &Session) -> Attempted<Found> {
    let rows = session.query(&format!("SELECT {COLUMNS} FROM meta"), &[]).await?;
    let row = rows.first().ok_or_else(|| Trouble::Other("the table `meta` is empty".into()))?;
    Found::of(row, 0)
}

/// Checks that this build can work with the schema that a row of `meta` tells, which has [`COLUMNS`] from place `at` on.
pub(super) fn judge(row: &Row, at: usize) -> Attempted<()> {
    Found::of(row, at)?.judge()
}

impl Found {
    fn of(row: &Row, at: usize) -> Attempted<Self> {
        let number = |at| row.try_get::<_, i64>(at).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Ok(Self { version: number(at)?, compatible_from: number(at + 1)? })
    }

    fn judge(&self) -> Attempted<()> {
        match self.compatible_from {
            0..=SCHEMA_NEWEST => Ok(()),
            _ => Err(Trouble::Newer { found: self.version, known: SCHEMA_NEWEST }),
        }
    }
}
