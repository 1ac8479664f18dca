//! The line to a shim.

use std::io;
use std::sync::Arc;

use longshore_domain::Timestamp;
use longshore_domain::job::{AttemptReport, ProcessIdentity};
use rustix::net::{SendFlags, send};
use tokio::net::UnixStream;

use crate::shim::wire::{FromShim, Hello, LINE_BYTES_MAX, Progress, Started, ToShim, to_line};

const READ_BYTES: usize = 4 * 1024;

/// What a shim reports.
#[derive(Clone, Debug, PartialEq)]
pub enum ShimReport {
    /// The command runs. Repeated by a shim that was found again.
    Started {
        /// The command's own process.
        process: ProcessIdentity,
        /// When it began.
        at: Timestamp,
        /// When its hard deadline falls due, by the clock as it stood at the start.
        deadline_at: Option<Timestamp>,
    },
    /// The command printed something (only while followed), or its progress changed.
    Output {
        /// Bytes printed so far.
        total: u64,
        /// The furthest progress it told of.
        progress: Option<Progress>,
    },
    /// It is over. The shim makes that durable itself unless its trace is removed soon, or as soon as the link is
    /// dropped: keep the link until the end is stored, remove the traces, then drop it.
    Ended(AttemptReport),
}

/// What is heard from a shim. Dropping it disturbs neither shim nor command.
#[derive(Debug)]
pub struct ShimLink {
    lines: Lines,
    /// Reports that were read before they were asked for.
    early: Option<ShimReport>,
}

impl ShimLink {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self { lines: Lines { socket: Arc::new(socket), unread: vec![], scanned: 0 }, early: None }
    }

    /// The next report; `None` once the line is broken. A shim that ends by itself has said `Ended` before.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<ShimReport> {
        if let Some(early) = self.early.take() {
            return Some(early);
        }
        loop {
            if let Some(report) = understand(self.lines.message().await?) {
                return Some(report);
            }
        }
    }

    /// The other direction.
    pub fn control(&self) -> ShimControl {
        ShimControl { socket: Arc::clone(&self.lines.socket) }
    }

    /// The first word of a shim that was just asked for: why it refused, or that it runs or ran.
    pub(super) async fn first_word(&mut self) -> Option<Result<(), String>> {
        loop {
            match self.lines.message().await? {
                FromShim::Refused { reason } => return Some(Err(reason)),
                message => self.early = understand(message),
            }
            if self.early.is_some() {
                return Some(Ok(()));
            }
        }
    }

    /// Who the shim says it is, once connected.
    pub(super) async fn hello(&mut self) -> Option<Hello> {
        loop {
            if let FromShim::Hello(hello) = self.lines.message().await? {
                return Some(hello);
            }
        }
    }
}

fn understand(message: FromShim) -> Option<ShimReport> {
    match message {
        FromShim::Started(Started { process, at, deadline_at }) => {
            Some(ShimReport::Started { process, at, deadline_at })
        }
        FromShim::Output { total, progress } => Some(ShimReport::Output { total, progress }),
        FromShim::Ended(report) => Some(ShimReport::Ended(report)),
        FromShim::Hello(_) | FromShim::Refused { .. } => None,
    }
}

/// Whole lines from a socket; what was read of the next one is kept, so that waiting can be given up.
#[derive(Debug)]
struct Lines {
    socket: Arc<UnixStream>,
    unread: Vec<u8>,
    scanned: usize,
}

impl Lines {
    /// The next line that is understood; `None` at the end.
    async fn message(&mut self) -> Option<FromShim> {
        loop {
            while let Some(line) = self.take_line() {
                if let Ok(message) = serde_json::from_slice(&line) {
                    return Some(message);
                }
            }
            self.read().await?;
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(end) = memchr::memchr(b'\n', &self.unread[self.scanned..]) else {
            self.scanned = self.unread.len();
            return None;
        };
        let end = self.scanned + end + 1;
        self.scanned = 0;
        let rest = self.unread.split_off(end);
        Some(std::mem::replace(&mut self.unread, rest))
    }

    async fn read(&mut self) -> Option<()> {
        if self.unread.len() > LINE_BYTES_MAX {
            return None;
        }
        loop {
            self.socket.readable().await.ok()?;
            self.unread.reserve(READ_BYTES);
            match self.socket.try_read_buf(&mut self.unread) {
                Ok(0) => return None,
                Ok(_) => return Some(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return None,
            }
        }
    }
}

/// Gives orders to a shim. Orders to one that is gone are lost, which its link tells.
#[derive(Clone, Debug)]
pub struct ShimControl {
    socket: Arc<UnixStream>,
}

impl ShimControl {
    /// Ends the command and its whole tree: SIGTERM, grace, SIGKILL; with `kill` at once.
    pub fn stop(&self, kill: bool) {
        self.say(ToShim::Stop { kill });
    }

    /// Asks to be told of new output from now on, or no longer.
    pub fn follow(&self, on: bool) {
        self.say(ToShim::Follow { on });
    }

    fn say(&self, order: ToShim) {
        let line = to_line(&order);
        // Orders are short and few: they fit into the socket's buffer as a whole, or the shim is gone or frozen.
        if let Err(error) = send(&*self.socket, &line, SendFlags::DONTWAIT) {
            tracing::debug!(%error, ?order, "an order did not reach its shim");
        }
    }
}
