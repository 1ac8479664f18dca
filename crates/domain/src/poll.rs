//! When to ask again: the hint that every answer about an unfinished job carries.

use std::time::Duration;

use crate::estimate::Estimate;
use crate::job::StateName;

/// Shortest hint for an unfinished job.
pub const HINT_MIN: Duration = Duration::from_secs(1);
/// Longest hint.
pub const HINT_MAX: Duration = Duration::from_secs(60);

/// How long a caller should leave a job alone that has been `in_state` for that long.
///
/// Zero means that asking again is pointless: the job is finished. With an estimate it is half of what is left;
/// without one it grows with the time already spent, so that quick jobs are seen soon and long ones cost little.
pub fn poll_hint(state: StateName, in_state: Duration, estimate: Option<&Estimate>) -> Duration {
    let grown = |share: u32, least: u64| (in_state / share).clamp(Duration::from_secs(least), HINT_MAX);
    match state {
        StateName::Finished => Duration::ZERO,
        StateName::Stopping | StateName::Claimed => HINT_MIN,
        StateName::Running => match estimate.and_then(|estimate| estimate.remaining(in_state)) {
            Some(left) => (left / 2).clamp(HINT_MIN, HINT_MAX),
            None => grown(4, 2),
        },
        StateName::Queued | StateName::Waiting => grown(4, 5),
        StateName::Held | StateName::Asking => grown(8, 10).min(Duration::from_secs(30)),
    }
}
