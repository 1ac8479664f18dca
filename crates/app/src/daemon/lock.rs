//! Locks on files: one daemon for a home, one starter at a time, one change of the tokens at a time. The system frees
//! them when their holder ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use longshore_domain::fault::{Fault, FaultCode};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::home::Home;
use crate::problem::file_failed;

const DAEMON: &str = "daemon.lock";
const START: &str = "start.lock";
const TOKENS: &str = "tokens.lock";
/// How long a holder is waited for that is about to let go: a process that a killed daemon had just forked holds the
/// daemon's lock until it runs its program.
const HOLDER_WAIT: Duration = Duration::from_millis(500);
const HOLDER_PAUSE: Duration = Duration::from_millis(5);

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Held(File);

/// Becomes the one daemon of `home`.
///
/// # Errors
/// `already_running` naming the process that is it; `file_failed`.
pub(crate) fn single_daemon(home: &Home) -> Result<Held, Fault> {
    let mut file = open(home, DAEMON)?;
    let give_up_at = Instant::now() + HOLDER_WAIT;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if Instant::now() < give_up_at => std::thread::sleep(HOLDER_PAUSE),
            Err(Errno::WOULDBLOCK) => return Err(already_running(home, &mut file)),
            Err(error) => return Err(file_failed(&home.file(DAEMON), "locked", &error.into())),
        }
    }
    let pid = std::process::id().to_string();
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes()));
    noted.map_err(|error| file_failed(&home.file(DAEMON), "written", &error))?;
    Ok(Held(file))
}

/// Becomes the one who starts a daemon for `home`; waits while somebody else does.
///
/// # Errors
/// `file_failed`.
pub(crate) fn starter(home: &Home) -> Result<Held, Fault> {
    wait_for(home, START)
}

/// Becomes the one who changes the tokens of `home`; waits while somebody else does.
///
/// # Errors
/// `file_failed`.
pub(crate) fn tokens(home: &Home) -> Result<Held, Fault> {
    wait_for(home, TOKENS)
}

fn wait_for(home: &Home, name: &str) -> Result<Held, Fault> {
    let file = open(home, name)?;
    let locked = rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive));
    locked.map_err(|error| file_failed(&home.file(name), "locked", &error.into()))?;
    Ok(Held(file))
}

impl Held {
    /// Frees the lock.
    pub(crate) fn release(self) {
        drop(self.0);
    }
}

fn open(home: &Home, name: &str) -> Result<File, Fault> {
    home.prepare()?;
    let path = home.file(name);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|error| file_failed(&path, "opened", &error))
}

fn already_running(home: &Home, file: &mut File) -> Fault {
    let mut pid = String::new();
    let by = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.is_empty() => format!("process {pid} holds its lock"),
        _ => "another process holds its lock".into(),
    };
    Fault::new(FaultCode::AlreadyRunning, format!("a daemon already serves {}", home.root().display()))
        .why(by)
        .next("use it as it is, stop it with `longshore down`, or set `LONGSHORE_HOME` to another folder")
}
