//! The thread that owns the write connection and commits many requests together.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use longshore_domain::store::StoreError;
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use super::desk::Desk;
use super::errors::{Attempted, Trouble, io_failed, trouble};
use super::landing::Landing;
use super::log::Log;
use crate::patience::Patience;

/// Requests that may wait for the writer. Twice the largest batch: while one is committed the next can gather;
/// beyond that callers wait before they hand over, which bounds memory.
const WAITING_MAX: usize = 1024;
/// Most requests in one transaction. At some 5 µs each a batch holds nobody up for more than a few milliseconds.
const BATCH_MAX: usize = 512;
/// With fewer callers a sync is shared by all of them: another thread would cost more than it spares.
const TURNS_FROM: usize = 16;

/// What callers hold: a way to hand requests to the writer.
#[derive(Clone)]
pub(super) struct Writer {
    requests: mpsc::Sender<Box<dyn Request>>,
}

/// A request with somebody who waits for its answer.
pub(super) trait Request: Send {
    /// Does the work inside the open transaction and keeps the answer.
    fn work(&mut self, desk: &mut Desk<'_>) -> Attempted<()>;
    /// Sends the answer, which is durable now, or says why nothing was done.
    fn answer(self: Box<Self>, outcome: Result<(), &Arc<Trouble>>);
}

struct Call<F, T> {
    operation: &'static str,
    verb: Option<F>,
    answer: Option<T>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Request for Call<F, T>
where
    F: FnOnce(&mut Desk<'_>) -> Attempted<T> + Send,
    T: Send,
{
    fn work(&mut self, desk: &mut Desk<'_>) -> Attempted<()> {
        if let Some(verb) = self.verb.take() {
            self.answer = Some(verb(desk)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), &Arc<Trouble>>) {
        let answer = match outcome {
            Ok(()) => self.answer.ok_or(StoreError::Closed),
            Err(cause) => Err(trouble(self.operation, cause)),
        };
        // A caller that went away is no reason to do anything else.
        drop(self.caller.send(answer));
    }
}

impl Writer {
    /// Starts the thread. It ends, and tells `ended`, once every handle is gone and all that was handed over is done;
    /// `leave` then gets the connection back. Answers are given on the runtime in which this is called.
    ///
    /// # Errors
    /// If the database cannot be read, or there is no room for a thread.
    pub(super) fn start(
        connection: Connection,
        log: Arc<Log>,
        queue_concurrency: u32,
        ended: watch::Sender<bool>,
        leave: impl FnOnce(Connection) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let (ready, readiness) = std::sync::mpsc::channel();
        let failed = |error| io_failed("start the store's threads", error);
        let landing = Landing::start(log, Handle::current()).map_err(failed)?;
        let work = move || {
            let usable = match Desk::new(&connection, queue_concurrency) {
                Ok(desk) => ready.send(Ok(())).is_ok() && serve(desk, waiting, &landing),
                Err(error) => {
                    drop(ready.send(Err(error)));
                    false
                }
            };
            landing.end();
            if usable {
                leave(connection);
            }
            ended.send_replace(true);
        };
        let started = thread::Builder::new().name("store-writer".into()).spawn(work);
        started.map_err(failed)?;
        let ready = readiness.recv().map_err(|_| StoreError::Closed)?;
        ready.map(|()| Self { requests }).map_err(|error| trouble("read the queues", &Arc::new(error)))
    }

    /// Has `verb` done in a transaction of its own or shared with others, and waits until it is durable.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the writer has ended; else what kept the whole batch from becoming durable.
    pub(super) async fn call<T, F>(&self, operation: &'static str, verb: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> Attempted<T> + Send + 'static,
    {
        let (caller, answered) = oneshot::channel();
        let call = Call { operation, verb: Some(verb), answer: None, caller };
        self.requests.send(Box::new(call)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Serves until every handle is gone; whether the database can be used to the last.
fn serve(mut desk: Desk<'_>, mut waiting: mpsc::Receiver<Box<dyn Request>>, landing: &Landing) -> bool {
    let mut callers = 0;
    let mut patience = Patience::new();
    loop {
        // Many callers are served in two turns: while one half is synced and answered, the other is worked on.
        let turns = if callers < TURNS_FROM { 1 } else { 2 };
        let expected = usize::div_ceil(callers, turns);
        let most = if turns == 1 { BATCH_MAX } else { expected.min(BATCH_MAX) };
        let mut batch = Vec::with_capacity(most);
        if waiting.blocking_recv_many(&mut batch, most) == 0 {
            return true;
        }
        gather(&mut patience, &mut waiting, &mut batch, expected);
        // Those who wait already are others than those who are answered now and are likely to ask again at once.
        callers = batch.len() + waiting.len() + landing.flying();
        let commit = landing.begin();
        let usable = match transact(&mut desk, &mut batch) {
            Ok(()) if turns == 1 => landing.land(batch, commit),
            Ok(()) => landing.take_off(batch, commit),
            Err(cause) => {
                tracing::error!(error = %cause, requests = batch.len(), "batch rolled back");
                let rolled_back = desk.roll_back();
                landing.refuse(batch, commit, Arc::new(cause));
                rolled_back.inspect_err(|error| tracing::error!(%error, "nothing can be read after a rollback")).is_ok()
            }
        };
        if !usable {
            tracing::error!("writer ended");
            return false;
        }
    }
}

/// Lets a batch grow to the expected size. Does nothing while callers come one at a time.
fn gather(
    patience: &mut Patience,
    waiting: &mut mpsc::Receiver<Box<dyn Request>>,
    batch: &mut Vec<Box<dyn Request>>,
    expected: usize,
) {
    if batch.len() >= expected {
        return;
    }
    let (begin, most) = (Instant::now(), patience.next());
    while batch.len() < expected && begin.elapsed() < most {
        match waiting.try_recv() {
            Ok(request) => batch.push(request),
            Err(_) => thread::yield_now(),
        }
    }
    patience.learn(batch.len() >= expected);
}

/// All of the batch in one transaction, or nothing of it.
fn transact(desk: &mut Desk<'_>, batch: &mut [Box<dyn Request>]) -> Attempted<()> {
    desk.begin()?;
    for request in batch {
        request.work(desk)?;
    }
    desk.commit()
}
