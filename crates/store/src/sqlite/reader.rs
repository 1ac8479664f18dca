//! Reading beside the writer: rows by their key on the spot, everything longer on threads of its own.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use longshore_domain::position::Position;
use longshore_domain::store::StoreError;
use longshore_domain::{Job, JobId};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::errors::failed;
use super::log::Log;
use super::shelf::Shelf;

type Read = Box<dyn FnOnce(&mut Connection) + Send>;
type Waiting = Arc<Mutex<mpsc::Receiver<Read>>>;

/// What callers hold: a way to hand reads to whichever thread is free.
#[derive(Clone)]
pub(super) struct Readers {
    reads: mpsc::Sender<Read>,
    /// One permit a thread: a read is only handed over when somebody is there to do it.
    free: Arc<Semaphore>,
    /// For rows by their key.
    rows: Arc<[Mutex<Connection>]>,
    log: Arc<Log>,
    shelves: Arc<Shelves>,
}

/// What polls read again and again.
#[derive(Default)]
pub(super) struct Shelves {
    pub(super) jobs: Shelf<JobId, Option<Job>>,
    pub(super) positions: Shelf<JobId, Option<Position>>,
    pub(super) samples: Shelf<u64, Vec<Duration>>,
}

impl Readers {
    /// Starts a thread for each connection; `rows` are for reading on the spot. The threads end once every handle is
    /// gone.
    pub(super) fn start(
        connections: Vec<Connection>,
        rows: Vec<Connection>,
        log: Arc<Log>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (reads, waiting) = mpsc::channel();
        let free = Arc::new(Semaphore::new(connections.len()));
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = connections.into_iter().map(|connection| {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name("store-reader".into()).spawn(move || serve(connection, &waiting))
        });
        let threads = threads.collect::<std::io::Result<_>>()?;
        let rows = rows.into_iter().map(Mutex::new).collect();
        Ok((Self { reads, free, rows, log, shelves: Arc::default() }, threads))
    }

    /// Reads one row by its key on the caller's own thread: some microseconds, less than handing it to another would
    /// take. It sees every write that was acknowledged before, and none that the disk does not have when this returns.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) async fn row<T>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let found = self.look(operation, query);
        self.log.caught_up().await;
        found
    }

    /// [`Readers::row`] for what is often read again: while nothing is committed, `shelf` has it.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) async fn shelved<K: Eq + Hash, V: Clone>(
        &self,
        shelf: impl FnOnce(&Shelves) -> &Shelf<K, V>,
        key: K,
        operation: &'static str,
        query: impl FnOnce(&Connection, &K) -> rusqlite::Result<V>,
    ) -> Result<V, StoreError> {
        let found = self.hint(shelf, key, operation, query);
        self.log.caught_up().await;
        found
    }

    /// [`Readers::shelved`] for what nobody builds upon, as it is another at the next moment: it may come from a commit that
    /// the disk does not have yet, and nobody waits for that.
    ///
    /// # Errors
    /// What SQLite says.
    pub(super) fn hint<K: Eq + Hash, V: Clone>(
        &self,
        shelf: impl FnOnce(&Shelves) -> &Shelf<K, V>,
        key: K,
        operation: &'static str,
        query: impl FnOnce(&Connection, &K) -> rusqlite::Result<V>,
    ) -> Result<V, StoreError> {
        let shelf = shelf(&self.shelves);
        let at_rest = self.log.at_rest();
        if let Some(kept) = at_rest.and_then(|commit| shelf.get(commit, &key)) {
            return Ok(kept);
        }
        let found = self.look(operation, |connection| query(connection, &key))?;
        if let Some(commit) = at_rest {
            shelf.put(commit, key, found.clone());
        }
        Ok(found)
    }

    fn look<T>(
        &self,
        operation: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let free = self.rows.iter().find_map(|connection| connection.try_lock().ok());
        let connection: Option<MutexGuard<'_, Connection>> =
            free.or_else(|| Some(self.rows.first()?.lock().unwrap_or_else(PoisonError::into_inner)));
        query(&*connection.ok_or(StoreError::Closed)?).map_err(failed(operation))
    }

    /// Has `query` done. It sees every write that was acknowledged before, and none that the disk does not have when
    /// this returns.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the threads have ended; else what SQLite says.
    pub(super) async fn call<T, F>(&self, operation: &'static str, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (caller, answered) = oneshot::channel();
        self.reads.send(reading(query, permit, caller)).map_err(|_| StoreError::Closed)?;
        let answer = answered.await.map_err(|_| StoreError::Closed)?.map_err(failed(operation));
        self.log.caught_up().await;
        answer
    }
}

fn reading<T, F>(query: F, permit: OwnedSemaphorePermit, caller: oneshot::Sender<rusqlite::Result<T>>) -> Read
where
    T: Send + 'static,
    F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
{
    Box::new(move |connection| {
        let answer = query(connection);
        drop(permit);
        // A caller that went away is no reason to do anything else.
        drop(caller.send(answer));
    })
}

fn serve(mut connection: Connection, waiting: &Waiting) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        read(&mut connection);
    }
}
