//! The lock that a living spawner holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ProcessError;
use crate::shim::wire::SPAWNER_LOCK;

/// How long a spawner may take to end after its daemon did.
const WAIT_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the lock as soon as no older spawner is left.
pub(super) async fn take(run_dir: &Path) -> Result<File, ProcessError> {
    let path = run_dir.join(SPAWNER_LOCK);
    let failed = |source| ProcessError::Lock { path: path.clone(), source };
    let mut file = open(&path).map_err(failed)?;
    let give_up_at = Instant::now() + WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < give_up_at => sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => {
                return Err(ProcessError::SpawnerBusy { pid: holder(&mut file), path });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Notes who holds the lock, for people who have to look for it.
pub(super) fn name_holder(mut file: &File, pid: u32) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{pid}")
}
