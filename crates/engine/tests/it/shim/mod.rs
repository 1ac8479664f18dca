//! Shims, seen from the daemon's side, with real processes.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

pub(crate) mod kit;

mod ending;
mod looking_up;
mod output;
mod starting;
mod surroundings;
