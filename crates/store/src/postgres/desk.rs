//! Where a transaction is thought through: jobs as they were read and locked, what events make of them, and all that is
//! to be written in the end. Nothing here talks to the server.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use longshore_domain::id::{AttemptNumber, EventSeq, JobId, JobNumber, NodeId, QuestionId};
use longshore_domain::job::{Answer, Effect, Event, EventKind, Job, Question, QueueName, Refusal, StateName, apply};
use longshore_domain::store::Change;
use longshore_domain::time::Timestamp;

use super::errors::{Attempted, Trouble};
use super::lines::Lines;
use crate::draft::Draft;

/// The jobs of one transaction, and what it will write.
#[derive(Default)]
pub(super) struct Desk<'d> {
    jobs: HashMap<JobNumber, Placed>,
    numbers: HashMap<JobId, JobNumber>,
    pub(super) lines: Lines,
    /// Nodes that take no jobs.
    pub(super) draining: HashSet<NodeId>,
    pub(super) asked: Asked,
    pub(super) writes: Writes<'d>,
}

/// A job on the desk.
struct Placed {
    job: Job,
    /// Its version in the database; nothing for one that is to be inserted.
    stored: Option<u64>,
}

/// Names and keys of questions that were used before.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) ids: HashSet<QuestionId>,
    pub(super) keys: HashSet<(JobId, AttemptNumber, String)>,
}

/// What is to be written beside the jobs themselves.
#[derive(Default)]
pub(super) struct Writes<'d> {
    pub(super) accepted: Vec<(JobNumber, &'d Draft)>,
    pub(super) queues: BTreeSet<QueueName>,
    /// Who is waited for, by whom.
    pub(super) dependencies: Vec<(JobNumber, JobNumber)>,
    pub(super) lines: Vec<Line>,
    pub(super) asks: Vec<(JobNumber, Question)>,
    pub(super) closes: Vec<(QuestionId, Option<Answer>, Timestamp)>,
    pub(super) ends: Vec<End>,
    /// How long jobs of a likeness took, and when the last of them ended.
    pub(super) samples: BTreeMap<u64, (Vec<Duration>, Timestamp)>,
    /// Claimed jobs whose specs are to be read.
    pub(super) taken: Vec<JobNumber>,
}

/// One line of history before it has its place.
pub(super) struct Line {
    pub(super) job: JobNumber,
    pub(super) at: Timestamp,
    pub(super) kind: EventKind,
    pub(super) state: StateName,
    pub(super) attempt: AttemptNumber,
    pub(super) detail: Option<String>,
}

/// The end of a job, told of by the line at this place among those of the transaction, counted from 1.
pub(super) struct End {
    pub(super) job: JobNumber,
    pub(super) line: usize,
}

impl<'d> Desk<'d> {
    /// A desk with jobs that were read and locked.
    pub(super) fn of(jobs: Vec<Job>) -> Self {
        let mut desk = Self::default();
        jobs.into_iter().for_each(|job| desk.place(job));
        desk
    }

    /// Puts down a job as it was read, unless it lies there.
    pub(super) fn place(&mut self, job: Job) {
        self.numbers.insert(job.id, job.number);
        let stored = Some(job.version);
        self.jobs.entry(job.number).or_insert(Placed { job, stored });
    }

    /// Puts down a job that is to be inserted.
    pub(super) fn place_new(&mut self, job: Job, draft: &'d Draft) {
        self.numbers.insert(job.id, job.number);
        self.writes.accepted.push((job.number, draft));
        self.lines.follow(None, &job);
        self.jobs.insert(job.number, Placed { job, stored: None });
    }

    pub(super) fn number(&self, id: JobId) -> Option<JobNumber> {
        self.numbers.get(&id).copied()
    }

    pub(super) fn has(&self, number: JobNumber) -> bool {
        self.jobs.contains_key(&number)
    }

    /// The job as it now stands.
    ///
    /// # Errors
    /// If it does not lie here.
    pub(super) fn job(&self, number: JobNumber) -> Attempted<&Job> {
        self.jobs.get(&number).map(|placed| &placed.job).ok_or(Trouble::Missing(number))
    }

    /// Whether the job is to be inserted.
    pub(super) fn is_new(&self, number: JobNumber) -> bool {
        self.jobs.get(&number).is_some_and(|placed| placed.stored.is_none())
    }

    /// Every job that lies here, by number.
    pub(super) fn all(&self) -> Vec<JobNumber> {
        let mut numbers: Vec<_> = self.jobs.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    /// Jobs that are to be written, by number, with the version that the database has of them.
    pub(super) fn written(&self) -> Vec<(&Job, Option<u64>)> {
        let changed = self.jobs.values().filter(|placed| placed.stored != Some(placed.job.version));
        let mut written: Vec<_> = changed.map(|placed| (&placed.job, placed.stored)).collect();
        written.sort_unstable_by_key(|(job, _)| job.number);
        written
    }

    /// Lets an event happen to a job: row, history, queues, questions, and what must not be forgotten.
    ///
    /// The answer counts its place in the history from the last line before this transaction. Renewals leave no line;
    /// their place is that of the newest. Whether others wait for a job that ended is not known yet.
    pub(super) fn change(
        &mut self,
        number: JobNumber,
        event: Event,
        now: Timestamp,
    ) -> Attempted<Result<Change, Refusal>> {
        let placed = self.jobs.get_mut(&number).ok_or(Trouble::Missing(number))?;
        let (kind, detail) = (event.kind(), event.detail());
        let step = match apply(&placed.job, event, now) {
            Ok(step) => step,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if self.asked.has_any_of(&placed.job, &step.effects) {
            return Ok(Err(Refusal::Already));
        }
        let before = placed.job.state.name();
        let effects = placed.job.advance(step, now);
        let job = placed.job.clone();
        if kind != EventKind::Renewed {
            self.writes.note(&job, kind, detail, now);
        }
        self.keep_effects(&job, &effects, now);
        self.lines.follow(Some(before), &job);
        let seq = EventSeq(self.writes.lines.len() as u64);
        Ok(Ok(Change { job, seq, effects }))
    }

    /// Writes marks of retention as one new version of the row.
    pub(super) fn mark(&mut self, number: JobNumber, mark: impl FnOnce(&mut Job)) -> Attempted<&Job> {
        let placed = self.jobs.get_mut(&number).ok_or(Trouble::Missing(number))?;
        mark(&mut placed.job);
        placed.job.version += 1;
        Ok(&placed.job)
    }

    fn keep_effects(&mut self, job: &Job, effects: &[Effect], now: Timestamp) {
        for effect in effects {
            match effect {
                Effect::Settle => self.writes.ends.push(End { job: job.number, line: self.writes.lines.len() }),
                Effect::Learn(took) => {
                    let (samples, at) = self.writes.samples.entry(job.likeness).or_default();
                    samples.push(*took);
                    *at = now;
                }
                Effect::Ask(question) => {
                    self.asked.note(job, question);
                    self.writes.asks.push((job.number, *question.clone()));
                }
                Effect::Close { question, answer } => {
                    self.writes.closes.push((*question, answer.as_deref().cloned(), now));
                }
                // State `stopping` itself keeps the stop wanted; the rest is only a nudge.
                Effect::Ready | Effect::Timer(_) | Effect::Stop(_) | Effect::Freed => {}
            }
        }
    }
}

impl Writes<'_> {
    /// Adds a line of history about a job as it stands now.
    pub(super) fn note(&mut self, job: &Job, kind: EventKind, detail: Option<String>, at: Timestamp) {
        let (job, state, attempt) = (job.number, job.state.name(), job.attempt);
        self.lines.push(Line { job, at, kind, state, attempt, detail });
    }
}

impl Asked {
    fn has_any_of(&self, job: &Job, effects: &[Effect]) -> bool {
        effects.iter().any(|effect| match effect {
            Effect::Ask(question) => {
                let key = (job.id, question.attempt, question.key.clone());
                self.ids.contains(&question.id) || self.keys.contains(&key)
            }
            _ => false,
        })
    }

    fn note(&mut self, job: &Job, question: &Question) {
        self.ids.insert(question.id);
        self.keys.insert((job.id, question.attempt, question.key.clone()));
    }
}
