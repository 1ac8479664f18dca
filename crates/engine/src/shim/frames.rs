//! Frames over a Unix stream socket: four bytes of length, the bytes, and one descriptor that goes with them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, send, sendmsg,
};

use super::wire::REQUEST_BYTES_MAX;

/// Sends a frame whole, waiting for as long as the other end reads.
pub(super) fn send_frame(socket: BorrowedFd<'_>, frame: &[u8], passed: BorrowedFd<'_>) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidInput)?.to_le_bytes();
    let descriptors = [passed];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parts = [IoSlice::new(&length), IoSlice::new(frame)];
    let sent = rustix::io::retry_on_intr(|| sendmsg(socket, &parts, &mut ancillary, SendFlags::NOSIGNAL))?;
    // A stream socket that waits takes at least the first part.
    let mut rest = frame.get(sent.saturating_sub(length.len())..).unwrap_or_default();
    while !rest.is_empty() {
        let sent = rustix::io::retry_on_intr(|| send(socket, rest, SendFlags::NOSIGNAL))?;
        rest = &rest[sent..];
    }
    Ok(())
}

/// Receives one frame and the descriptor passed with it; `None` at the end.
pub(super) fn receive_frame(socket: BorrowedFd<'_>, frame: &mut Vec<u8>) -> io::Result<Option<OwnedFd>> {
    let mut length = [0; 4];
    let Some(passed) = receive_exactly(socket, &mut length)? else { return Ok(None) };
    let length = u32::from_le_bytes(length) as usize;
    if length > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    frame.clear();
    frame.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut frame[filled..]))? {
            0 => return Ok(None),
            more => filled += more,
        }
    }
    Ok(Some(passed))
}

/// Fills a small buffer; the descriptor comes with its first byte.
fn receive_exactly(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<OwnedFd>> {
    let mut passed = None;
    let mut filled = 0;
    while filled < buffer.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut buffer[filled..])];
        let received = match recvmsg(socket, &mut slices, &mut ancillary, CLOSE_ON_EXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            received => received?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        filled += received.bytes;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                passed = passed.or(descriptors.into_iter().next());
            }
        }
    }
    passed.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();
