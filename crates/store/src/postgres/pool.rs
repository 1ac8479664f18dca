//! Connections for reading and for rare writes, as many as are allowed and no more than are needed.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use longshore_domain::store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::errors::{Attempted, Trouble, failed};
use super::node::Node;
use super::session::Session;
use super::tries::Tries;
use super::turn::Turn;

/// What callers hold.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) node: Arc<Node>,
    free: Arc<Semaphore>,
    size: u32,
    idle: Arc<Mutex<Vec<Session>>>,
}

/// A connection that is given back when it is dropped.
pub(super) struct Lent {
    session: Option<Session>,
    idle: Arc<Mutex<Vec<Session>>>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool without connections yet; `size` is at least 1.
    pub(super) fn new(node: Arc<Node>, size: usize) -> Self {
        let size = u32::try_from(size.max(1)).unwrap_or(u32::MAX);
        Self { node, free: Arc::new(Semaphore::new(size as usize)), size, idle: Arc::default() }
    }

    /// Keeps a connection that was made elsewhere.
    pub(super) fn keep(&self, session: Session) {
        lock(&self.idle).push(session);
    }

    /// Waits until all connections are given back, and shuts them. There are none any more from then on.
    pub(super) async fn shut(&self) {
        drop(self.free.acquire_many(self.size).await);
        self.free.close();
        lock(&self.idle).clear();
    }

    /// Has `query` done, over another connection if the first breaks. It sees every write that was acknowledged before.
    pub(super) async fn read<T>(
        &self,
        operation: &'static str,
        query: impl for<'s> Fn(&'s Session) -> BoxFuture<'s, Attempted<T>>,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::new(self.node.patience);
        loop {
            let answer = match self.lend().await {
                Ok(session) => query(&session).await,
                Err(trouble) => Err(trouble),
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(trouble) => self.again(&mut tries, operation, trouble).await?,
            }
        }
    }

    /// Has `work` done in a transaction of its own that it commits itself, again if somebody was in its way.
    pub(super) async fn transact<T>(
        &self,
        operation: &'static str,
        work: impl for<'s> Fn(&'s Node, &'s Turn<'s>) -> BoxFuture<'s, Attempted<T>>,
    ) -> Result<T, StoreError> {
        let mut tries = Tries::new(self.node.patience);
        loop {
            let trouble = match self.lend().await {
                Ok(session) => match self.turn(&session, &work).await {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => {
                        session.roll_back().await;
                        trouble
                    }
                },
                Err(trouble) => trouble,
            };
            self.again(&mut tries, operation, trouble).await?;
        }
    }

    /// Waits until it may be tried again. What broke one connection may have broken those that nobody has used since.
    async fn again(&self, tries: &mut Tries, operation: &'static str, trouble: Trouble) -> Result<(), StoreError> {
        self.node.heed(&trouble);
        if trouble.is_loss() {
            lock(&self.idle).clear();
        }
        tries.again(trouble).await.map_err(|trouble| failed(operation, trouble))
    }

    async fn turn<T>(
        &self,
        session: &Session,
        work: impl for<'s> Fn(&'s Node, &'s Turn<'s>) -> BoxFuture<'s, Attempted<T>>,
    ) -> Attempted<T> {
        let turn = Turn::begin(session).await?;
        work(&self.node, &turn).await
    }

    /// A connection, once one is free.
    async fn lend(&self) -> Attempted<Lent> {
        let free = Arc::clone(&self.free).acquire_owned();
        let permit = match tokio::time::timeout(self.node.patience, free).await {
            Ok(permit) => permit.map_err(|_| Trouble::Shut)?,
            Err(_) => return Err(Trouble::Busy(self.node.patience)),
        };
        let idle = self.take_idle();
        let session = match idle {
            Some(session) => session,
            None => self.node.connector.connect().await?,
        };
        Ok(Lent { session: Some(session), idle: Arc::clone(&self.idle), _permit: permit })
    }

    fn take_idle(&self) -> Option<Session> {
        let mut idle = lock(&self.idle);
        while let Some(session) = idle.pop() {
            if session.is_fit() {
                return Some(session);
            }
        }
        None
    }
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        // Taken by `drop` alone.
        self.session.as_ref().unwrap_or_else(|| unreachable!("lent until it is dropped"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // One that was left in the middle of a transaction is closed, which undoes it.
        lock(&self.idle).extend(self.session.take().filter(Session::is_fit));
    }
}

fn lock(idle: &Mutex<Vec<Session>>) -> MutexGuard<'_, Vec<Session>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
