//! The real binary, in homes of its own: what scripts, clients and people rely on.

#![expect(clippy::unwrap_used, reason = "a test that finds something missing has failed")]

mod access;
mod anynode;
mod bridge;
mod briefs;
mod commands;
mod daemon;
mod docs;
mod faults;
mod gaps;
mod harness;
mod http;
mod issuer;
mod lapse;
mod moving;
mod nodes;
mod oauth;
mod postgres;
#[cfg(target_os = "linux")]
mod privileges;
mod refusals;
mod restoring;
mod rubbish;
mod schedules;
mod scripts;
mod streams;
mod terminal;
