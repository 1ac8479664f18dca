//! Trying again, with growing pauses and an end.

use std::time::Duration;

use tokio::time::Instant;

use super::errors::{Again, Attempted, Trouble};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often somebody else may be in the way before it is taken for a fault of ours.
const AT_ONCE_MAX: u32 = 10;

/// How often something was tried, and how long it may still be.
pub(super) struct Tries {
    give_up_at: Instant,
    pause: Duration,
    at_once: u32,
}

impl Tries {
    pub(super) fn new(patience: Duration) -> Self {
        Self { give_up_at: Instant::now() + patience, pause: PAUSE_FIRST, at_once: 0 }
    }

    /// Waits until it may be tried again.
    ///
    /// # Errors
    /// The trouble, if trying again is of no use or the patience is at its end.
    pub(super) async fn again(&mut self, trouble: Trouble) -> Attempted<()> {
        let worth_it = match trouble.again() {
            Again::Never => false,
            Again::AtOnce => {
                self.at_once += 1;
                self.at_once <= AT_ONCE_MAX
            }
            Again::Later => self.pause().await,
        };
        match worth_it {
            true => {
                tracing::debug!(error = %trouble, "transaction is tried again");
                Ok(())
            }
            false => Err(trouble),
        }
    }

    /// Waits, longer each time; whether there is time left to try again.
    pub(super) async fn pause(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.give_up_at {
            return false;
        }
        tokio::time::sleep_until((now + self.pause).min(self.give_up_at)).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}
