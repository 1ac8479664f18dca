//! Whole jobs: the real store, real spawners, shims and commands.

mod ending;
mod kit;
mod recovery;
mod retaining;
mod seeing;
mod submitting;
