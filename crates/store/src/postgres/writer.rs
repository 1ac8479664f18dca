//! The tasks that commit the requests of many callers together.

use std::sync::Arc;

use longshore_domain::store::StoreError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use super::batch::{self, Answer, Request};
use super::errors::{Attempted, Trouble, failed};
use super::node::Node;
use super::session::Session;
use super::tries::Tries;

/// Requests that may wait for the writers: while one batch is committed the next can gather; beyond that callers wait
/// before they hand over, which bounds memory.
const WAITING_MAX: usize = 1024;
/// Most requests in one transaction.
const BATCH_MAX: usize = 512;
/// Batches that are under way at once, each over its own connection: while one waits for the disk, the next is read.
const WRITERS: usize = 2;

/// What callers hold: a way to hand requests to the writers.
#[derive(Clone)]
pub(super) struct Writer {
    requests: mpsc::Sender<Call>,
}

/// A request with somebody who waits for its answer.
struct Call {
    request: Request,
    caller: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Writer {
    /// Starts the tasks. They end, and `ended` with them, once every handle is gone and all that was handed over is done.
    pub(super) fn start(node: &Arc<Node>, ended: &Arc<watch::Sender<()>>) -> Self {
        let (requests, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..WRITERS {
            let desk = Post { node: Arc::clone(node), session: None };
            let (waiting, ended) = (Arc::clone(&waiting), Arc::clone(ended));
            tokio::spawn(async move {
                desk.serve(&waiting).await;
                drop(ended);
            });
        }
        Self { requests }
    }

    /// Has the request done in a transaction that it shares with others, and waits until it is durable.
    ///
    /// # Errors
    /// [`StoreError::Closed`] if the writers have ended; else what kept it from becoming durable.
    pub(super) async fn call(&self, request: Request) -> Result<Answer, StoreError> {
        let (caller, answered) = oneshot::channel();
        self.requests.send(Call { request, caller }).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// One writer with its connection.
struct Post {
    node: Arc<Node>,
    session: Option<Session>,
}

impl Post {
    async fn serve(mut self, waiting: &Mutex<mpsc::Receiver<Call>>) {
        let mut calls = Vec::with_capacity(BATCH_MAX);
        loop {
            // One gathers while the others commit.
            if waiting.lock().await.recv_many(&mut calls, BATCH_MAX).await == 0 {
                return;
            }
            let (requests, callers): (Vec<_>, Vec<_>) = calls.drain(..).map(|call| (call.request, call.caller)).unzip();
            let answers = self.answers(&requests.iter().collect::<Vec<_>>()).await;
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
                Err(trouble) => tries.again(trouble).await?,
            }
        }
    }

    async fn attempt(&mut self, requests: &[&Request]) -> Attempted<Vec<Answer>> {
        let session = match self.session.take().filter(Session::is_fit) {
            Some(session) => session,
            None => connect(&self.node).await?,
        };
        let answers = batch::attempt(&self.node, &session, requests).await;
        if answers.is_err() {
            session.roll_back().await;
        }
        self.session = Some(session).filter(Session::is_fit);
        answers
    }
}

async fn connect(node: &Node) -> Result<Session, Trouble> {
    let session = node.connector.connect().await?;
    session.prefer_indexes().await?;
    Ok(session)
}
