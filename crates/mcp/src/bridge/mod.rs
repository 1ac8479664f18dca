//! `longshore mcp`: the thin process between a client that speaks over pipes and the daemon.
//!
//! It understands only what it needs to survive the daemon: which requests are not answered yet, and the handshake.
//! When the daemon goes and comes back, the client notices nothing but a pause. A daemon that says goodbye was stopped
//! on purpose: it is called back by the client's next request and by nothing else.

mod batches;
mod link;
mod memory;
mod note;
mod questions;
mod shapes;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::wire::{ErrorCode, GOODBYE, Hello, Line, LineReader, MESSAGE_BYTES_MAX, RpcError};
use link::{Link, connect};
use memory::{Memory, Noted};
use note::{note, refusal};

/// After the end of input, for how long answers are still passed on.
const DRAIN: Duration = Duration::from_secs(2);
/// Connections in a row that may break before anything was answered: some request may be what breaks them.
const LOSSES_MAX: usize = 5;
/// A connection that lasted so long was not broken by what it began with.
const STEADY: Duration = Duration::from_secs(3600);

/// Passes lines between a client and the daemon until the client's input ends.
///
/// `connect_once` makes one connection, starting the daemon if needed; it is called again, with growing pauses, for
/// about 30 s whenever the connection is lost. On each new connection the handshake is repeated and every request
/// without an answer is sent again; the daemon recognises those it had taken. Subscriptions and listens go on: the client
/// hears that what it watches may have changed, and nothing twice that it needs once. What the lost daemon asked is taken
/// back. A daemon that was stopped on purpose has answered them all, and none is started before the client's next
/// request. When no connection can be had, these requests are answered by an error, and the next one tries anew. Only
/// protocol is written to `stdout`.
///
/// # Errors
/// Those of `stdin` and `stdout`; a lost daemon is none.
pub async fn run_bridge<I, O, S, C, F>(hello: Hello, stdin: I, stdout: O, connect_once: C) -> io::Result<()>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite,
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
{
    let mut bridge = Bridge {
        stdin: LineReader::new(stdin, MESSAGE_BYTES_MAX),
        stdout,
        connect_once,
        memory: Memory::new(hello),
        link: None,
        losses: 0,
        ended: false,
    };
    // The daemon is there when the first request comes: some clients wait no longer than a second.
    bridge.reconnect().await?;
    while !bridge.ended {
        bridge.step().await?;
    }
    bridge.drain().await
}

struct Bridge<I, O, S, C> {
    stdin: LineReader<I>,
    stdout: O,
    connect_once: C,
    memory: Memory,
    link: Option<Link<S>>,
    /// Connections that broke since the last answer.
    losses: usize,
    /// The client's input has ended.
    ended: bool,
}

async fn write_all(stdout: &mut (impl AsyncWrite + Unpin), lines: &[Vec<u8>]) -> io::Result<()> {
    for line in lines {
        stdout.write_all(line).await?;
        stdout.write_all(b"\n").await?;
    }
    stdout.flush().await
}

impl<I, O, S, C, F> Bridge<I, O, S, C>
where
    I: AsyncRead + Unpin,
    O: AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite,
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
{
    /// Passes one line on, whichever side it comes from.
    async fn step(&mut self) -> io::Result<()> {
        let Some(link) = &mut self.link else {
            let line = self.stdin.next().await?;
            return self.pass_to_daemon(line).await;
        };
        tokio::select! {
            line = self.stdin.next() => self.pass_to_daemon(line?).await,
            line = link.next() => match line {
                Some(line) => self.pass_to_client(line).await,
                None => self.lost().await,
            },
        }
    }

    async fn pass_to_daemon(&mut self, line: Option<Line>) -> io::Result<()> {
        let Some(line) = line else {
            self.ended = true;
            return Ok(());
        };
        let Noted { onward, wants_answer, back } = note(&mut self.memory, line);
        write_all(&mut self.stdout, &back).await?;
        match &mut self.link {
            Some(link) => match link.send(&onward).await {
                Ok(()) => Ok(()),
                Err(_) => self.turned_away().await,
            },
            None if wants_answer => self.reconnect().await,
            // What wants no answer is worth no connection.
            None => Ok(()),
        }
    }

    async fn pass_to_client(&mut self, line: Vec<u8>) -> io::Result<()> {
        if line == GOODBYE.as_bytes() {
            return self.left().await;
        }
        let heard = self.memory.received(line);
        if heard.answers {
            self.losses = 0;
        }
        write_all(&mut self.stdout, &heard.lines).await
    }

    /// The daemon takes nothing any more. What it still answered comes first.
    async fn turned_away(&mut self) -> io::Result<()> {
        let Some(mut link) = self.link.take() else { return Ok(()) };
        while let Some(line) = link.next().await {
            if line == GOODBYE.as_bytes() {
                return self.left().await;
            }
            self.pass_to_client(line).await?;
        }
        self.lost().await
    }

    /// The daemon was stopped on purpose. What it did not take came after that, and calls for another one.
    async fn left(&mut self) -> io::Result<()> {
        self.link = None;
        self.losses = 0;
        self.take_back().await?;
        match self.memory.has_unanswered() && !self.ended {
            true => self.reconnect().await,
            false => Ok(()),
        }
    }

    /// The daemon is gone. If the client waits for nothing and wants to be told nothing there is no haste.
    async fn lost(&mut self) -> io::Result<()> {
        if self.link.take().is_some_and(|link| link.age() > STEADY) {
            self.losses = 0;
        }
        self.losses += 1;
        self.take_back().await?;
        match self.memory.has_unanswered() || self.memory.has_wishes() && !self.ended {
            true if self.losses > LOSSES_MAX => {
                self.losses = 0;
                self.give_up(&io::Error::other("it breaks off each time it gets this request")).await
            }
            true => self.reconnect().await,
            false => Ok(()),
        }
    }

    /// Nobody takes an answer to what the daemon asked any more.
    async fn take_back(&mut self) -> io::Result<()> {
        write_all(&mut self.stdout, &self.memory.questions.take_back()).await
    }

    /// Connects and repeats what the daemon must know, or answers every open request by an error. The client's
    /// input is read meanwhile; its end ends the attempt, unless an answer is still owed.
    async fn reconnect(&mut self) -> io::Result<()> {
        let connected = {
            let connecting = connect(&mut self.connect_once, self.losses);
            tokio::pin!(connecting);
            loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    line = self.stdin.next(), if !self.ended => match line? {
                        Some(line) => write_all(&mut self.stdout, &note(&mut self.memory, line).back).await?,
                        None => self.ended = true,
                    },
                }
                if self.ended && !self.memory.has_unanswered() {
                    return Ok(());
                }
            }
        };
        match connected {
            Ok(stream) => {
                let mut link = Link::new(stream);
                // If it breaks right away, the next read from it says so.
                if link.send_all(&self.memory.replay()).await.is_err() {
                    tracing::debug!("the daemon left during the handshake");
                }
                self.link = Some(link);
                Ok(())
            }
            Err(error) => self.give_up(&error).await,
        }
    }

    async fn give_up(&mut self, cause: &io::Error) -> io::Result<()> {
        tracing::error!(%cause, "the daemon is unreachable");
        let message = format!(
            "the Longshore daemon is unreachable ({cause}); jobs that were accepted go on: \
             call again, or look with `longshore ls`"
        );
        let lines = self.memory.give_up(|id| refusal(Some(id), RpcError::new(ErrorCode::Internal, message.as_str())));
        write_all(&mut self.stdout, &lines).await
    }

    /// Passes on what the daemon still answers after the client's last word.
    async fn drain(mut self) -> io::Result<()> {
        if let Some(mut link) = self.link.take() {
            link.end_input().await;
            let deadline = tokio::time::Instant::now() + DRAIN;
            while let Ok(Some(line)) = tokio::time::timeout_at(deadline, link.next()).await {
                self.pass_to_client(line).await?;
            }
        }
        write_all(&mut self.stdout, &self.memory.batches.take_rest()).await
    }
}
