//! The driver for PostgreSQL 15 and later, the store that many nodes share.
//!
//! Requests that submit, claim or report gather while others are committed and share a transaction of two round trips;
//! everything rarer has one for itself. Other processes write at the same time: whatever a transaction decides on it
//! has locked, in one order for all (jobs by number, then claims, then what is unique, then the history), and by the
//! time that the database has once it is locked.

mod address;
mod announced;
mod arrays;
mod artifacts;
pub(crate) mod batch;
pub(crate) mod clock;
mod desk;
mod documents;
mod errors;
mod landing;
mod lines;
pub(crate) mod list;
mod listener;
pub(crate) mod migrations;
pub(crate) mod moving;
mod node;
mod nodes;
mod options;
mod pool;
mod port;
pub(crate) mod queries;
pub(crate) mod questions;
pub(crate) mod record;
mod retention;
mod rows;
pub(crate) mod schedules;
pub(crate) mod session;
mod submit;
mod tls;
mod tries;
mod turn;
#[cfg(feature = "unfenced")]
mod unfenced;
mod way;
mod writers;

use std::sync::{Arc, Mutex, PoisonError};

use longshore_domain::store::StoreError;
use tokio::sync::watch;

use address::Address;
use clock::Clock;
use errors::{Attempted, Trouble, failed};
use node::Node;
use pool::Pool;
use session::{Connector, Session};
use tries::Tries;
use writers::Writers;

pub use options::PostgresOptions;

/// A schema in a database, and the tasks that serve it.
///
/// Opened inside a Tokio runtime, which must live as long as the store. [`close`](longshore_domain::store::Store::close)
/// it to be sure that nothing is under way any more; when it is merely dropped the tasks end by themselves soon after.
pub struct PostgresStore {
    doors: Mutex<Option<Doors>>,
    /// Ends when the tasks have ended.
    ended: watch::Receiver<()>,
    mark: watch::Receiver<u64>,
}

/// The ways in; gone once the store is shut.
#[derive(Clone)]
struct Doors {
    writers: Writers,
    pool: Pool,
    /// For what keeps this node's leases: it waits for nobody who reads.
    upkeep: Pool,
    /// Held so that the listener goes on.
    _alive: Arc<watch::Sender<()>>,
}

impl PostgresStore {
    /// Opens the schema, making it if there is none, and brings it up to date. A server that is away is waited for as
    /// long as the options say.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], also if the login is refused; [`StoreError::Newer`], which leaves everything as it
    /// is; [`StoreError::ReadOnly`] if the server is a replica or the user may not write; [`StoreError::Failed`] if the
    /// options make no sense.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        Self::open_by(Clock::Database, options).await
    }

    /// The same by another clock.
    pub(crate) async fn open_by(clock: Clock, options: PostgresOptions) -> Result<Self, StoreError> {
        const OPERATION: &str = "open the database";
        #[cfg(feature = "unfenced")]
        unfenced::guard().map_err(|trouble| failed(OPERATION, trouble))?;
        let connector = connector(&options).map_err(|trouble| failed(OPERATION, trouble))?;
        let mut tries = Tries::new(options.patience);
        let (session, tag) = loop {
            match prepare(&connector).await {
                Ok(prepared) => break prepared,
                Err(trouble) => tries.again(trouble).await.map_err(|trouble| failed(OPERATION, trouble))?,
            }
        };
        let node = Arc::new(Node::new(connector, clock, options.queue_concurrency, options.patience, tag));
        let pool = Pool::new(Arc::clone(&node), options.connections);
        pool.keep(session);
        let upkeep = Pool::new(Arc::clone(&node), 1);
        let (ending, ended) = watch::channel(());
        let writers = Writers::start(&node, &ending);
        let (alive, life) = watch::channel(());
        let (mark, seen) = watch::channel(1);
        tokio::spawn(listener::serve(node, mark, life));
        let doors = Mutex::new(Some(Doors { writers, pool, upkeep, _alive: Arc::new(alive) }));
        Ok(Self { doors, ended, mark: seen })
    }

    /// What is found at the place, for people, without changing anything there.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], but nothing is waited for.
    pub async fn look(options: &PostgresOptions) -> Result<String, StoreError> {
        let found = async {
            let session = connector(options)?.connect_to_any_schema().await?;
            migrations::look(&session, &options.schema).await
        };
        found.await.map_err(|trouble| failed("look at the database", trouble))
    }

    fn doors(&self) -> Result<Doors, StoreError> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        doors.pool.node.takes_part()?;
        Ok(doors)
    }
}

fn connector(options: &PostgresOptions) -> Attempted<Connector> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let schema = &options.schema;
    if !(1..=40).contains(&schema.len())
        || !schema.bytes().all(plain)
        || schema.starts_with(|c: char| c.is_ascii_digit())
    {
        let why = "the name of the schema must be 1 to 40 lower-case letters, digits and underscores, a letter first";
        return Err(Trouble::Other(why.into()));
    }
    Connector::new(Address::read(options)?, schema.clone())
}

/// Brings the schema up to date; gives the connection that did it, and a name for this store among others.
async fn prepare(connector: &Connector) -> Attempted<(Session, String)> {
    let session = connector.connect_to_any_schema().await?;
    migrations::migrate(&session, connector.schema()).await?;
    let rows = session.query("SELECT gen_random_uuid()::text, current_setting('fsync')", &[]).await?;
    let text = |at| rows.first().map_or(Ok(String::new()), |row| rows::get(row, at));
    if text(1)? != "on" {
        tracing::warn!("the database server runs with fsync=off: a power cut may lose what was acknowledged");
    }
    Ok((session, text(0)?))
}
