//! What goes to and from a spawner: requests, and the lines to shims that it passes on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags, send};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::shim::frames;

/// Sends a whole frame; the descriptor, if there is one, goes with its first byte.
///
/// Not cancel safe: a frame that was begun must be finished, or nothing may follow it.
pub(super) async fn send_frame(
    socket: &UnixStream,
    frame: &[u8],
    mut passed: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let mut sent = 0;
    while sent < frame.len() {
        let rest = &frame[sent..];
        sent += when_ready(socket, Interest::WRITABLE, || match passed {
            Some(passed) => frames::send_with(socket.as_fd(), rest, passed, SendFlags::DONTWAIT),
            None => Ok(send(socket, rest, SendFlags::DONTWAIT)?),
        })
        .await?;
        passed = None;
    }
    Ok(())
}

/// Receives the line to a shim that was asked for with [`ask_for_shim`]. Cancel safe.
pub(super) async fn receive_line(socket: &UnixStream) -> io::Result<UnixStream> {
    let receive = || frames::receive(socket.as_fd(), &mut [0], RecvFlags::DONTWAIT);
    let line = match when_ready(socket, Interest::READABLE, receive).await? {
        (0, _) => Err(io::ErrorKind::UnexpectedEof),
        (_, line) => line.ok_or(io::ErrorKind::InvalidData),
    };
    to_stream(line?)
}

/// Asks a spawner for one more shim.
pub(super) fn ask_for_shim(socket: &UnixStream) -> io::Result<()> {
    send(socket, &[0], SendFlags::DONTWAIT)?;
    Ok(())
}

/// A shim that was taken and is to be replaced: another one is asked for when this is dropped.
pub(super) struct Taken(pub(super) Arc<UnixStream>);

impl Drop for Taken {
    fn drop(&mut self) {
        // If the spawner has ended, that shows when the next shim is waited for.
        ask_for_shim(&self.0).ok();
    }
}

fn to_stream(line: OwnedFd) -> io::Result<UnixStream> {
    let line = std::os::unix::net::UnixStream::from(line);
    line.set_nonblocking(true)?;
    UnixStream::from_std(line)
}

async fn when_ready<T>(
    socket: &UnixStream,
    interest: Interest,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    // Mostly it is ready, but of a new socket the runtime learns that only when it looks again.
    match attempt() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        result => return result,
    }
    loop {
        socket.ready(interest).await?;
        match socket.try_io(interest, &mut attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}
