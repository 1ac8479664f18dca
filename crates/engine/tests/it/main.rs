//! The engine against the real world: real processes, real files.

mod engine;
mod shim;
