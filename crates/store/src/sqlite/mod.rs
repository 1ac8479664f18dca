//! The driver for SQLite, the store that needs nothing.
//!
//! One thread owns the connection that writes: it takes what requests have gathered, does them all in one
//! transaction, and answers once that is durable. Other threads read beside it. Nothing runs while nobody asks.

pub(crate) mod announced;
pub(crate) mod artifacts;
mod cache;
mod claim;
mod desk;
mod documents;
pub(crate) mod errors;
mod history;
mod landing;
pub(crate) mod lines;
pub(crate) mod list;
mod log;
pub(crate) mod migrations;
pub(crate) mod moving;
mod nodes;
pub(crate) mod open;
mod options;
mod port;
pub(crate) mod queries;
pub(crate) mod questions;
mod reader;
pub(crate) mod record;
pub(crate) mod retention;
pub(crate) mod rows;
pub(crate) mod schedules;
mod shelf;
mod statements;
mod submit;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use longshore_domain::store::StoreError;
use rusqlite::Connection;
use tokio::sync::watch;

use log::Log;
use reader::Readers;
use writer::Writer;

pub use options::{Durability, SqliteOptions};

/// A database file and the threads that serve it.
///
/// [`close`](longshore_domain::store::Store::close) it to be sure that another process can have it at once; when it
/// is merely dropped the threads end by themselves soon after.
pub struct SqliteStore {
    path: PathBuf,
    durability: Durability,
    doors: Mutex<Option<Doors>>,
    ended: watch::Receiver<bool>,
}

/// The ways in; gone once the store is shut.
#[derive(Clone)]
struct Doors {
    /// Before the writer, so that it goes before it: the last connection to close, which empties the log, is the
    /// writer's.
    readers: Readers,
    writer: Writer,
}

/// Connections for reading rows by their key: as many as threads of a runtime that are likely to want one at once.
const ROW_CONNECTIONS: usize = 2;

impl SqliteStore {
    /// Opens the database at `path`, making it if there is none, and brings its schema up to date.
    ///
    /// Called inside a Tokio runtime, which must live as long as the store. Blocks for some milliseconds. A file named
    /// like the database with `.lock` behind it marks the owner.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process owns it; [`StoreError::Newer`] and [`StoreError::Corrupt`], both of
    /// which leave the file as it is; [`StoreError::ReadOnly`] and [`StoreError::Full`].
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let lock = open::lock(&path)?;
        let connection = open::writer(&path, &options)?;
        let connections = open::readers(&path, &options, options.readers)?;
        let rows = open::readers(&path, &options, ROW_CONNECTIONS)?;
        let log = Log::open(&path, options.durability)
            .map_err(|error| errors::io_failed("open the log of the database", error))?;
        let log = Arc::new(log);
        let start = |error| errors::io_failed("start the store's threads", error);
        let (readers, threads) = Readers::start(connections, rows, Arc::clone(&log)).map_err(start)?;
        let (ending, ended) = watch::channel(false);
        let leave = move |connection: Connection| {
            for thread in threads {
                drop(thread.join());
            }
            // The last connection to close empties the log; only then may another process have the file. Nothing
            // touches the log of a database that proved unusable.
            if let Err(error) = open::empty_log_at_end(&connection, true) {
                tracing::warn!(%error, "the log of the database is left as it is");
            }
            drop(connection);
            drop(lock);
        };
        let writer = Writer::start(connection, log, options.queue_concurrency, ending, leave)?;
        let doors = Mutex::new(Some(Doors { writer, readers }));
        Ok(Self { path, durability: options.durability, doors, ended })
    }

    fn doors(&self) -> Result<Doors, StoreError> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }
}
