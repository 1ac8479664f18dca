//! The tasks that commit the requests of many callers together.
//!
//! One for jobs that come to be, one for what happens to jobs: each has one batch under way at a time. Two for the same
//! wait for each other's locks (measured, they did three quarters of the work of one); these two meet at the end of the
//! history only, and keep two processes of the server at work.

use std::sync::Arc;
use std::time::Instant;

use longshore_domain::store::StoreError;
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{self, Answer, Ask, Request};
use super::errors::{Attempted, failed};
use super::node::Node;
use super::session::Session;
use super::tries::Tries;
use crate::patience::Patience;

/// Requests that may wait for a writer: while one batch is committed the next can gather; beyond that callers wait
/// before they hand over, which bounds memory.
const WAITING_MAX: usize = 1024;
/// Most requests in one transaction.
const BATCH_MAX: usize = 512;
/// Batches after which the server plans the statements anew: what suits an empty table does not suit a long one.
const PLANNED_MAX: u64 = 1024;

/// What callers hold: a way to hand requests to the writers.
#[derive(Clone)]
pub(super) struct Writers {
    /// Of jobs that come to be and wait for their turn.
    newcomers: mpsc::Sender<Call>,
    /// Of everything else, also of new jobs with which others, or they themselves, are claimed.
    changes: mpsc::Sender<Call>,
}

/// A request with somebody who waits for its answer.
struct Call {
    request: Request,
    caller: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Writers {
    /// Starts the tasks. They end, and `ended` with them, once every handle is gone and all that was handed over is done.
    pub(super) fn start(node: &Arc<Node>, ended: &watch::Sender<()>) -> Self {
        let start = || {
            let (requests, waiting) = mpsc::channel(WAITING_MAX);
            let post = Post { node: Arc::clone(node), session: None, batches: 0 };
            let ended = ended.clone();
            tokio::spawn(async move {
                post.serve(waiting).await;
                drop(ended);
            });
            requests
        };
        Self { newcomers: start(), changes: start() }
    }

    /// Has the request done in a transaction that it shares with others, and waits until it is durable.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the writers have ended; else what kept it from becoming durable.
    pub(super) async fn call(&self, request: Request) -> Result<Answer, StoreError> {
        let (caller, answered) = oneshot::channel();
        let only_waits = matches!(request.ask, Ask::Submit(_)) && request.room.is_none();
        let requests = if only_waits { &self.newcomers } else { &self.changes };
        requests.send(Call { request, caller }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// A writer with its connection.
struct Post {
    node: Arc<Node>,
    session: Option<Session>,
    /// Batches over this connection.
    batches: u64,
}

impl Post {
    async fn serve(mut self, mut waiting: mpsc::Receiver<Call>) {
        let mut calls = Vec::with_capacity(BATCH_MAX);
        let mut patience = Patience::new();
        let mut expected = 0;
        while waiting.recv_many(&mut calls, BATCH_MAX).await > 0 {
            gather(&mut patience, &mut waiting, &mut calls, expected).await;
            let (requests, callers): (Vec<_>, Vec<_>) = calls.drain(..).map(|call| (call.request, call.caller)).unzip();
            let answers = self.answers(&requests.iter().collect::<Vec<_>>()).await;
            // Those who wait already are others than those who are answered now and are likely to ask again at once.
            expected = BATCH_MAX.min(requests.len() + waiting.len());
            for (caller, answer) in callers.into_iter().zip(answers) {
                // A caller that went away is no reason to do anything else.
                drop(caller.send(answer));
            }
        }
    }

    /// The answer to each request. If one of them is the reason why all fail, each is done by itself.
    async fn answers(&mut self, requests: &[&Request]) -> Vec<Result<Answer, StoreError>> {
        match self.commit(requests).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(trouble) if requests.len() > 1 && trouble.is_of_one_request() => {
                tracing::warn!(error = %trouble, requests = requests.len(), "batch is done one by one");
                let mut answers = Vec::with_capacity(requests.len());
                for request in requests {
                    answers.push(match self.commit(&[request]).await {
                        Ok(mut answers) => answers.pop().ok_or(StoreError::Closed),
                        Err(trouble) => Err(failed(request.operation(), trouble)),
                    });
                }
                answers
            }
            Err(trouble) => {
                let trouble = Arc::new(trouble);
                tracing::error!(error = %trouble, requests = requests.len(), "batch rolled back");
                requests.iter().map(|request| Err(failed(request.operation(), Arc::clone(&trouble)))).collect()
            }
        }
    }

    async fn commit(&mut self, requests: &[&Request]) -> Attempted<Vec<Answer>> {
        let mut tries = Tries::new(self.node.patience);
        loop {
            match self.attempt(requests).await {
                Ok(answers) => return Ok(answers),
                Err(trouble) => {
                    self.node.heed(&trouble);
                    tries.again(trouble).await?;
                }
            }
        }
    }

    async fn attempt(&mut self, requests: &[&Request]) -> Attempted<Vec<Answer>> {
        let session = self.session().await?;
        let answers = batch::attempt(&self.node, &session, requests).await;
        if answers.is_err() {
            session.roll_back().await;
        }
        self.session = Some(session).filter(Session::is_fit);
        answers
    }

    async fn session(&mut self) -> Attempted<Session> {
        let Some(session) = self.session.take().filter(Session::is_fit) else {
            let session = self.node.connector.connect().await?;
            session.prefer_indexes().await?;
            self.batches = 0;
            return Ok(session);
        };
        self.batches += 1;
        if self.batches.is_power_of_two() || self.batches.is_multiple_of(PLANNED_MAX) {
            session.execute("DISCARD PLANS").await?;
        }
        Ok(session)
    }
}

/// Lets a batch grow to the expected size. Does nothing while callers come one at a time.
async fn gather(patience: &mut Patience, waiting: &mut mpsc::Receiver<Call>, calls: &mut Vec<Call>, expected: usize) {
    if calls.len() >= expected {
        return;
    }
    let (begin, most) = (Instant::now(), patience.next());
    while calls.len() < expected && begin.elapsed() < most {
        match waiting.try_recv() {
            Ok(call) => calls.push(call),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    patience.learn(calls.len() >= expected);
}
