//! The statements of a job's usual life, kept prepared: asking a cache for each costs a tenth of a transition.

use rusqlite::{Connection, PrepFlags, Statement};

use super::history;

const UPDATE_STATE: &str = "UPDATE job SET version = ?2 + 1, content = ?3, attempt = ?4, failures = ?5, \
     started_at = ?6, changed_at = ?7, state = ?8, last_event = ?9 WHERE number = ?1 AND version = ?2";
const UPDATE_PHASE: &str = "UPDATE job SET version = ?2 + 1, content = ?3, attempt = ?4, failures = ?5, \
     started_at = ?6, changed_at = ?7, state = ?8, last_event = ?9, phase = ?10 \
     WHERE number = ?1 AND version = ?2";
const UPDATE_DUE: &str = "UPDATE job SET version = ?2 + 1, content = ?3, attempt = ?4, failures = ?5, \
     started_at = ?6, changed_at = ?7, state = ?8, last_event = ?9, phase = ?10, due_at = ?11 \
     WHERE number = ?1 AND version = ?2";
const FINISH: &str = "UPDATE job SET version = ?2 + 1, content = ?3, attempt = ?4, failures = ?5, \
     started_at = ?6, changed_at = ?7, state = ?8, last_event = ?9, phase = NULL, due_at = NULL, \
     finished_at = ?10, outcome = ?11, end_seq = ?9 WHERE number = ?1 AND version = ?2";
const INSERT_JOB: &str = "INSERT INTO job (number, id, version, state, phase, content, attempt, failures, queue, \
     priority, principal_class, principal_name, conversation, kind, name, title, retry, likeness, retry_of, \
     submitted_at, changed_at, due_at, last_event, requires) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, \
     ?23, ?24) \
     ON CONFLICT (id) DO NOTHING";
/// Adds a sample behind those there are, and keeps the newest. Two blobs joined count as text until they are cast.
const LEARN: &str = "INSERT INTO duration (likeness, samples, learned_at) VALUES (?1, ?2, ?4) \
     ON CONFLICT (likeness) DO UPDATE SET learned_at = excluded.learned_at, \
     samples = CAST(substr(CAST(samples || excluded.samples AS BLOB), ?3) AS BLOB)";

/// Prepared for as long as the writer lives.
pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) insert_job: Statement<'c>,
    pub(super) insert_spec: Statement<'c>,
    pub(super) read_spec: Statement<'c>,
    pub(super) update_state: Statement<'c>,
    pub(super) update_phase: Statement<'c>,
    pub(super) update_due: Statement<'c>,
    pub(super) finish: Statement<'c>,
    pub(super) insert_event: Statement<'c>,
    pub(super) insert_events: Statement<'c>,
    pub(super) find_dependent: Statement<'c>,
    pub(super) insert_outbox: Statement<'c>,
    pub(super) learn: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        // Told that they stay, SQLite leaves its pool of small memory to what comes and goes.
        let kept = |sql: &str| connection.prepare_with_flags(sql, PrepFlags::SQLITE_PREPARE_PERSISTENT);
        Ok(Self {
            begin: kept("BEGIN IMMEDIATE")?,
            commit: kept("COMMIT")?,
            insert_job: kept(INSERT_JOB)?,
            insert_spec: kept("INSERT INTO spec (job, spec) VALUES (?1, ?2)")?,
            read_spec: kept("SELECT spec FROM spec WHERE job = ?1")?,
            update_state: kept(UPDATE_STATE)?,
            update_phase: kept(UPDATE_PHASE)?,
            update_due: kept(UPDATE_DUE)?,
            finish: kept(FINISH)?,
            insert_event: kept(&history::insert_sql(1))?,
            insert_events: kept(&history::insert_sql(history::WIDE))?,
            find_dependent: kept("SELECT 1 FROM dependency WHERE job = ?1 LIMIT 1")?,
            insert_outbox: kept("INSERT INTO outbox (job) VALUES (?1)")?,
            learn: kept(LEARN)?,
        })
    }
}
