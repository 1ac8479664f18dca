//! The suite over each driver, and what only a database file, or only a server, can suffer.

mod artifacts;
mod damage;
mod moving;
mod plans;
mod postgres;
mod schemas;
mod suite;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use longshore_domain::store::Store;
use tempfile::TempDir;

use crate::conformance::Place;
use crate::{SqliteOptions, SqliteStore};

/// A folder with a database.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("jobs.db")
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(&self.database()))
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self::new())
    }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, SqliteOptions::default()).unwrap()
}
