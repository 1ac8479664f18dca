//! The protocol against the real engine: real database, real processes. Every exchange worth promising is a snapshot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asking;
mod asks;
mod batches;
mod beside;
mod bridged;
mod briefs;
mod conversations;
mod handshake;
mod http;
mod kit;
mod lasting;
mod legacy_tasks;
mod legs;
mod listen;
mod peer;
mod redact;
mod resources;
mod stdio;
mod tasks;
mod tokens;
mod told;
mod tools;
mod writes;
