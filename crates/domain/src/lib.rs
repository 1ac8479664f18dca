//! What a job *is*: ids, states, transitions, retries, estimates, faults, and the storage port.
//!
//! Nothing here reads a clock, the environment or randomness, and nothing does I/O: the time and new
//! ids come in as arguments. A module uses only what stands above it in this list.

pub mod access;
pub mod artifact;
pub mod estimate;
pub mod fault;
pub mod id;
pub mod job;
pub mod label;
pub mod node;
pub mod poll;
pub mod position;
pub mod schedule;
pub mod scope;
pub mod store;
pub mod time;

#[cfg(test)]
mod tests;

pub use access::{Conversation, Principal, PrincipalClass};
pub use fault::{Fault, FaultCode};
pub use id::{AttemptNumber, EventSeq, JobId, JobNumber, NodeId, Nonce, QuestionId, ScheduleId};
pub use job::{Job, JobState, Outcome};
pub use label::{InvalidLabels, Labels};
pub use node::{NewNode, NodeRecord};
pub use position::Position;
pub use scope::{Grant, Scope, Scopes};
pub use time::{Timestamp, When};
