//! The shim's clocks: one that nobody can set, and the wall clock for people.

use std::time::Duration;

use longshore_domain::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::clock::Clock;

/// Keeps counting while the machine sleeps, where the system has such a clock.
#[cfg(target_os = "linux")]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const STEADY: ClockId = ClockId::Monotonic;

/// An instant of the steady clock, as the time since an arbitrary moment.
pub(super) type Steady = Duration;

/// The present instant of the steady clock.
pub(super) fn steady() -> Steady {
    let now = clock_gettime(STEADY);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The present instant of the wall clock.
pub(super) fn wall() -> Timestamp {
    Clock::system().now()
}

/// A length of time as the system wants it.
pub(super) fn timespec(length: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX), tv_nsec: i64::from(length.subsec_nanos()) }
}
