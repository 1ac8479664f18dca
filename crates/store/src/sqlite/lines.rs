//! The queues as the writer sees them: their limits, how much of each is taken, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, QueueName, StateName};
use rusqlite::{Connection, params};

use super::errors::Attempted;
use super::rows;

/// First jobs of a queue that are kept in memory: enough for a batch of claims without a query for each.
const WINDOW_MAX: usize = 256;

pub(crate) const READY_SQL: &str =
    "SELECT priority, number FROM job WHERE phase = 'queued' AND queue = ?1 ORDER BY priority DESC, number LIMIT ?2";
pub(crate) const LIVE_COUNT_SQL: &str = "SELECT queue, count(*) FROM job \
     WHERE phase = 'live' GROUP BY queue";

/// All queues. Follows every change that the writer makes; after a rollback it must be read anew.
#[derive(Default)]
pub(super) struct Lines {
    lines: BTreeMap<QueueName, Line>,
}

/// Place of a ready job in its queue: by priority, then by age.
type Rank = (Reverse<i16>, JobNumber);

#[derive(Default)]
struct Line {
    concurrency: u32,
    live: u32,
    /// The first ready jobs in their order, without gaps.
    window: BTreeSet<Rank>,
    /// The window holds every ready job of the queue.
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
            lines.lines.entry(rows::queue_name(row, 0)?).or_default().live = row.get(1)?;
        }
        Ok(lines)
    }

    pub(super) fn knows(&self, queue: &QueueName) -> bool {
        self.lines.contains_key(queue)
    }

    pub(super) fn set(&mut self, queue: QueueName, concurrency: u32) {
        self.lines.entry(queue).or_default().concurrency = concurrency;
    }

    /// Follows a job from state `before` (nothing for a job that just came to be) to where it stands now.
    pub(super) fn follow(&mut self, before: Option<StateName>, job: &Job) {
        let Some(line) = self.lines.get_mut(&job.queue) else { return };
        let after = job.state.name();
        let rank = (Reverse(job.priority), job.number);
        if before == Some(StateName::Queued) {
            line.window.remove(&rank);
        }
        if after == StateName::Queued {
            line.admit(rank);
        }
        match (before.is_some_and(StateName::is_live), after.is_live()) {
            (false, true) => line.live += 1,
            (true, false) => line.live = line.live.saturating_sub(1),
            _ => {}
        }
    }

    /// The job to be claimed next: of the queues with room, the one of highest priority, then the oldest.
    pub(super) fn next(&mut self, connection: &Connection) -> Attempted<Option<JobNumber>> {
        let mut best: Option<Rank> = None;
        for (name, line) in self.lines.iter_mut().filter(|(_, line)| line.live < line.concurrency) {
            let Some(first) = line.first(name, connection)? else { continue };
            best = Some(best.map_or(first, |best| best.min(first)));
        }
        Ok(best.map(|(_, number)| number))
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

    fn first(&mut self, name: &QueueName, connection: &Connection) -> Attempted<Option<Rank>> {
        if self.window.is_empty() && !self.complete {
            self.refill(name, connection)?;
        }
        Ok(self.window.first().copied())
    }

    fn refill(&mut self, name: &QueueName, connection: &Connection) -> Attempted<()> {
        let mut statement = connection.prepare_cached(READY_SQL)?;
        let rank = |row: &rusqlite::Row<'_>| Ok((Reverse(row.get(0)?), rows::number(row, 1)?));
        let found = statement.query_map(params![name.as_str(), WINDOW_MAX as i64], rank)?;
        self.window = found.collect::<rusqlite::Result<_>>()?;
        self.complete = self.window.len() < WINDOW_MAX;
        Ok(())
    }
}
