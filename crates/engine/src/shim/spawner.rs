//! The spawner: a small process with one thread that makes shims by `fork`.
//!
//! A fork of a small process costs a fraction of starting a program, so a no-op command costs little more than its own
//! start. The daemon cannot be forked so: it is large and has many threads.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use super::attempt::{self, Place};
use super::sys::{self, Forked};
use super::wire::{FromShim, REQUEST_BYTES_MAX, Ready, Setup, to_line};

/// The requests' end was reached: the daemon is gone or wants no more.
const DONE: u8 = 0;
/// A request broke the protocol (`EX_PROTOCOL` of sysexits.h).
const BROKEN: u8 = 76;
/// Memory kept for the next request after a large one.
const FRAME_BYTES_KEPT: usize = 64 * 1024;

/// Serves requests on standard input, a Unix stream socket, until its other end is closed; returns the exit code.
///
/// Call it first thing in a process that has started no thread: it forks, and closes every other descriptor. It
/// returns in the process that called it only.
pub fn run_spawner() -> u8 {
    sys::close_inherited();
    sys::reset_signals();
    sys::leave_children_to_kernel();
    // Fails only if this process leads its session already, and then nothing is amiss.
    rustix::process::setsid().ok();
    match serve() {
        Ok(()) => DONE,
        Err(_) => BROKEN,
    }
}

/// What a spawner holds for as long as it lives.
struct Spawner {
    /// Locked: while it is open no other spawner begins.
    lock: OwnedFd,
    null: OwnedFd,
    place: Place,
}

fn serve() -> io::Result<()> {
    let stdin = io::stdin();
    let socket = stdin.as_fd();
    let mut frame = vec![];
    let Some(lock) = receive(socket, &mut frame)? else { return Ok(()) };
    let spawner = Spawner::set_up(lock, &frame)?;
    send(socket, &to_line(&Ready { pid: std::process::id() }), SendFlags::NOSIGNAL)?;
    while let Some(passed) = receive(socket, &mut frame)? {
        match sys::fork() {
            Ok(Forked::Child) => spawner.become_shim(&frame, passed),
            Ok(Forked::Parent) => {}
            Err(error) => refuse(&passed, &error),
        }
        frame.clear();
        frame.shrink_to(FRAME_BYTES_KEPT);
    }
    Ok(())
}

impl Spawner {
    fn set_up(lock: OwnedFd, frame: &[u8]) -> io::Result<Self> {
        let setup: Setup = serde_json::from_slice(frame)?;
        std::env::set_current_dir(&setup.run_dir)?;
        let run_dir = open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        // Found out once here, so that not every shim has to: where the kernel's clock is, and how programs start.
        super::time::steady();
        super::command::rehearse();
        Ok(Self { lock, null, place: Place { run_dir, cgroups: setup.cgroup } })
    }

    fn become_shim(self, request: &[u8], socket: OwnedFd) -> ! {
        const PANICKED: i32 = 70;
        let Self { lock, null, place } = self;
        // First of all: a daemon may be waiting for this spawner to be gone, and shims do not count.
        drop(lock);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if sys::replace_stdin(&null).is_ok() {
                drop(null);
                attempt::run(request, socket, &place);
            }
        }));
        sys::exit_now(if outcome.is_ok() { 0 } else { PANICKED })
    }
}

fn refuse(socket: &OwnedFd, error: &io::Error) {
    let reason = format!("the machine refused to start another process: {error}");
    // If the daemon is gone nobody needs to know.
    send(socket, &to_line(&FromShim::Refused { reason }), SendFlags::NOSIGNAL | SendFlags::DONTWAIT).ok();
}

/// Receives one request and the descriptor passed with it; `None` at the end.
fn receive(socket: BorrowedFd<'_>, frame: &mut Vec<u8>) -> io::Result<Option<OwnedFd>> {
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
