//! The spawner: a small process with one thread that makes shims by `fork`.
//!
//! A fork of a small process costs a fraction of starting a program, so a no-op command costs little more than its own
//! start. The daemon cannot be forked so: it is large and has many threads. One shim is always forked ahead, so that
//! the next request waits for no fork at all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, retry_on_intr};
use rustix::net::{SendFlags, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::attempt::{Place, Shim};
use super::cgroup;
use super::door::make_begun;
use super::frames::{receive_frame, receive_frame_with, send_with};
use super::sys::{self, Forked};
use super::wire::{FromShim, Ready, Setup, to_line};

/// The requests' end was reached: the daemon is gone or wants no more.
const DONE: u8 = 0;
/// A request broke the protocol (`EX_PROTOCOL` of sysexits.h).
const BROKEN: u8 = 76;

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
    let Some((setup, lock)) = receive_frame_with(socket)? else { return Ok(()) };
    let setup: Setup = serde_json::from_slice(&setup)?;
    let lock = lock.ok_or(io::ErrorKind::InvalidData)?;
    let spawner = Spawner::set_up(lock, &setup)?;
    let leaves = setup.cgroup.as_deref().is_some_and(cgroup::can_be_joined);
    send(socket, &to_line(&Ready { pid: std::process::id(), leaves }), SendFlags::empty())?;
    while retry_on_intr(|| read(socket, &mut [0]))? > 0 {
        // The line is closed here once it is passed on: no other shim may hold it.
        let line = match fork_spare()? {
            Spare::Here(line) => spawner.become_shim(line),
            Spare::There(line) => line,
        };
        send_with(socket, &[0], line.as_fd(), SendFlags::empty())?;
    }
    Ok(())
}

/// A shim that waits for its request, seen from either side. It ends if its line is closed before a request came.
enum Spare {
    /// This process is it.
    Here(OwnedFd),
    /// It is at the other end, or nobody is but the word why.
    There(OwnedFd),
}

fn fork_spare() -> io::Result<Spare> {
    let (ours, theirs) = UnixStream::pair()?;
    let (ours, theirs) = (OwnedFd::from(ours), OwnedFd::from(theirs));
    match sys::fork() {
        Ok(Forked::Child) => return Ok(Spare::Here(theirs)),
        Ok(Forked::Parent) => {}
        Err(error) => refuse(&theirs, &error),
    }
    Ok(Spare::There(ours))
}

impl Spawner {
    fn set_up(lock: OwnedFd, setup: &Setup) -> io::Result<Self> {
        std::env::set_current_dir(&setup.run_dir)?;
        let run_dir = open(".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        make_begun(&run_dir)?;
        setup.open_files.into_iter().for_each(limit_open_files);
        // Found out once here, so that not every shim has to: where the kernel's clock is, and how programs start.
        super::time::steady();
        super::command::rehearse();
        Ok(Self { lock, null, place: Place { run_dir, cgroups: setup.cgroup.clone() } })
    }

    /// Serves the attempt that is asked for on `line`, in a process that was just forked, and ends it.
    fn become_shim(self, line: OwnedFd) -> ! {
        const PANICKED: i32 = 70;
        let Self { lock, null, place } = self;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let shim = sys::replace_stdin(&null).and_then(|()| Shim::new(place, lock));
            drop(null);
            match (shim, receive_frame(line.as_fd())) {
                (Ok(shim), Ok(Some(request))) => shim.run(&request, line),
                (Err(error), Ok(Some(_))) => refuse(&line, &error),
                (_, Ok(None) | Err(_)) => {}
            }
        }));
        sys::exit_now(if outcome.is_ok() { 0 } else { PANICKED })
    }
}

/// Shims and commands inherit it. That it cannot be set leaves them with more, which is no reason not to run them.
fn limit_open_files(most: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }).ok();
}

fn refuse(socket: &OwnedFd, error: &io::Error) {
    let reason = format!("the machine refused to start another process: {error}");
    // If the daemon is gone nobody needs to know.
    send(socket, &to_line(&FromShim::Refused { reason }), SendFlags::DONTWAIT).ok();
}
