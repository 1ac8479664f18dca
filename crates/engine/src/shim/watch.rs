//! Sleeps until something happens that a shim must see to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::time::{Steady, steady, timespec};

/// Which descriptors are ready, in the order in which they were given; none if the time has come first.
pub(super) fn wait(interests: &[(BorrowedFd<'_>, PollFlags)], until: Option<Steady>) -> Vec<PollFlags> {
    let mut set: Vec<PollFd<'_>> =
        interests.iter().map(|(descriptor, flags)| PollFd::from_borrowed_fd(*descriptor, *flags)).collect();
    let timeout = until.map(|until| timespec(until.saturating_sub(steady())));
    match poll(&mut set, timeout.as_ref()) {
        Ok(_) => set.iter().map(PollFd::revents).collect(),
        Err(_) => vec![PollFlags::empty(); set.len()],
    }
}

/// Wakes at an instant of the steady clock, which goes on while the machine sleeps. Timeouts of `poll` do not.
#[derive(Default)]
pub(super) struct Alarm {
    timer: Option<OwnedFd>,
    set_to: Option<Steady>,
}

impl Alarm {
    /// Sets the alarm, or switches it off. A system without such timers rounds up to its own sleep.
    pub(super) fn set(&mut self, at: Option<Steady>) {
        if at != self.set_to {
            self.set_to = at;
            self.timer = at.and_then(timer);
        }
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(AsFd::as_fd)
    }

    /// What `poll` must be told in place of a timer.
    pub(super) fn timeout(&self) -> Option<Steady> {
        if self.timer.is_some() { None } else { self.set_to }
    }
}

#[cfg(target_os = "linux")]
fn timer(at: Steady) -> Option<OwnedFd> {
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

    let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK).ok()?;
    let times = Itimerspec { it_interval: timespec(Steady::ZERO), it_value: timespec(at) };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME, &times).ok()?;
    Some(timer)
}

#[cfg(not(target_os = "linux"))]
fn timer(_: Steady) -> Option<OwnedFd> {
    None
}
