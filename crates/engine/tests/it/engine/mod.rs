//! Whole jobs: the real store, real spawners, shims and commands.

#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected fails")]

mod asking;
mod briefs;
mod cleaning;
mod deadlines;
mod ending;
mod keeping;
mod kit;
mod labelling;
mod listing;
mod nodes;
mod recovery;
mod retaining;
mod scheduling;
mod seeing;
mod submitting;
