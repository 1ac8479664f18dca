//! The queues as a batch sees them: their limits, how much of each is taken, and who is next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use longshore_domain::id::JobNumber;
use longshore_domain::job::{Job, QueueName, StateName};

/// All queues and the first ready jobs of each, as read under the lock of claims; nothing if the batch claims nothing.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<QueueName, Line>);

/// Place of a ready job in its queue: by priority, then by age.
type Rank = (Reverse<i16>, JobNumber);

struct Line {
    concurrency: u64,
    live: u64,
    /// As many of the first as the batch can take, or all there are.
    ready: BTreeSet<Rank>,
}

impl Lines {
    /// Adds a queue unless it is known.
    pub(super) fn open(&mut self, queue: QueueName, concurrency: u64, live: u64) {
        self.0.entry(queue).or_insert(Line { concurrency, live, ready: BTreeSet::new() });
    }

    /// Adds a job that was read as ready.
    pub(super) fn admit(&mut self, job: &Job) {
        if let Some(line) = self.0.get_mut(&job.queue) {
            line.ready.insert(rank(job));
        }
    }

    /// Follows a job from state `before` (nothing for a job that just came to be) to where it stands now.
    pub(super) fn follow(&mut self, before: Option<StateName>, job: &Job) {
        let Some(line) = self.0.get_mut(&job.queue) else { return };
        let after = job.state.name();
        if before == Some(StateName::Queued) {
            line.ready.remove(&rank(job));
        }
        if after == StateName::Queued {
            line.ready.insert(rank(job));
        }
        match (before.is_some_and(StateName::is_live), after.is_live()) {
            (false, true) => line.live += 1,
            (true, false) => line.live = line.live.saturating_sub(1),
            _ => {}
        }
    }

    /// The job to be claimed next: of the queues with room, the one of highest priority, then the oldest.
    pub(super) fn next(&self) -> Option<JobNumber> {
        let open = self.0.values().filter(|line| line.live < line.concurrency);
        open.filter_map(|line| line.ready.first()).min().map(|(_, number)| *number)
    }
}

fn rank(job: &Job) -> Rank {
    (Reverse(job.priority), job.number)
}
