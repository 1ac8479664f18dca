//! How long it is worth waiting for a batch to grow.

use std::time::Duration;

/// Whoever misses a batch waits for two, and callers fall apart into two groups that each pay for a commit. But where
/// callers take longer to come back than a commit takes, waiting only wastes the processor they need.
pub(crate) struct Patience {
    most: Duration,
    batches: u64,
}

impl Patience {
    /// Longest wait for a batch to grow, at work: less than a sync of any disk takes.
    const MOST: Duration = Duration::from_micros(150);
    /// Batches after which the full wait is tried again.
    const PROBE: u64 = 64;

    pub(crate) fn new() -> Self {
        Self { most: Self::MOST, batches: 0 }
    }

    /// How long to wait for the batch that comes now.
    pub(crate) fn next(&mut self) -> Duration {
        self.batches += 1;
        if self.batches.is_multiple_of(Self::PROBE) { Self::MOST } else { self.most }
    }

    /// Notes whether the batch grew to what was expected while it was waited for.
    pub(crate) fn learn(&mut self, grew: bool) {
        self.most = if grew { Self::MOST } else { self.most / 2 };
    }
}
