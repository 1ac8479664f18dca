//! What happens to jobs: one operation per file, the loops that keep promises, shims and their output.
//!
//! Every wait on something outside is bounded or ends with the thing waited for. A module uses only what stands
//! above it in this list; the doors (MCP, HTTP, CLI) translate, call an operation here, and translate back.

mod attempt;
mod calendar;
pub mod clock;
mod command;
mod deadline;
mod disowned;
mod dispatch;
mod ending;
mod engine;
pub mod environment;
mod firing;
mod fixture;
mod hub;
mod inner;
mod keeper;
mod keeping;
mod live;
mod membership;
pub mod ops;
mod others;
pub mod peers;
pub mod process;
mod reconcile;
mod rescue;
mod seen;
pub mod settings;
pub mod shim;
mod whole;

pub use clock::Clock;
pub use engine::Engine;
pub use keeping::Keeping;
pub use settings::{Retention, Settings};
