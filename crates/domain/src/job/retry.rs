//! When another attempt follows a failed one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::FailReason;
use crate::time::millis;

/// How often and how fast a job may run again after an attempt failed. The default is never.
///
/// Allowing a second run is the submitter's statement that running twice is harmless. It therefore also covers
/// attempts whose end nobody saw (`lost`); without it a lost attempt is never repeated (design rule 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// Attempts allowed after the first, 0 to 100.
    pub retries_max: u32,
    /// Wait before the second attempt; doubles with each further one.
    #[serde(with = "millis", rename = "backoff_ms")]
    pub backoff: Duration,
    /// Longest wait.
    #[serde(with = "millis", rename = "backoff_max_ms")]
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries_max: 0, backoff: Duration::from_secs(1), backoff_max: Duration::from_secs(600) }
    }
}

impl RetryPolicy {
    /// Most retries that a submitter may ask for.
    pub const RETRIES_MAX: u32 = 100;

    /// `retries` further attempts with the usual back-off.
    pub fn times(retries: u32) -> Self {
        Self { retries_max: retries.min(Self::RETRIES_MAX), ..Self::default() }
    }

    /// Whether another attempt may follow the `failures`th failed one (from 1), which ended with `reason`.
    pub fn allows(&self, failures: u32, reason: FailReason) -> bool {
        reason.of_an_attempt() && failures <= self.retries_max
    }

    /// The wait after the `failures`th failed attempt (from 1): exponential, spread by `jitter` over its upper half.
    ///
    /// `jitter` is any number that differs between jobs; equal inputs give equal waits.
    pub fn wait_after(&self, failures: u32, jitter: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.backoff.saturating_mul(1 << doublings).min(self.backoff_max);
        let half = full / 2;
        let share = u32::try_from(mix(jitter ^ u64::from(failures)) >> 44).unwrap_or(0);
        half + half.mul_f64(f64::from(share) / f64::from(1u32 << 20))
    }
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
