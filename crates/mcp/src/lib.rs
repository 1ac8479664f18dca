//! The Model Context Protocol, spoken for Longshore's engine: both eras, over HTTP and over streams.
//!
//! A message is translated, one operation of the engine is called, and what it says is translated back; nothing
//! is decided here. A module uses only what stands above it in this list.

pub mod bridge;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod server;
mod wire;

pub use bridge::run_bridge;
pub use server::{Begun, Connection, Server, ServerSettings, Sink, http, stdio};
pub use wire::{CONVERSATION_VARIABLES, Hello, MESSAGE_BYTES_MAX, Reply};
