//! The queues as the writer sees them: their limits, how much of each is taken, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, QueueName, StateName};
use longshore_domain::label::Labels;
use rusqlite::{Connection, OptionalExtension, params};

use super::errors::Attempted;
use super::rows;
use crate::columns;

/// First jobs of a line that are kept in memory: enough for a batch of claims without a query for each.
const WINDOW_MAX: usize = 256;
/// Limits of queues that are kept in memory; of more than these all are read anew.
const LIMITS_MAX: usize = 1024;

pub(crate) const READY_SQL: &str =
    "SELECT priority, number FROM job WHERE phase = ?1 AND queue = ?2 ORDER BY priority DESC, number LIMIT ?3";
pub(crate) const LIVE_COUNT_SQL: &str = "SELECT queue, count(*) FROM job \
     WHERE phase = 'live' GROUP BY queue";
/// The lines that have ready jobs, found by going from one to the next along the index.
pub(crate) const LINES_SQL: &str = "WITH RECURSIVE first (number) AS (\
     SELECT (SELECT number FROM job WHERE phase >= 'queued' AND phase < 'queued!' ORDER BY phase, queue LIMIT 1) \
     UNION ALL SELECT (SELECT n.number FROM job AS n WHERE (n.phase, n.queue) > (+j.phase, +j.queue) \
     AND n.phase < 'queued!' ORDER BY n.phase, n.queue LIMIT 1) FROM first CROSS JOIN job AS j ON j.number = first.number) \
     SELECT j.queue, substr(j.phase, 8) FROM first CROSS JOIN job AS j ON j.number = first.number";

/// The queues in which something is ready or live: those that are idle cost a claim nothing. Follows every change that the
/// writer makes; after a rollback it must be read anew.
#[derive(Default)]
pub(super) struct Lines {
    queues: BTreeMap<QueueName, Queue>,
    /// Limits of queues that were looked at lately, idle or not.
    limits: HashMap<QueueName, u32>,
}

#[derive(Default)]
struct Queue {
    concurrency: u32,
    live: u32,
    /// Lines that are not empty. Jobs that require the same stand in one.
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
        let mut counts = connection.prepare_cached(LIVE_COUNT_SQL)?;
        let mut found = counts.query([])?;
        while let Some(row) = found.next()? {
            lines.open(&rows::queue_name(row, 0)?, connection)?.live = row.get(1)?;
        }
        let mut ready = connection.prepare_cached(LINES_SQL)?;
        let mut found = ready.query([])?;
        while let Some(row) = found.next()? {
            let queue = lines.open(&rows::queue_name(row, 0)?, connection)?;
            queue.lines.insert(rows::parse(row, 1)?, Line::default());
        }
        Ok(lines)
    }

    /// Whether the queue is known to be on record.
    pub(super) fn knows(&self, queue: &QueueName) -> bool {
        self.limits.contains_key(queue)
    }

    /// Notes the limit of a queue that is on record.
    pub(super) fn set(&mut self, name: QueueName, concurrency: u32) {
        if let Some(queue) = self.queues.get_mut(&name) {
            queue.concurrency = concurrency;
        }
        if self.limits.len() >= LIMITS_MAX {
            self.limits.clear();
        }
        self.limits.insert(name, concurrency);
    }

    /// Follows a job from state `before` (nothing for a job that just came to be) to where it stands now, as the database
    /// has it already.
    pub(super) fn follow(&mut self, before: Option<StateName>, job: &Job, connection: &Connection) -> Attempted<()> {
        let after = job.state.name();
        // Whoever leaves a line or is live has its queue here.
        if after != StateName::Queued && !self.queues.contains_key(&job.queue) {
            return Ok(());
        }
        let queue = self.open(&job.queue, connection)?;
        let rank = (Reverse(job.priority), job.number);
        if before == Some(StateName::Queued) {
            queue.leave(job, rank, connection)?;
        }
        if after == StateName::Queued {
            queue.join(&job.requires, rank);
        }
        match (before.is_some_and(StateName::is_live), after.is_live()) {
            (false, true) => queue.live += 1,
            (true, false) => queue.live = queue.live.saturating_sub(1),
            _ => {}
        }
        if queue.live == 0 && queue.lines.is_empty() {
            self.queues.remove(&job.queue);
        }
        Ok(())
    }

    /// The queue of that name, which is on record.
    fn open(&mut self, name: &QueueName, connection: &Connection) -> Attempted<&mut Queue> {
        if !self.queues.contains_key(name) {
            let concurrency = self.limit(name, connection)?;
            self.queues.insert(name.clone(), Queue { concurrency, ..Queue::default() });
        }
        Ok(self.queues.entry(name.clone()).or_default())
    }

    fn limit(&mut self, name: &QueueName, connection: &Connection) -> Attempted<u32> {
        if let Some(limit) = self.limits.get(name) {
            return Ok(*limit);
        }
        let mut statement = connection.prepare_cached("SELECT concurrency FROM queue WHERE name = ?1")?;
        let limit = statement.query_row([name.as_str()], |row| row.get(0)).optional()?.unwrap_or_default();
        self.set(name.clone(), limit);
        Ok(limit)
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
    fn leave(&mut self, job: &Job, rank: Rank, connection: &Connection) -> Attempted<()> {
        let Some(line) = self.lines.get_mut(&job.requires) else { return Ok(()) };
        line.window.remove(&rank);
        if line.first(&job.queue, &job.requires, connection)?.is_none() {
            self.lines.remove(&job.requires);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use longshore_domain::job::{JobState, Outcome};
    use longshore_domain::store::NewJob;

    use super::*;
    use crate::conformance::Place;
    use crate::conformance::scene::{Scene, cancel, queue};
    use crate::tests::Folder;

    fn busy(lines: &Lines) -> Vec<&str> {
        lines.queues.keys().map(QueueName::as_str).collect()
    }

    #[tokio::test]
    async fn idle_queues_are_not_kept_and_limits_are_bounded() {
        let folder = Folder::new();
        let scene = Scene::over(folder.open().await);
        let of = |name: &str| NewJob { queue: queue(name), ..scene.job() };
        for name in 0..20 {
            let once = scene.accept(of(&format!("once-{name}"))).await;
            scene.happen(once.id, cancel()).await;
        }
        let live = scene.claimed(of("live")).await;
        let ready = [scene.accept(of("b")).await, scene.accept(of("a")).await, scene.accept(of("a")).await];
        let gpu = scene.accept(NewJob { requires: "gpu".parse().expect("labels"), ..of("gpu") }).await;
        let connection = Connection::open(folder.database()).expect("opens");
        let mut lines = Lines::read(&connection).expect("read");
        assert_eq!(busy(&lines), ["a", "b", "gpu", "live"]);
        scene.store.close().await;
        for job in ready.iter().chain([&gpu, &live]) {
            let sql = "UPDATE job SET state = 'finished', phase = NULL WHERE number = ?1";
            connection.execute(sql, [job.number.0 as i64]).expect("written");
            let mut ended = job.clone();
            ended.state = JobState::Finished { outcome: Outcome::cancelled(None), at: job.submitted_at };
            lines.follow(Some(job.state.name()), &ended, &connection).expect("followed");
        }
        assert_eq!(busy(&lines), [""; 0]);
        for name in 0..2 * LIMITS_MAX {
            lines.set(queue(&format!("set-{name}")), 1);
            assert!(lines.limits.len() <= LIMITS_MAX);
        }
    }
}
