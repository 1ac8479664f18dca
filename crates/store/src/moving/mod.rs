//! Moving house: everything that a store holds, from any driver to any other, by way of a file.
//!
//! A job moves as one [`Item`] with all that belongs to it. Numbers and places in the history stay what they are.

mod file;
mod item;
pub(crate) mod rows;
mod summary;

use std::path::PathBuf;

use longshore_domain::store::{BoxedError, StoreError};

use crate::{PostgresOptions, SqliteOptions, postgres, sqlite};

pub use file::{Blob, BlobKind, Blobs, Entry, Head, Items, Packed, PackedReader};
pub use item::{Item, Marks, MovedJob, MovedKey, MovedQuestion, Samples, Told};
pub(crate) use rows::Row;
pub use summary::{Summary, Tally};

/// A store that is packed or filled. Nothing else may use it meanwhile.
#[derive(Clone, Debug)]
pub enum House {
    /// A database file of which this process becomes the owner for as long as that takes.
    Sqlite(PathBuf, SqliteOptions),
    /// A schema on a server. It is packed as it is at one instant, whatever others do meanwhile.
    Postgres(PostgresOptions),
}

/// Why a move came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum MovingError {
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is moved could not be handed over.
    #[error("what is moved could not be handed over")]
    Other(#[source] BoxedError),
    /// There was somebody in the house. Nothing was changed.
    #[error("the store has jobs or schedules of its own, or had some jobs")]
    Inhabited,
    /// A node serves the store that was to be filled. Nothing was changed.
    #[error("the node `{node}` serves the store")]
    Served {
        /// How it calls itself.
        node: String,
    },
}

/// Takes what is packed.
pub type Sink<'s> = &'s mut (dyn FnMut(Item) -> Result<(), BoxedError> + Send);
/// Gives what is to be unpacked.
pub type Supply<'s> = &'s mut (dyn Iterator<Item = Result<Item, BoxedError>> + Send);

impl House {
    /// Hands everything over: marks first, then queues, jobs by number, chats, samples, and schedules.
    ///
    /// # Errors
    /// The store's own, and what the sink says.
    pub async fn pack(&self, sink: Sink<'_>) -> Result<(), MovingError> {
        match self {
            Self::Sqlite(path, options) => sqlite::moving::pack(path, options, sink),
            Self::Postgres(options) => postgres::moving::pack(options, sink).await,
        }
    }

    /// Fills an empty store, in one transaction.
    ///
    /// # Errors
    /// [`MovingError::Inhabited`], [`MovingError::Served`]; the store's own, and what the supply says.
    pub async fn unpack(&self, supply: Supply<'_>) -> Result<(), MovingError> {
        match self {
            Self::Sqlite(path, options) => sqlite::moving::unpack(path, options, supply),
            Self::Postgres(options) => postgres::moving::unpack(options, supply).await,
        }
    }

    /// What is in it.
    ///
    /// # Errors
    /// The store's own.
    pub async fn summary(&self) -> Result<Summary, MovingError> {
        let mut summary = Summary::default();
        self.pack(&mut |item| Ok(summary.add(&item)?)).await?;
        Ok(summary)
    }
}
