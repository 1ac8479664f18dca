//! The protocol against the real engine: real database, real processes. Every exchange worth promising is a snapshot.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod handshake;
mod http;
mod kit;
mod redact;
mod resources;
mod stdio;
mod tools;
