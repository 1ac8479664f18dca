//! One connection to the daemon.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Instant;

use crate::wire::{ErrorCode, Line, LineReader, Reply, RequestId, RpcError};

/// Longest line from the daemon: answers may hold a whole output.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Pauses between attempts to connect, about 30 s in all.
const PAUSES_MS: [u64; 12] = [50, 100, 200, 400, 800, 1_500, 3_000, 4_000, 5_000, 5_000, 5_000, 5_000];

/// Connects, trying again after growing pauses; begins with a pause when `losses` connections in a row were of no use.
///
/// # Errors
/// The last one, when all attempts have failed.
pub(super) async fn connect<S, F>(connect_once: &mut impl FnMut() -> F, losses: usize) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    for pause in &PAUSES_MS[..losses.min(PAUSES_MS.len())] {
        tokio::time::sleep(Duration::from_millis(*pause)).await;
    }
    for pause in PAUSES_MS {
        match connect_once().await {
            Ok(stream) => return Ok(stream),
            Err(error) => tracing::debug!(%error, "no connection to the daemon yet"),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    connect_once().await
}

/// Lines to and from the daemon.
pub(super) struct Link<S> {
    lines: LineReader<ReadHalf<S>>,
    writing: WriteHalf<S>,
    since: Instant,
}

impl<S: AsyncRead + AsyncWrite> Link<S> {
    /// A link over a stream that was just connected.
    pub(super) fn new(stream: S) -> Self {
        let (reading, writing) = tokio::io::split(stream);
        Self { lines: LineReader::new(reading, LINE_BYTES_MAX), writing, since: Instant::now() }
    }

    /// How long it has been there.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The next line, an error in place of an answer that is too long; nothing once the daemon is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.lines.next().await {
                Ok(Some(Line::Whole(line))) => return Some(line),
                Ok(Some(Line::TooLongAnswer(id))) => return Some(in_place_of_answer(&id)),
                Ok(Some(Line::TooLong(_))) => tracing::error!("a line of the daemon was too long and is dropped"),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// Sends lines.
    ///
    /// # Errors
    /// Once the daemon is gone.
    pub(super) async fn send(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        for line in lines {
            self.writing.write_all(line).await?;
            self.writing.write_all(b"\n").await?;
        }
        self.writing.flush().await
    }

    /// Sends bytes that are whole lines.
    ///
    /// # Errors
    /// Once the daemon is gone.
    pub(super) async fn send_all(&mut self, lines: &[u8]) -> io::Result<()> {
        self.writing.write_all(lines).await?;
        self.writing.flush().await
    }

    /// Tells the daemon that nothing more will come.
    pub(super) async fn end_input(&mut self) {
        if let Err(error) = self.writing.shutdown().await {
            tracing::debug!(%error, "the daemon left first");
        }
    }
}

fn in_place_of_answer(id: &RequestId) -> Vec<u8> {
    let message = format!(
        "the answer has more than {LINE_BYTES_MAX} bytes and cannot be passed on; what was asked for was done: read it in \
         pieces, output with job_read and its cursor or with `longshore logs`"
    );
    Reply::failed(Some(id), RpcError::new(ErrorCode::Internal, message)).message.into_bytes()
}
