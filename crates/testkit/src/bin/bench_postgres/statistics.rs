//! What is said of many samples.

use std::time::Duration;

pub(crate) fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    samples[((samples.len() - 1) as f64 * share) as usize]
}

pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}
