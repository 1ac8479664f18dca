//! How many jobs may be submitted by now: a share of them for each disturbance, so that there is work whenever one comes.

use std::sync::{Condvar, Mutex, PoisonError};

/// Leave to submit jobs, one for each.
pub(crate) struct Tickets {
    total: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    taken: usize,
    allowed: usize,
}

impl Tickets {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Lets `count` more be taken, if there are so many left.
    pub(crate) fn allow(&self, count: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.allowed = self.total.min(state.allowed + count);
        self.changed.notify_all();
    }

    /// Waits for one; nothing once all were taken.
    pub(crate) fn take(&self) -> Option<usize> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let all_is_taken = |state: &mut State| state.taken == state.allowed && state.allowed < self.total;
        let mut state = self.changed.wait_while(state, all_is_taken).unwrap_or_else(PoisonError::into_inner);
        let number = state.taken;
        if number == self.total {
            return None;
        }
        state.taken += 1;
        Some(number)
    }

    /// There is nothing to be submitted any more.
    pub(crate) fn void(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.taken, state.allowed) = (self.total, self.total);
        self.changed.notify_all();
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).taken == self.total
    }
}
