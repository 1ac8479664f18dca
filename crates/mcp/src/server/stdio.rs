//! Newline-delimited JSON over a stream: the daemon's side of a bridge.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::{Conversation, Principal};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::connection::{Connection, Origin};
use super::{Begun, Server, Sink};
use crate::wire::{GOODBYE, Hello, Line, LineReader, MESSAGE_BYTES_MAX, Reply, RpcError, conversation};

/// Requests of one connection that are worked on at once.
const RUNNING_MAX: usize = 64;
/// Requests of one connection that are held in memory; beyond it no further line is read.
const HELD_MAX: usize = 1024;
/// Messages on their way out.
const OUTGOING_MAX: usize = 64;
/// After the end of input, requests that are nearly done may still answer.
const DRAIN: Duration = Duration::from_secs(1);
/// The same after the engine was told to stop, when every request is answered soon.
const LEAVE: Duration = Duration::from_secs(5);

/// Serves one bridge until either side ends or the engine drains. Jobs go on.
///
/// A line is one message: batches are taken apart by the bridge.
///
/// The first line should be a [`Hello`]; without one the connection has no directory and no environment. An engine
/// that drains takes no further line: what was taken is answered with what is known, and the last line is a goodbye.
///
/// # Errors
/// Those of the stream.
pub async fn serve<S>(server: Server, principal: Principal, stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reading, writing) = tokio::io::split(stream);
    let mut lines = LineReader::new(reading, MESSAGE_BYTES_MAX);
    let first = tokio::select! {
        first = lines.next() => first?,
        () = server.engine().draining() => None,
    };
    let Some(first) = first else { return Ok(()) };
    let hello = if let Line::Whole(line) = &first { Hello::parse(line) } else { None };
    let first = hello.is_none().then_some(first);
    let says_goodbye = hello.as_ref().is_some_and(Hello::knows_goodbye);
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let writer = tokio::spawn(write_all(writing, queue));
    let session = Session::new(server, connection(principal, hello), outgoing);
    let read = session.serve(first, &mut lines, says_goodbye).await;
    let written = writer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.and(written)
}

fn connection(principal: Principal, hello: Option<Hello>) -> Connection {
    let scope: Arc<str> = format!("{:032x}", longshore_engine::clock::random()).into();
    let mut origin = Origin { scope: Some(scope), ..Origin::of(principal) };
    if let Some(hello) = hello {
        // A client that tells no chat is one chat for as long as it lives.
        let told = hello.conversation.as_deref().and_then(conversation::named);
        origin.stands_in = told.is_none();
        origin.conversation = told.or_else(|| Some(Conversation::new(&format!("bridge:{}", hello.id))));
        origin.cwd = Some(hello.cwd);
        origin.inherited = hello.env;
        origin.bridge = Some(hello.id);
    }
    Connection::new(origin, None)
}

async fn write_all<W: AsyncWrite>(mut writing: WriteHalf<W>, mut queue: mpsc::Receiver<String>) -> io::Result<()> {
    while let Some(mut message) = queue.recv().await {
        message.push('\n');
        writing.write_all(message.as_bytes()).await?;
        if queue.is_empty() {
            writing.flush().await?;
        }
    }
    writing.shutdown().await
}

/// One connection being served.
struct Session {
    server: Server,
    connection: Connection,
    outgoing: mpsc::Sender<String>,
    sink: Sink,
    running: Arc<Semaphore>,
    requests: JoinSet<()>,
    /// Requests that wait for what others do; they end with the connection.
    open: JoinSet<()>,
}

impl Session {
    fn new(server: Server, connection: Connection, outgoing: mpsc::Sender<String>) -> Self {
        Self {
            server,
            connection,
            sink: Sink::new(outgoing.clone()),
            outgoing,
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            requests: JoinSet::new(),
            open: JoinSet::new(),
        }
    }

    /// Serves until the end of input, until nobody reads the answers, or until the engine drains.
    async fn serve<R: AsyncRead + Unpin>(
        mut self,
        first: Option<Line>,
        lines: &mut LineReader<R>,
        says_goodbye: bool,
    ) -> io::Result<()> {
        let _listening = Listening::new(&self.server, &self.connection, &self.sink);
        if let Some(first) = first {
            self.accept(first).await;
        }
        let server = self.server.clone();
        let end = loop {
            tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(line)) => self.accept(line).await,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Some(_) = self.requests.join_next() => {}
                Some(_) = self.open.join_next() => {}
                () = self.outgoing.closed() => return Ok(()),
                () = server.engine().draining() => {
                    self.leave(says_goodbye).await;
                    return Ok(());
                }
            }
        };
        self.open.shutdown().await;
        self.finish(DRAIN).await;
        end
    }

    /// Answers what was taken, and tells the bridge that the connection ends on purpose.
    async fn leave(&mut self, says_goodbye: bool) {
        self.finish(LEAVE).await;
        if says_goodbye && self.outgoing.send(GOODBYE.into()).await.is_err() {
            tracing::debug!("a bridge left first");
        }
    }

    /// Waits for requests under way, for at most `patience`, and gives up the rest.
    async fn finish(&mut self, patience: Duration) {
        let drained = tokio::time::timeout(patience, async {
            while self.requests.join_next().await.is_some() {}
            while self.open.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            let left = self.requests.len() + self.open.len();
            tracing::debug!(requests = left, "a connection ended while requests were waiting");
        }
        self.requests.shutdown().await;
        self.open.shutdown().await;
    }

    async fn accept(&mut self, line: Line) {
        let begun = match line {
            Line::Whole(line) => self.server.begin(&self.connection, &line, &self.sink),
            Line::TooLong(id) => Begun::Done(Reply::failed(id.as_ref(), RpcError::too_long())),
            // The id is one of ours.
            Line::TooLongAnswer(_) => Begun::Done(Reply::failed(None, RpcError::too_long())),
        };
        self.answer(begun).await;
    }

    async fn answer(&mut self, begun: Begun) {
        match begun {
            Begun::Nothing => {}
            Begun::Done(reply) => send(&self.outgoing, reply).await,
            Begun::Open(answer) => {
                if self.open.len() >= HELD_MAX {
                    self.open.join_next().await;
                }
                let outgoing = self.outgoing.clone();
                self.open.spawn(async move {
                    if let Some(reply) = answer.await {
                        send(&outgoing, reply).await;
                    }
                });
            }
            Begun::Pending(answer) => {
                if self.requests.len() >= HELD_MAX {
                    self.requests.join_next().await;
                }
                let (outgoing, running) = (self.outgoing.clone(), Arc::clone(&self.running));
                self.requests.spawn(async move {
                    // The semaphore is never closed.
                    let _turn = running.acquire_owned().await;
                    if let Some(reply) = answer.await {
                        send(&outgoing, reply).await;
                    }
                });
            }
        }
    }
}

/// A connection that is told what it asks to be told, until it ends.
struct Listening {
    server: Server,
    scope: Option<Arc<str>>,
}

impl Listening {
    fn new(server: &Server, connection: &Connection, sink: &Sink) -> Self {
        let scope = connection.origin().scope.clone();
        if let Some(scope) = &scope {
            server.sessions().connect(scope, &connection.caller(), server.engine(), sink.clone());
        }
        Self { server: server.clone(), scope }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(scope) = &self.scope {
            self.server.sessions().close(scope);
        }
    }
}

async fn send(outgoing: &mpsc::Sender<String>, reply: Reply) {
    if outgoing.send(reply.message).await.is_err() {
        tracing::debug!("an answer was dropped: nobody reads it");
    }
}
