//! The daemon's side of running commands: has shims made, talks to them, finds them again, reads their output.
//!
//! Only here are programs started. The shims themselves are in [`crate::shim`].

mod error;
pub(crate) mod labels;
pub(crate) mod last_lines;
mod launch;
mod leftovers;
mod link;
mod lock;
mod lookup;
pub mod output;
mod passing;
mod scope;
mod spawner;
mod wake;

pub(crate) use crate::shim::cgroup::leaves;
pub use crate::shim::wire::{AttemptPlan, Progress};
pub use error::ProcessError;
pub use leftovers::{Traces, end_leaf, kill_leftovers};
pub use link::{ShimControl, ShimLink, ShimReport};
pub use lookup::{Found, end, exit_record, forget, look_up, traces};
pub use scope::scoped;
pub use spawner::{Placed, Spawner, SpawnerOptions};
pub(crate) use wake::wake_shim;
