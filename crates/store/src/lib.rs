//! Drivers of the storage port in `longshore_domain::store`, and the suite that every driver passes; and the driver of
//! the port `longshore_domain::artifact`.
//!
//! Nothing here decides what becomes of a job: rows are read, `apply` is asked, and its answer is written.

mod columns;
mod draft;
mod frames;
mod patience;

pub mod artifacts;
pub mod moving;
pub mod postgres;
pub mod sqlite;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

#[cfg(test)]
mod tests;

pub use artifacts::{ArtifactOptions, ObjectArtifacts};
pub use postgres::{PostgresOptions, PostgresStore};
pub use sqlite::{Durability, SqliteOptions, SqliteStore};
