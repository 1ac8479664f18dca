//! The spawner: a small process with one thread that makes shims by `fork`.
//!
//! A fork of a small process costs a fraction of starting a program, so a no-op command costs little more than its own
//! start. The daemon cannot be forked so: it is large and has many threads. One shim is always forked ahead, so that
//! the next request waits for no fork at all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

use super::attempt::{Place, Shim};
use super::door::make_begun;
use super::frames::{receive_frame, send_frame};
use super::sys::{self, Forked};
use super::wire::{FromShim, Ready, Setup, to_line};

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
    let Some(lock) = receive_frame(socket, &mut frame)? else { return Ok(()) };
    let spawner = Spawner::set_up(lock, &frame)?;
    send(socket, &to_line(&Ready { pid: std::process::id() }), SendFlags::NOSIGNAL)?;
    loop {
        let spare = match fork_spare() {
            Spare::Here(line) => spawner.become_shim(|| receive_order(line)),
            Spare::There(line) => Some(line),
            Spare::None => None,
        };
        let Some(passed) = receive_frame(socket, &mut frame)? else { return Ok(()) };
        let taken = spare.is_some_and(|line| send_frame(line.as_fd(), &frame, passed.as_fd()).is_ok());
        if !taken {
            match sys::fork() {
                Ok(Forked::Child) => spawner.become_shim(|| Some((frame, passed))),
                Ok(Forked::Parent) => {}
                Err(error) => refuse(&passed, &error),
            }
        }
        frame.clear();
        frame.shrink_to(FRAME_BYTES_KEPT);
        // `passed` is closed here: the next spare must not hold another shim's line to the daemon.
    }
}

/// The request of an attempt, and the socket that leads to the daemon.
type Order = (Vec<u8>, OwnedFd);

/// A shim that was forked ahead, seen from either side. It ends if its line is closed before an order came.
enum Spare {
    /// This process is it.
    Here(OwnedFd),
    /// It is at the other end.
    There(OwnedFd),
    /// The machine had no room for it.
    None,
}

fn fork_spare() -> Spare {
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let Ok((ours, theirs)) = pair else { return Spare::None };
    match sys::fork() {
        Ok(Forked::Child) => Spare::Here(theirs),
        Ok(Forked::Parent) => Spare::There(ours),
        Err(_) => Spare::None,
    }
}

fn receive_order(line: OwnedFd) -> Option<Order> {
    let mut request = vec![];
    let socket = receive_frame(line.as_fd(), &mut request).ok().flatten()?;
    Some((request, socket))
}

impl Spawner {
    fn set_up(lock: OwnedFd, frame: &[u8]) -> io::Result<Self> {
        let setup: Setup = serde_json::from_slice(frame)?;
        std::env::set_current_dir(&setup.run_dir)?;
        let run_dir = open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        make_begun(&run_dir)?;
        // Found out once here, so that not every shim has to: where the kernel's clock is, and how programs start.
        super::time::steady();
        super::command::rehearse();
        Ok(Self { lock, null, place: Place { run_dir, cgroups: setup.cgroup } })
    }

    /// Serves one attempt in a process that was just forked, and ends it.
    fn become_shim(self, order: impl FnOnce() -> Option<Order>) -> ! {
        const PANICKED: i32 = 70;
        let Self { lock, null, place } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let shim = sys::replace_stdin(&null).and_then(|()| Shim::new(place, lock));
            drop(null);
            match (shim, order()) {
                (Ok(shim), Some((request, socket))) => shim.run(&request, socket),
                (Err(error), Some((_, socket))) => refuse(&socket, &error),
                (_, None) => {}
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
