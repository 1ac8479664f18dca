//! How long a job will probably take, learned from like jobs or told by its progress. An honest guess, or nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::millis;

/// Successes of one likeness that are remembered, the newest.
pub const SAMPLES_MAX: usize = 20;
/// Fewer successes than this give no estimate.
pub const SAMPLES_MIN: usize = 3;
/// Progress of fewer percent says too little of the rest.
const PERCENT_MIN: f64 = 5.0;
/// So does what was done in less time.
const ELAPSED_MIN: Duration = Duration::from_secs(3);

/// What is left after `elapsed` of something that is done to `percent`, if it goes on as it went; nothing as long as that
/// says too little, and nothing once it says that all is done.
pub fn remaining_by_progress(percent: f64, elapsed: Duration) -> Option<Duration> {
    let tells = (PERCENT_MIN..100.0).contains(&percent) && elapsed >= ELAPSED_MIN;
    tells.then(|| elapsed.mul_f64((100.0 - percent) / percent))
}

/// A range in which four of five like jobs ended, at least as far as the few remembered tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// A tenth of the like jobs ended sooner.
    #[serde(with = "millis", rename = "low_ms")]
    pub low: Duration,
    /// Half of them ended sooner.
    #[serde(with = "millis", rename = "middle_ms")]
    pub middle: Duration,
    /// A tenth of them took longer.
    #[serde(with = "millis", rename = "high_ms")]
    pub high: Duration,
    /// How many successes this rests on.
    pub samples: u32,
}

impl Estimate {
    /// The estimate that earlier successes give; nothing with fewer than [`SAMPLES_MIN`].
    pub fn from_samples(samples: &[Duration]) -> Option<Self> {
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        Some(Self { low: at(0.1), middle: at(0.5), high: at(0.9), samples: sorted.len() as u32 })
    }

    /// The middle of what is left after `elapsed`; nothing once a job has outrun its range.
    pub fn remaining(&self, elapsed: Duration) -> Option<Duration> {
        match elapsed {
            _ if elapsed < self.middle => Some(self.middle - elapsed),
            _ if elapsed < self.high => Some((self.high - elapsed) / 2),
            _ => None,
        }
    }

    /// Share of the work that is probably done, 0 to 0.99; nothing once a job has outrun its range.
    pub fn share_done(&self, elapsed: Duration) -> Option<f64> {
        let remaining = self.remaining(elapsed)?.as_secs_f64();
        let elapsed = elapsed.as_secs_f64();
        Some((elapsed / (elapsed + remaining).max(f64::MIN_POSITIVE)).min(0.99))
    }
}
