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
use crate::wire::{ErrorCode, Hello, Line, LineReader, MESSAGE_BYTES_MAX, Reply, RpcError};

/// Requests of one connection that are worked on at once.
const RUNNING_MAX: usize = 64;
/// Requests of one connection that are held in memory; beyond it no further line is read.
const HELD_MAX: usize = 1024;
/// Messages on their way out.
const OUTGOING_MAX: usize = 64;
/// After the end of input, requests that are nearly done may still answer.
const DRAIN: Duration = Duration::from_secs(1);

/// Serves one bridge until either side ends. Jobs go on.
///
/// The first line should be a [`Hello`]; without one the connection has no directory and no environment.
///
/// # Errors
/// Those of the stream.
pub async fn serve<S>(server: Server, principal: Principal, stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (reading, writing) = tokio::io::split(stream);
    let mut lines = LineReader::new(reading, MESSAGE_BYTES_MAX);
    let Some(first) = lines.next().await? else { return Ok(()) };
    let hello = if let Line::Whole(line) = &first { Hello::parse(line) } else { None };
    let first = hello.is_none().then_some(first);
    let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
    let writer = tokio::spawn(write_all(writing, queue));
    let session = Session::new(server, connection(principal, hello), outgoing);
    let read = session.serve(first, &mut lines).await;
    let written = writer.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.and(written)
}

fn connection(principal: Principal, hello: Option<Hello>) -> Connection {
    let scope: Arc<str> = format!("{:032x}", longshore_engine::clock::random()).into();
    let mut origin = Origin { scope: Some(scope), ..Origin::of(principal) };
    if let Some(hello) = hello {
        // A client that tells no chat is one chat for as long as it lives.
        let conversation = hello.conversation.unwrap_or_else(|| format!("bridge:{}", hello.id));
        origin.conversation = Some(Conversation::new(&conversation));
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
        }
    }

    /// Serves until the end of input, or until nobody reads the answers.
    async fn serve<R: AsyncRead + Unpin>(mut self, first: Option<Line>, lines: &mut LineReader<R>) -> io::Result<()> {
        if let Some(first) = first {
            self.accept(first).await;
        }
        let end = loop {
            tokio::select! {
                line = lines.next() => match line {
                    Ok(Some(line)) => self.accept(line).await,
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                Some(_) = self.requests.join_next() => {}
                () = self.outgoing.closed() => return Ok(()),
            }
        };
        let drained = tokio::time::timeout(DRAIN, async { while self.requests.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::debug!(requests = self.requests.len(), "a bridge left while requests were waiting");
        }
        self.requests.shutdown().await;
        end
    }

    async fn accept(&mut self, line: Line) {
        let begun = match line {
            Line::Whole(line) => self.server.begin(&self.connection, &line, &self.sink),
            Line::TooLong => Begun::Done(Reply::failed(None, too_long())),
        };
        match begun {
            Begun::Nothing => {}
            Begun::Done(reply) => send(&self.outgoing, reply).await,
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

async fn send(outgoing: &mpsc::Sender<String>, reply: Reply) {
    if outgoing.send(reply.message).await.is_err() {
        tracing::debug!("an answer was dropped: nobody reads it");
    }
}

fn too_long() -> RpcError {
    let message = format!("the message is longer than {MESSAGE_BYTES_MAX} bytes and was skipped");
    RpcError::envelope(ErrorCode::InvalidRequest, message)
}
