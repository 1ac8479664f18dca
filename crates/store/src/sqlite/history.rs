//! Lines of history: gathered while a batch is worked on, written with few statements just before it is committed.

use std::collections::HashMap;

use longshore_domain::AttemptNumber;
use longshore_domain::id::{EventSeq, JobNumber};
use longshore_domain::job::{Event, EventKind, Job, StateName};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Statement};

use super::errors::Attempted;

/// Lines that one statement writes where there are so many.
pub(super) const WIDE: usize = 16;
const COLUMNS: usize = 8;
/// Jobs whose newest line is remembered; beyond that all are forgotten, and read again as they are needed.
const NEWEST_MAX: usize = 4096;

/// The statement that writes so many lines.
pub(super) fn insert_sql(lines: usize) -> String {
    let line = "(?, ?, ?, ?, ?, ?, ?, ?)";
    let values = vec![line; lines].join(", ");
    format!("INSERT INTO event (seq, job, before, at, kind, state, attempt, detail) VALUES {values}")
}

/// What a line says beside where the job stands.
pub(super) struct Note {
    pub(super) kind: EventKind,
    pub(super) detail: Option<String>,
}

impl Note {
    pub(super) fn of(event: &Event) -> Self {
        Self { kind: event.kind(), detail: event.detail() }
    }
}

struct Line {
    seq: u64,
    job: JobNumber,
    before: Option<u64>,
    at: Timestamp,
    kind: EventKind,
    state: StateName,
    attempt: AttemptNumber,
    detail: Option<String>,
}

/// The history as the writer knows it: what is in the table, and what is still to be written there.
pub(super) struct History {
    /// The highest position given.
    given: u64,
    /// The newest line of unfinished jobs.
    newest: HashMap<JobNumber, u64>,
    unwritten: Vec<Line>,
}

impl History {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT max(event_seq, ifnull((SELECT max(seq) FROM event), 0)) FROM meta";
        let given = connection.query_row(sql, [], |row| row.get::<_, i64>(0))?;
        Ok(Self { given: given as u64, newest: HashMap::new(), unwritten: vec![] })
    }

    /// Position of the newest line of all.
    pub(super) fn last(&self) -> EventSeq {
        EventSeq(self.given)
    }

    /// Position that the next line will have.
    pub(super) fn next(&self) -> EventSeq {
        EventSeq(self.given + 1)
    }

    /// The newest line of a job whose row was not changed since it was written; none before its first one.
    pub(super) fn newest_of(&self, connection: &Connection, job: JobNumber) -> rusqlite::Result<Option<EventSeq>> {
        if let Some(newest) = self.newest.get(&job) {
            return Ok(Some(EventSeq(*newest)));
        }
        let sql = "SELECT last_event FROM job WHERE number = ?1";
        let found = connection.prepare_cached(sql)?.query_row([job.0 as i64], |row| row.get::<_, i64>(0)).optional()?;
        Ok(found.filter(|seq| *seq > 0).map(|seq| EventSeq(seq as u64)))
    }

    /// Adds a line about a job as it stands now, behind the newest line it had.
    pub(super) fn add(&mut self, job: &Job, before: Option<EventSeq>, note: Note, at: Timestamp) -> EventSeq {
        self.given += 1;
        let (seq, state) = (self.given, job.state.name());
        let before = before.map(|seq| seq.0);
        let Note { kind, detail } = note;
        self.unwritten.push(Line { seq, job: job.number, before, at, kind, state, attempt: job.attempt, detail });
        if job.is_finished() {
            self.newest.remove(&job.number);
        } else {
            if self.newest.len() >= NEWEST_MAX {
                self.newest.clear();
            }
            self.newest.insert(job.number, seq);
        }
        EventSeq(seq)
    }

    /// Writes what was added, `wide` being for [`WIDE`] lines and `narrow` for one.
    pub(super) fn write(&mut self, wide: &mut Statement<'_>, narrow: &mut Statement<'_>) -> Attempted<()> {
        let mut chunks = self.unwritten.chunks_exact(WIDE);
        for lines in &mut chunks {
            insert(wide, lines)?;
        }
        for line in chunks.remainder() {
            insert(narrow, std::slice::from_ref(line))?;
        }
        self.unwritten.clear();
        Ok(())
    }
}

fn insert(statement: &mut Statement<'_>, lines: &[Line]) -> Attempted<()> {
    for (at, line) in lines.iter().enumerate() {
        let first = at * COLUMNS;
        statement.raw_bind_parameter(first + 1, line.seq as i64)?;
        statement.raw_bind_parameter(first + 2, line.job.0 as i64)?;
        statement.raw_bind_parameter(first + 3, line.before.map(|seq| seq as i64))?;
        statement.raw_bind_parameter(first + 4, line.at.as_millis())?;
        statement.raw_bind_parameter(first + 5, line.kind.as_str())?;
        statement.raw_bind_parameter(first + 6, line.state.as_str())?;
        statement.raw_bind_parameter(first + 7, line.attempt.0)?;
        statement.raw_bind_parameter(first + 8, line.detail.as_deref())?;
    }
    statement.raw_execute()?;
    Ok(())
}
