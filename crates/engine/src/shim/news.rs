//! When to tell daemons of new output and progress, so that neither side is kept busy by a chatty command.

use std::time::Duration;

use super::progress::{ProgressSeen, SCANNED_BYTES_MAX};
use super::time::Steady;
use super::wire::Progress;

/// Shortest time between two looks for progress.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Shortest time between two tellings of new output.
const OUTPUT_EVERY: Duration = Duration::from_millis(50);
/// Shortest time between two tellings of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Who is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    Followers,
    Everybody,
}

/// What was not told yet.
#[derive(Default)]
pub(super) struct News {
    progress: ProgressSeen,
    newest: Vec<u8>,
    unseen: bool,
    look_at: Steady,
    output: bool,
    output_at: Steady,
    progress_changed: bool,
    progress_at: Steady,
}

impl News {
    /// Takes note of new output.
    pub(super) fn printed(&mut self, bytes: &[u8]) {
        let from = bytes.len().saturating_sub(SCANNED_BYTES_MAX);
        let excess = (self.newest.len() + bytes.len() - from).saturating_sub(2 * SCANNED_BYTES_MAX);
        if excess > 0 {
            self.newest.drain(..self.newest.len().min(SCANNED_BYTES_MAX));
        }
        self.newest.extend_from_slice(&bytes[from..]);
        self.unseen = true;
        self.output = true;
    }

    /// Somebody new wants to be told.
    pub(super) fn repeat(&mut self) {
        self.output = true;
        self.output_at = Steady::ZERO;
    }

    /// The furthest progress, with the newest output taken into account.
    pub(super) fn progress(&mut self, now: Steady) -> Option<&Progress> {
        if self.unseen {
            self.unseen = false;
            self.look_at = now + LOOK_EVERY;
            self.progress_changed |= self.progress.look_at(&self.newest);
        }
        self.progress.furthest()
    }

    /// Who is to be told something at this instant.
    pub(super) fn due(&mut self, now: Steady, followed: bool) -> Option<Audience> {
        if self.unseen && now >= self.look_at {
            self.progress(now);
        }
        let progress = self.progress_changed && now >= self.progress_at;
        let output = self.output && followed && now >= self.output_at;
        if progress {
            self.progress_changed = false;
            self.progress_at = now + PROGRESS_EVERY;
        }
        if progress || output {
            self.output = false;
            self.output_at = now + OUTPUT_EVERY;
        }
        match (progress, output) {
            (true, _) => Some(Audience::Everybody),
            (false, true) => Some(Audience::Followers),
            (false, false) => None,
        }
    }

    /// When [`News::due`] will have something, if nothing new comes.
    pub(super) fn next_at(&self, followed: bool) -> Option<Steady> {
        let look = self.unseen.then_some(self.look_at);
        let output = (self.output && followed).then_some(self.output_at);
        let progress = self.progress_changed.then_some(self.progress_at);
        [look, output, progress].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(at: u64) -> Steady {
        Steady::from_millis(at)
    }

    #[test]
    fn followers_hear_at_once_and_then_at_intervals() {
        let mut news = News::default();
        assert_eq!(news.next_at(true), None);
        news.printed(b"a");
        assert_eq!(news.due(ms(1_000), true), Some(Audience::Followers));
        assert_eq!(news.next_at(true), None);
        news.printed(b"b");
        assert_eq!(news.due(ms(1_010), true), None);
        assert_eq!(news.next_at(true), Some(ms(1_050)));
        assert_eq!(news.due(ms(1_050), true), Some(Audience::Followers));
    }

    #[test]
    fn progress_is_told_to_everybody_and_at_most_once_a_second() {
        let mut news = News::default();
        news.printed(b"10%\n");
        assert_eq!(news.due(ms(5_000), false), Some(Audience::Everybody));
        news.printed(b"20");
        news.printed(b"%\n");
        assert_eq!(news.due(ms(5_100), false), None);
        assert_eq!(news.due(ms(5_300), false), None);
        assert_eq!(news.next_at(false), Some(ms(6_000)));
        assert_eq!(news.due(ms(6_000), false), Some(Audience::Everybody));
        assert_eq!(news.progress(ms(6_000)).map(|found| found.percent), Some(20.0));
    }

    #[test]
    fn memory_of_output_is_bounded() {
        let mut news = News::default();
        for _ in 0..100 {
            news.printed(&[b'x'; 3_000]);
            news.printed(&[b'x'; 30_000]);
            assert!(news.newest.len() <= 2 * SCANNED_BYTES_MAX);
        }
    }
}
