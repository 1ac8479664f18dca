//! The daemon's side of running commands: has shims made, talks to them, finds them again, reads their output.
//!
//! Only here are programs started. The shims themselves are in [`crate::shim`].

mod error;
mod launch;
mod leftovers;
mod link;
mod lock;
mod lookup;
pub mod output;
mod passing;
mod spawner;

pub use crate::shim::wire::{AttemptPlan, Progress};
pub use error::ProcessError;
pub use leftovers::kill_leftovers;
pub use link::{ShimControl, ShimLink, ShimReport};
pub use lookup::{Found, exit_record, forget, forget_all_but, look_up};
pub use spawner::{Spawner, SpawnerOptions};
