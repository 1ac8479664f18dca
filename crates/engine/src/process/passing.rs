//! Sends requests with a descriptor to a spawner.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Sends a whole frame; the descriptor goes with its first byte.
///
/// Not cancel safe: a frame that was begun must be finished, or nothing may follow it.
pub(super) async fn send_frame(socket: &UnixStream, frame: &[u8], passed: BorrowedFd<'_>) -> io::Result<()> {
    let mut sent = when_writable(socket, || send_first(socket, frame, passed)).await?;
    while sent < frame.len() {
        sent += when_writable(socket, || Ok(send(socket, &frame[sent..], FLAGS)?)).await?;
    }
    Ok(())
}

async fn when_writable(socket: &UnixStream, mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        socket.writable().await?;
        match socket.try_io(Interest::WRITABLE, &mut attempt) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn send_first(socket: &UnixStream, frame: &[u8], passed: BorrowedFd<'_>) -> io::Result<usize> {
    let descriptors = [passed];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(sendmsg(socket, &[IoSlice::new(frame)], &mut ancillary, FLAGS)?)
}
