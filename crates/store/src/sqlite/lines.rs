//! The queues as the writer sees them: their limits, how much of each is taken, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, QueueName, StateName};
use longshore_domain::label::Labels;
use rusqlite::{Connection, params};

use super::errors::Attempted;
use super::rows;
use crate::columns;

/// First jobs of a line that are kept in memory: enough for a batch of claims without a query for each.
const WINDOW_MAX: usize = 256;

pub(crate) const READY_SQL: &str =
    "SELECT priority, number FROM job WHERE phase = ?1 AND queue = ?2 ORDER BY priority DESC, number LIMIT ?3";
pub(crate) const LIVE_COUNT_SQL: &str = "SELECT queue, count(*) FROM job \
     WHERE phase = 'live' GROUP BY queue";
/// The lines of ready jobs that require something.
pub(crate) const LABELLED_SQL: &str = "SELECT DISTINCT queue, substr(phase, 8) FROM job \
     WHERE phase > 'queued ' AND phase < 'queued!'";

/// All queues. Follows every change that the writer makes; after a rollback it must be read anew.
#[derive(Default)]
pub(super) struct Lines {
    queues: BTreeMap<QueueName, Queue>,
}

#[derive(Default)]
struct Queue {
    concurrency: u32,
    live: u32,
    /// Jobs that require the same stand in one line.
    lines: BTreeMap<Labels, Line>,
}

/// Place of a ready job in its line: by priority, then by age.
type Rank = (Reverse<i16>, JobNumber);

#[derive(Default)]
struct Line {
    /// The first ready jobs in their order, without gaps.
    window: BTreeSet<Rank>,
    /// The window holds every ready job of the line.
    complete: bool,
}

impl Lines {
    /// The queues as the database has them.
    pub(super) fn read(connection: &Connection) -> Attempted<Self> {
        let mut lines = Self::default();
        let mut queues = connection.prepare_cached("SELECT name, concurrency FROM queue")?;
        let mut found = queues.query([])?;
        while let Some(row) = found.next()? {
            lines.set(rows::queue_name(row, 0)?, row.get(1)?);
        }
        let mut counts = connection.prepare_cached(LIVE_COUNT_SQL)?;
        let mut found = counts.query([])?;
        while let Some(row) = found.next()? {
            lines.queues.entry(rows::queue_name(row, 0)?).or_default().live = row.get(1)?;
        }
        let mut labelled = connection.prepare_cached(LABELLED_SQL)?;
        let mut found = labelled.query([])?;
        while let Some(row) = found.next()? {
            let queue = lines.queues.entry(rows::queue_name(row, 0)?).or_default();
            queue.lines.insert(rows::parse(row, 1)?, Line::default());
        }
        Ok(lines)
    }

    pub(super) fn knows(&self, queue: &QueueName) -> bool {
        self.queues.contains_key(queue)
    }

    pub(super) fn set(&mut self, name: QueueName, concurrency: u32) {
        let queue = self.queues.entry(name).or_default();
        queue.concurrency = concurrency;
        queue.lines.entry(Labels::default()).or_default();
    }

    /// Follows a job from state `before` (nothing for a job that just came to be) to where it stands now.
    pub(super) fn follow(&mut self, before: Option<StateName>, job: &Job) {
        let Some(queue) = self.queues.get_mut(&job.queue) else { return };
        let after = job.state.name();
        let rank = (Reverse(job.priority), job.number);
        if before == Some(StateName::Queued) {
            queue.leave(&job.requires, rank);
        }
        if after == StateName::Queued {
            queue.join(&job.requires, rank);
        }
        match (before.is_some_and(StateName::is_live), after.is_live()) {
            (false, true) => queue.live += 1,
            (true, false) => queue.live = queue.live.saturating_sub(1),
            _ => {}
        }
    }

    /// The job to be claimed next by whoever has `labels`: of the queues with room, the one of highest priority, then of
    /// the queue that has the fewest live, then the oldest.
    pub(super) fn next(&mut self, labels: &Labels, connection: &Connection) -> Attempted<Option<JobNumber>> {
        let mut best = None;
        for (name, queue) in self.queues.iter_mut().filter(|(_, queue)| queue.live < queue.concurrency) {
            for (requires, line) in queue.lines.iter_mut().filter(|(requires, _)| labels.cover(requires)) {
                let Some((priority, number)) = line.first(name, requires, connection)? else { continue };
                let turn = (priority, queue.live, number);
                best = Some(best.map_or(turn, |best: (_, _, _)| best.min(turn)));
            }
        }
        Ok(best.map(|(_, _, number)| number))
    }
}

impl Queue {
    fn leave(&mut self, requires: &Labels, rank: Rank) {
        let Some(line) = self.lines.get_mut(requires) else { return };
        line.window.remove(&rank);
        // Lines of labels come and go: there may be many in the course of time.
        if line.complete && line.window.is_empty() && !requires.is_empty() {
            self.lines.remove(requires);
        }
    }

    fn join(&mut self, requires: &Labels, rank: Rank) {
        match self.lines.get_mut(requires) {
            Some(line) => line.admit(rank),
            // Whatever is not remembered is empty.
            None => {
                let line = Line { window: [rank].into(), complete: true };
                self.lines.insert(requires.clone(), line);
            }
        }
    }
}

impl Line {
    fn admit(&mut self, rank: Rank) {
        // Behind the end of an incomplete window stand others that are not known.
        if !self.complete && self.window.last().is_none_or(|last| rank > *last) {
            return;
        }
        self.window.insert(rank);
        if self.window.len() > WINDOW_MAX {
            self.window.pop_last();
            self.complete = false;
        }
    }

    fn first(&mut self, queue: &QueueName, requires: &Labels, connection: &Connection) -> Attempted<Option<Rank>> {
        if self.window.is_empty() && !self.complete {
            self.refill(queue, requires, connection)?;
        }
        Ok(self.window.first().copied())
    }

    fn refill(&mut self, queue: &QueueName, requires: &Labels, connection: &Connection) -> Attempted<()> {
        let mut statement = connection.prepare_cached(READY_SQL)?;
        let rank = |row: &rusqlite::Row<'_>| Ok((Reverse(row.get(0)?), rows::number(row, 1)?));
        let phase = columns::phase_of(StateName::Queued, requires);
        let found = statement.query_map(params![phase, queue.as_str(), WINDOW_MAX as i64], rank)?;
        self.window = found.collect::<rusqlite::Result<_>>()?;
        self.complete = self.window.len() < WINDOW_MAX;
        Ok(())
    }
}
