//! Where an attempt is found by a daemon that has no line to its shim.
//!
//! An attempt that begins leaves a trace under the name of its socket, so that it never begins twice. A socket for each
//! would be an inode made and freed for each, which file systems that keep off freed ones make dear: ext4 without a
//! journal looks at every inode that was freed within the last minute. So the trace is one more name of a file that all
//! attempts share, and a lock on one byte of that file tells that the shim lives. The socket takes the name once nobody
//! is connected any more.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

use longshore_domain::{AttemptNumber, JobNumber};
use rustix::fs::{
    Access, AtFlags, Mode, OFlags, RenameFlags, accessat, fchmod, linkat, openat, renameat, renameat_with, unlinkat,
};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use super::sys;
use super::wire::{BEGUN, socket_name};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 8;

/// The trace of an attempt that this process runs, and the socket in its place once there is one.
pub(super) struct Door {
    name: String,
    listener: Option<UnixListener>,
    _alive: Option<OwnedFd>,
}

impl Door {
    /// Leaves the trace of an attempt. The run folder must be the current directory.
    ///
    /// # Errors
    /// If it is there already: the attempt has begun before, and must not begin twice. Or if the system refuses.
    pub(super) fn leave_trace(run_dir: &OwnedFd, number: JobNumber, attempt: AttemptNumber) -> io::Result<Self> {
        let name = socket_name(number, attempt);
        let Ok(alive) = lock(run_dir, number, attempt) else { return Self::with_socket(name) };
        match linkat(run_dir, BEGUN, run_dir, &name, AtFlags::empty()) {
            Ok(()) => Ok(Self { name, listener: None, _alive: Some(alive) }),
            Err(Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
            // No second names here, or no more of them.
            Err(_) => Self::with_socket(name),
        }
    }

    fn with_socket(name: String) -> io::Result<Self> {
        let listener = Some(listen_at(&name)?);
        Ok(Self { name, listener, _alive: None })
    }

    /// Listens from now on, if the system lets it and the trace is still there. May be tried again.
    pub(super) fn open(&mut self, run_dir: &OwnedFd) {
        if self.listener.is_some() {
            return;
        }
        let temporary = format!("{}.new", self.name);
        // Of a try before.
        unlinkat(run_dir, &temporary, AtFlags::empty()).ok();
        let listener = listen_at(&temporary);
        self.listener = listener.ok().filter(|_| replace(run_dir, &temporary, &self.name).is_ok());
        // What is left of the exchange, or of the try.
        unlinkat(run_dir, &temporary, AtFlags::empty()).ok();
    }

    pub(super) fn listener(&self) -> Option<&UnixListener> {
        self.listener.as_ref()
    }

    /// The name of the trace within the run folder.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn listen_at(name: &str) -> io::Result<UnixListener> {
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&listener, FdFlags::CLOEXEC)?;
    // The file gets the mode of the socket; elsewhere than on Linux only the folder keeps others out.
    fchmod(&listener, Mode::RUSR | Mode::WUSR).ok();
    bind(&listener, &SocketAddrUnix::new(name)?)?;
    listen(&listener, BACKLOG)?;
    Ok(listener.into())
}

/// Gives a file the name of another one that is there; a trace that was removed meanwhile must not come back.
fn replace(run_dir: &OwnedFd, temporary: &str, name: &str) -> rustix::io::Result<()> {
    match renameat_with(run_dir, temporary, run_dir, name, RenameFlags::EXCHANGE) {
        // The file system cannot exchange names; that leaves a moment in which the trace may be removed.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            accessat(run_dir, name, Access::EXISTS, AtFlags::empty())?;
            renameat(run_dir, temporary, run_dir, name)
        }
        exchanged => exchanged,
    }
}

/// Makes the file that all traces are names of.
pub(super) fn make_begun(run_dir: &OwnedFd) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    Ok(openat(run_dir, BEGUN, flags, Mode::RUSR | Mode::WUSR).map(drop)?)
}

fn lock(run_dir: &OwnedFd, number: JobNumber, attempt: AttemptNumber) -> io::Result<OwnedFd> {
    let file = openat(run_dir, BEGUN, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::lock_byte(&file, byte_of(number, attempt))?;
    Ok(file)
}

/// Whether a shim lives that runs this attempt and does not listen, or not yet. `begun` is the file of that name.
pub(crate) fn is_alive(begun: &impl AsFd, number: JobNumber, attempt: AttemptNumber) -> bool {
    sys::is_byte_locked(begun, byte_of(number, attempt)).unwrap_or(false)
}

/// A byte of its own for each attempt: 2^43 jobs with 2^20 attempts each have one.
fn byte_of(number: JobNumber, attempt: AttemptNumber) -> i64 {
    const ATTEMPT_BITS: u32 = 20;
    let job = (number.0 << ATTEMPT_BITS) & (i64::MAX as u64);
    (job | u64::from(attempt.0) & ((1 << ATTEMPT_BITS) - 1)) as i64
}
