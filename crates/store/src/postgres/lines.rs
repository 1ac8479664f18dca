//! The queues as a batch sees them: their limits, how much of each is taken, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, QueueName, StateName};
use longshore_domain::label::Labels;

/// The queues that have ready jobs or may have some by the end of the batch, and the first of those of each, as read under
/// the lock of claims; nothing if the batch claims nothing.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<QueueName, Queue>);

/// Place of a ready job in its line: by priority, then by age.
type Rank = (Reverse<i16>, JobNumber);

struct Queue {
    concurrency: u64,
    live: u64,
    /// As many of the first as the batch can take, or all there are, by what they require.
    ready: BTreeMap<Labels, BTreeSet<Rank>>,
}

impl Lines {
    /// Adds a queue unless it is known.
    pub(super) fn open(&mut self, queue: QueueName, concurrency: u64, live: u64) {
        self.0.entry(queue).or_insert(Queue { concurrency, live, ready: BTreeMap::new() });
    }

    /// Adds a job that was read as ready.
    pub(super) fn admit(&mut self, job: &Job) {
        if let Some(queue) = self.0.get_mut(&job.queue) {
            queue.join(job);
        }
    }

    /// Follows a job from state `before` (nothing for a job that just came to be) to where it stands now.
    pub(super) fn follow(&mut self, before: Option<StateName>, job: &Job) {
        let Some(queue) = self.0.get_mut(&job.queue) else { return };
        let after = job.state.name();
        if before == Some(StateName::Queued) {
            queue.leave(job);
        }
        if after == StateName::Queued {
            queue.join(job);
        }
        match (before.is_some_and(StateName::is_live), after.is_live()) {
            (false, true) => queue.live += 1,
            (true, false) => queue.live = queue.live.saturating_sub(1),
            _ => {}
        }
    }

    /// The job to be claimed next by whoever has `labels`: of the queues with room, the one of highest priority, then of
    /// the queue that has the fewest live, then the oldest.
    pub(super) fn next(&self, labels: &Labels) -> Option<JobNumber> {
        let open = self.0.values().filter(|queue| queue.live < queue.concurrency);
        let firsts = open.flat_map(|queue| {
            let lines = queue.ready.iter().filter(|(requires, _)| labels.cover(requires));
            lines.filter_map(|(_, line)| line.first()).map(|(priority, number)| (*priority, queue.live, *number))
        });
        firsts.min().map(|(_, _, number)| number)
    }
}

impl Queue {
    fn join(&mut self, job: &Job) {
        match self.ready.get_mut(&job.requires) {
            Some(line) => drop(line.insert(rank(job))),
            None => drop(self.ready.insert(job.requires.clone(), [rank(job)].into())),
        }
    }

    fn leave(&mut self, job: &Job) {
        if let Some(line) = self.ready.get_mut(&job.requires) {
            line.remove(&rank(job));
        }
    }
}

fn rank(job: &Job) -> Rank {
    (Reverse(job.priority), job.number)
}
