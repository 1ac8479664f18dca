//! Opening the store that the configuration names, and what to do if it cannot be.

use std::sync::Arc;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::store::{Store, StoreError};
use longshore_store::moving::House;
use longshore_store::{Durability, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use sha2::{Digest as _, Sha256};

use crate::config::{self, Config, StoreAt};
use crate::home::{Home, hex, random_bytes};

/// The database of a home, and what was not brought into it yet.
const DATABASE: &str = "data/jobs.db";
const LOG: &str = "data/jobs.db-wal";
/// Name of the secret that a store is named by.
const IDENTITY_SECRET: &str = "identity";

/// Opens the store, making it if need be.
///
/// # Errors
/// The store's own, with what the database server says.
pub(crate) async fn open(home: &Home, config: &Config) -> Result<Arc<dyn Store>, Fault> {
    match &config.store {
        StoreAt::Home => {
            check_remains(home)?;
            Ok(Arc::new(open_file(home, config)?))
        }
        StoreAt::Server { options, location } => {
            let options = PostgresOptions { queue_concurrency: config.queue_concurrency, ..options.clone() };
            let opened = PostgresStore::open(options).await;
            Ok(Arc::new(opened.map_err(|error| explain(error, location))?))
        }
    }
}

/// What names a store to whoever keeps something for it: the same for all its nodes, for as long as it is there.
///
/// # Errors
/// The store's own.
pub(crate) async fn identity(store: &dyn Store) -> Result<String, Fault> {
    let secret = store.secret(IDENTITY_SECRET.into(), random_bytes()).await?;
    Ok(hex(&Sha256::digest(secret)))
}

/// The store as something that moves.
pub(crate) fn house(home: &Home, config: &Config) -> House {
    match &config.store {
        StoreAt::Home => House::Sqlite(home.file(DATABASE), file_options(config)),
        StoreAt::Server { options, .. } => House::Postgres(options.clone()),
    }
}

/// A database that was emptied looks like one that was never used; what its jobs printed gives it away.
///
/// # Errors
/// `store_corrupt`.
fn check_remains(home: &Home) -> Result<(), Fault> {
    let database = home.file(DATABASE);
    let is_empty = std::fs::metadata(&database).is_ok_and(|found| found.len() == 0);
    let has_log = std::fs::metadata(home.file(LOG)).is_ok_and(|found| found.len() > 0);
    let has_output = || std::fs::read_dir(home.file("output")).is_ok_and(|mut days| days.next().is_some());
    match is_empty && !has_log && has_output() {
        false => Ok(()),
        true => Err(Fault::new(FaultCode::StoreCorrupt, "the database is empty, and its jobs were not")
            .why(format!("{} has no bytes, and output of jobs is beside it", database.display()))
            .next("put a copy of the database in its place; or remove it, and the jobs are forgotten")),
    }
}

fn open_file(home: &Home, config: &Config) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(home.file(DATABASE), file_options(config))
}

fn file_options(config: &Config) -> SqliteOptions {
    SqliteOptions {
        durability: match config.durability {
            config::Durability::Full => Durability::Full,
            config::Durability::Normal => Durability::Normal,
        },
        queue_concurrency: config.queue_concurrency,
        ..SqliteOptions::default()
    }
}

/// What is found at the server of a configuration; nothing is changed there.
///
/// # Errors
/// As [`open`].
pub(crate) fn look(options: &PostgresOptions, location: &str) -> Result<String, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::internal)?;
    let found = runtime.block_on(PostgresStore::look(options));
    found.map(|found| format!("{found} at {location}")).map_err(|error| explain(error, location))
}

/// Says to whoever runs a node what the server says: to them it is no secret, and none is in it.
fn explain(error: StoreError, location: &str) -> Fault {
    let advice = match &error {
        StoreError::Unavailable(_) => {
            "check that the server runs and that `store.url` names it and a user whom it lets in; \
             PGPASSWORD or ~/.pgpass give the password"
        }
        StoreError::ReadOnly(_) => "name the server that takes writes, and a user who may write, in `store.url`",
        _ => return error.into(),
    };
    let mut fault = Fault::from(error);
    fault.message = format!("the database at {location} cannot be used");
    fault.why = fault.private.take();
    fault.next(advice)
}
