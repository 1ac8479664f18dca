//! Frames over a Unix stream socket, four bytes of length and the bytes, and descriptors passed with a byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::wire::REQUEST_BYTES_MAX;

/// Receives a frame; `None` at the end.
pub(super) fn receive_frame(socket: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    Ok(receive_frame_with(socket)?.map(|(frame, _)| frame))
}

/// Receives a frame, and the descriptor passed with its first byte if there is one; `None` at the end.
pub(super) fn receive_frame_with(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut length = [0; 4];
    let (received, passed) = receive(socket, &mut length, RecvFlags::empty())?;
    if received == 0 || !fill(socket, &mut length[received..])? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    Ok(fill(socket, &mut frame)?.then_some((frame, passed)))
}

/// Fills a buffer; whether that much came before the end.
fn fill(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::retry_on_intr(|| rustix::io::read(socket, &mut buffer[filled..]))? {
            0 => return Ok(false),
            more => filled += more,
        }
    }
    Ok(true)
}

/// Receives some bytes, at least one unless the end was reached, and the descriptor passed with the first of them.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = flags | CLOSE_ON_EXEC;
    let received = rustix::io::retry_on_intr(|| recvmsg(socket, &mut slices, &mut ancillary, flags))?;
    let descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().next()))
}

/// Sends some bytes, at least one, and with the first of them a descriptor; how many were sent.
pub(crate) fn send_with(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    passed: BorrowedFd<'_>,
    flags: SendFlags,
) -> io::Result<usize> {
    let descriptors = [passed];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, flags))?)
}

#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();
