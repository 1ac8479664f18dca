//! What the writer's verbs work with inside a transaction: rows, history, queues, and the memory of them.

use std::collections::{BTreeMap, HashSet};

use longshore_domain::id::{EventSeq, JobId, JobNumber, NodeId};
use longshore_domain::job::{Effect, Event, EventKind, Job, JobState, Refusal, StateName, apply};
use longshore_domain::store::{BoxedError, Change};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::cache::JobCache;
use super::errors::{Attempted, Trouble};
use super::history::{History, Note};
use super::lines::Lines;
use super::nodes;
use super::questions;
use super::rows::{self, JOB_COLUMNS};
use super::statements::Statements;
use crate::columns;

/// The write connection with what the writer remembers. One transaction is open whenever a verb sees it.
pub(super) struct Desk<'c> {
    pub(super) connection: &'c Connection,
    pub(super) statements: Statements<'c>,
    pub(super) lines: Lines,
    /// Limit of a queue that is named for the first time.
    pub(super) queue_concurrency: u32,
    /// Nodes that take no jobs.
    pub(super) draining: HashSet<NodeId>,
    cache: JobCache,
    history: History,
    /// How long jobs of a likeness took that succeeded in this batch, and when the last of them did.
    learned: BTreeMap<u64, (Vec<u8>, Timestamp)>,
    /// The highest number given to a job so far.
    job_number: u64,
}

impl<'c> Desk<'c> {
    /// Sits down at an open database of the newest schema.
    pub(super) fn new(connection: &'c Connection, queue_concurrency: u32) -> Attempted<Self> {
        let lines = Lines::read(connection)?;
        let history = History::read(connection)?;
        let job_number = read_job_number(connection)?;
        let statements = Statements::prepare(connection)?;
        let draining = nodes::draining(connection)?;
        let (cache, learned) = (JobCache::default(), BTreeMap::new());
        Ok(Self { connection, statements, lines, queue_concurrency, draining, cache, history, learned, job_number })
    }

    /// Opens a transaction.
    pub(super) fn begin(&mut self) -> Attempted<()> {
        Ok(self.statements.begin.execute([]).map(drop)?)
    }

    /// Makes everything since [`Self::begin`] durable.
    pub(super) fn commit(&mut self) -> Attempted<()> {
        self.write_gathered()?;
        Ok(self.statements.commit.execute([]).map(drop)?)
    }

    /// Undoes everything since [`Self::begin`], and forgets what was remembered of it.
    ///
    /// # Errors
    /// If what stands in the database cannot be read any more; the desk is then of no use.
    pub(super) fn roll_back(&mut self) -> Attempted<()> {
        // After some errors SQLite has rolled back by itself. Source: sqlite.org/lang_transaction.html, section 3.
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.cache = JobCache::default();
        self.lines = Lines::read(self.connection)?;
        self.draining = nodes::draining(self.connection)?;
        self.history = History::read(self.connection)?;
        self.learned.clear();
        self.job_number = read_job_number(self.connection)?;
        Ok(())
    }

    /// Writes what was gathered for fewer statements: lines of history, and durations.
    fn write_gathered(&mut self) -> Attempted<()> {
        self.history.write(&mut self.statements.insert_events, &mut self.statements.insert_event)?;
        for (likeness, (samples, at)) in std::mem::take(&mut self.learned) {
            let values = params![likeness as i64, samples, -(columns::SAMPLES_BYTES_MAX as i64), at.as_millis()];
            self.statements.learn.execute(values)?;
        }
        Ok(())
    }

    /// The number for a job that is about to be accepted.
    pub(super) fn give_number(&mut self) -> JobNumber {
        self.job_number += 1;
        JobNumber(self.job_number)
    }

    /// Gets ready for the removal of rows: none is on its way to the table any more, and the highest numbers given are
    /// noted apart from the rows that carry them.
    pub(super) fn before_removal(&mut self) -> Attempted<()> {
        self.write_gathered()?;
        self.connection
            .prepare_cached("UPDATE meta SET job_number = ?1, event_seq = ?2")?
            .execute(params![self.job_number as i64, self.history.last().0 as i64])?;
        Ok(())
    }

    /// Takes a job to change it: whoever does so calls [`Self::change`] or [`Self::put_back`].
    pub(super) fn take(&mut self, number: JobNumber) -> Attempted<Option<Job>> {
        if let Some(job) = self.cache.take(number) {
            return Ok(Some(job));
        }
        Ok(read_by_number(self.connection, number)?)
    }

    /// The same by id.
    pub(super) fn take_by_id(&mut self, id: JobId) -> Attempted<Option<Job>> {
        if let Some(job) = self.cache.take_by_id(id) {
            return Ok(Some(job));
        }
        Ok(read_by_id(self.connection, id)?)
    }

    /// Gives back a job as it stands in the database.
    pub(super) fn put_back(&mut self, job: Job) {
        if !job.is_finished() {
            self.cache.put(job);
        }
    }

    /// Lets an event happen to a job that was taken: row, history, queues, questions, and what must not be forgotten.
    ///
    /// Renewals leave no line in the history; their place is that of the newest line.
    pub(super) fn change(&mut self, mut job: Job, event: Event, now: Timestamp) -> Attempted<Result<Change, Refusal>> {
        let note = Note::of(&event);
        let step = match apply(&job, event, now) {
            Ok(step) => step,
            Err(refusal) => {
                self.put_back(job);
                return Ok(Err(refusal));
            }
        };
        if questions::any_taken(self.connection, &job, &step.effects)? {
            self.put_back(job);
            return Ok(Err(Refusal::Already));
        }
        let before = Standing::of(&job);
        let newest = self.history.newest_of(self.connection, job.number)?;
        let mut effects = job.advance(step, now);
        let seq = if note.kind == EventKind::Renewed {
            self.update(&before, &job, newest.unwrap_or_default())?;
            self.history.last()
        } else {
            self.update(&before, &job, self.history.next())?;
            self.history.add(&job, newest, note, now)
        };
        if effects.contains(&Effect::Settle) && !self.has_dependents(job.number)? {
            effects.retain(|effect| *effect != Effect::Settle);
        }
        self.keep_effects(&job, &effects, now)?;
        self.lines.follow(Some(before.state), &job, self.connection)?;
        self.put_back(job.clone());
        Ok(Ok(Change { job, seq, effects }))
    }

    /// Adds the first line of a new job's history. Its row must name that position as its newest line.
    pub(super) fn begin_history(&mut self, job: &Job, at: Timestamp) -> EventSeq {
        self.history.add(job, None, Note { kind: EventKind::Submitted, detail: None }, at)
    }

    /// Position that the next line of history will have.
    pub(super) fn next_event(&self) -> EventSeq {
        self.history.next()
    }

    /// Changes the row as little as the change demands: an index is only touched by a statement that names its
    /// columns.
    fn update(&mut self, before: &Standing, job: &Job, last_event: EventSeq) -> Attempted<()> {
        let after = Standing::of(job);
        let statement = match () {
            () if job.is_finished() => &mut self.statements.finish,
            () if before.due_at != after.due_at => &mut self.statements.update_due,
            () if before.phase() != after.phase() => &mut self.statements.update_phase,
            () => &mut self.statements.update_state,
        };
        statement.raw_bind_parameter(1, job.number.0 as i64)?;
        statement.raw_bind_parameter(2, (job.version - 1) as i64)?;
        statement.raw_bind_parameter(3, content(&job.state)?)?;
        statement.raw_bind_parameter(4, job.attempt.0)?;
        statement.raw_bind_parameter(5, job.failures)?;
        statement.raw_bind_parameter(6, job.started_at.map(Timestamp::as_millis))?;
        statement.raw_bind_parameter(7, job.changed_at.as_millis())?;
        statement.raw_bind_parameter(8, after.state.as_str())?;
        statement.raw_bind_parameter(9, last_event.0 as i64)?;
        match &job.state {
            JobState::Finished { outcome, at } => {
                statement.raw_bind_parameter(10, at.as_millis())?;
                statement.raw_bind_parameter(11, outcome.status.as_str())?;
            }
            _ => {
                if before.due_at != after.due_at || before.phase() != after.phase() {
                    statement.raw_bind_parameter(10, columns::phase_of(after.state, &job.requires))?;
                }
                if before.due_at != after.due_at {
                    statement.raw_bind_parameter(11, after.due_at)?;
                }
            }
        }
        match statement.raw_execute()? {
            1 => Ok(()),
            _ => Err(Trouble::ChangedBehind(job.number)),
        }
    }

    fn keep_effects(&mut self, job: &Job, effects: &[Effect], now: Timestamp) -> Attempted<()> {
        for effect in effects {
            match effect {
                Effect::Settle => {
                    self.statements.insert_outbox.execute([job.number.0 as i64])?;
                }
                Effect::Learn(took) => {
                    let (samples, at) = self.learned.entry(job.likeness).or_default();
                    samples.extend(columns::sample(*took));
                    *at = now;
                }
                Effect::Ask(question) => questions::insert(self.connection, job, question)?,
                Effect::Close { question, answer } => {
                    questions::close(self.connection, *question, answer.as_deref(), now)?;
                }
                // State `stopping` itself keeps the stop wanted; the rest is only a nudge.
                Effect::Ready | Effect::Timer(_) | Effect::Stop(_) | Effect::Freed => {}
            }
        }
        Ok(())
    }

    fn has_dependents(&mut self, number: JobNumber) -> Attempted<bool> {
        Ok(self.statements.find_dependent.exists([number.0 as i64])?)
    }
}

/// What decides which indexes a change touches.
struct Standing {
    state: StateName,
    due_at: Option<i64>,
}

impl Standing {
    fn phase(&self) -> Option<&'static str> {
        columns::phase(self.state)
    }

    fn of(job: &Job) -> Self {
        Self { state: job.state.name(), due_at: job.state.due_at().map(Timestamp::as_millis) }
    }
}

fn read_job_number(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT max(job_number, ifnull((SELECT max(number) FROM job), 0)) FROM meta";
    connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? as u64))
}

/// A state as its column holds it.
pub(super) fn content(state: &JobState) -> Attempted<String> {
    let encoded = serde_json::to_string(state);
    Ok(encoded.map_err(|error| rusqlite::Error::ToSqlConversionFailure(BoxedError::from(error)))?)
}

/// The job of that number as the database has it.
pub(super) fn read_by_number(connection: &Connection, number: JobNumber) -> rusqlite::Result<Option<Job>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {JOB_COLUMNS} FROM job WHERE number = ?1"))?;
    statement.query_row([number.0 as i64], rows::job).optional()
}

/// The job of that id as the database has it.
pub(super) fn read_by_id(connection: &Connection, id: JobId) -> rusqlite::Result<Option<Job>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {JOB_COLUMNS} FROM job WHERE id = ?1"))?;
    statement.query_row([id.to_string()], rows::job).optional()
}
