//! Finds out what became of an attempt that was started before.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_domain::job::AttemptReport;
use longshore_domain::{AttemptNumber, JobNumber, Nonce};
use tokio::net::UnixStream;

use super::{ShimLink, ShimReport};
use crate::shim::door;
use crate::shim::wire::{BEGUN, ExitRecord, attempt_of, record_name, socket_name};

/// Paths of sockets have room for so many bytes on every system (`sun_path`, 104 on macOS).
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Longest pause before a shim is tried again that takes no connection.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The first such pause: it notices at once that its daemon is gone, and listens.
const BUSY_PAUSE_MIN: Duration = Duration::from_millis(1);

/// What became of an attempt.
#[derive(Debug)]
pub enum Found {
    /// Its shim lives. The first report says that it has started.
    Running(ShimLink),
    /// It has ended; the record is still there.
    Ended(AttemptReport),
    /// It may have begun, but its shim is gone without a record.
    Gone,
    /// It never began, and never will.
    NeverStarted,
}

/// Finds out what became of an attempt. Waits for as long as its shim lives without a word.
///
/// Right only if no spawner is left that could still have a request for it, and the machine was not restarted since.
pub async fn look_up(run_dir: &Path, number: JobNumber, attempt: AttemptNumber, nonce: Nonce) -> Found {
    if let Some(report) = exit_record(run_dir, number, attempt, nonce).await {
        return Found::Ended(report);
    }
    let missing = match connect(run_dir, number, attempt).await {
        Ok(socket) => {
            let mut link = ShimLink::new(socket);
            if link.hello().await.is_some_and(|hello| hello.nonce == nonce) {
                return Found::Running(link);
            }
            false
        }
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    // The record is made before the trace goes: the shim may have ended between the two looks.
    match exit_record(run_dir, number, attempt, nonce).await {
        Some(report) => Found::Ended(report),
        None if missing => Found::NeverStarted,
        None => Found::Gone,
    }
}

/// Connects; waits while a shim that lives does not listen yet, or has no room for another connection: it is frozen.
async fn connect(run_dir: &Path, number: JobNumber, attempt: AttemptNumber) -> io::Result<UnixStream> {
    let name = socket_name(number, attempt);
    let mut pause = BUSY_PAUSE_MIN;
    loop {
        match connect_now(run_dir, &name).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_alive(run_dir, number, attempt) => {}
            connected => return connected,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(BUSY_PAUSE_MAX);
    }
}

async fn connect_now(run_dir: &Path, name: &str) -> io::Result<UnixStream> {
    let path = run_dir.join(name);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(path).await;
    }
    connect_by_folder(run_dir, name).await
}

/// Names the folder by a descriptor, since its own name is too long.
#[cfg(target_os = "linux")]
async fn connect_by_folder(run_dir: &Path, name: &str) -> io::Result<UnixStream> {
    use std::os::fd::AsRawFd;
    let folder = std::fs::File::open(run_dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    UnixStream::connect(path).await
}

#[cfg(not(target_os = "linux"))]
async fn connect_by_folder(run_dir: &Path, _name: &str) -> io::Result<UnixStream> {
    let problem = format!("the path `{}` is too long for sockets in it", run_dir.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// The report in the exit record of an attempt, if there is one and it is the attempt's own.
pub async fn exit_record(
    run_dir: &Path,
    number: JobNumber,
    attempt: AttemptNumber,
    nonce: Nonce,
) -> Option<AttemptReport> {
    let bytes = tokio::fs::read(run_dir.join(record_name(number, attempt))).await.ok()?;
    let record: ExitRecord = serde_json::from_slice(&bytes).ok()?;
    (record.nonce == nonce).then_some(record.report)
}

/// The attempts that left a trace, or whose traces are incomplete.
pub fn traces(run_dir: &Path) -> BTreeSet<(JobNumber, AttemptNumber)> {
    let entries = std::fs::read_dir(run_dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| attempt_of(&name)).collect()
}

/// Ends an attempt that is over for the store, at once if its shim still runs, and removes its traces. Right only if no
/// spawner of an earlier daemon is left.
pub async fn end(run_dir: &Path, number: JobNumber, attempt: AttemptNumber) {
    if is_alive(run_dir, number, attempt)
        && let Ok(socket) = connect(run_dir, number, attempt).await
    {
        let mut link = ShimLink::new(socket);
        link.control().stop(true);
        while !matches!(link.next().await, None | Some(ShimReport::Ended(_))) {}
    }
    forget(run_dir, number, attempt);
}

fn is_alive(run_dir: &Path, number: JobNumber, attempt: AttemptNumber) -> bool {
    let begun = std::fs::File::open(run_dir.join(BEGUN));
    begun.is_ok_and(|begun| door::is_alive(&begun, number, attempt))
}

/// Removes the traces of an attempt. Call it once its end is stored.
pub fn forget(run_dir: &Path, number: JobNumber, attempt: AttemptNumber) {
    let record = record_name(number, attempt);
    let socket = socket_name(number, attempt);
    // The trace goes first: it tells the shim that the end is stored.
    for name in [socket.clone(), format!("{socket}.new"), format!("{record}.tmp"), record] {
        let path: PathBuf = run_dir.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a trace of an attempt could not be removed");
            }
            _ => {}
        }
    }
}
