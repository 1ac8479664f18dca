//! What of the database's log the disk has, and who must wait for that.
//!
//! SQLite itself does not sync when it commits (`synchronous=normal`): the log is synced here before anybody is answered,
//! so that the writer can work on the next batch meanwhile. A commit can be read as soon as it is made, so readers wait
//! as well until the disk has what they saw. Source: sqlite.org/wal.html, sections 2.3 and 6; decision 0011.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::options::Durability;

/// The log of an open database. Commits are numbered from 1.
pub(super) struct Log {
    /// Absent where the operating system's word is enough.
    file: Option<File>,
    /// A sync has failed. Taken for each, since the system may tell of a failure only once.
    failed: Mutex<bool>,
    begun: AtomicU64,
    settled: watch::Sender<u64>,
}

impl Log {
    /// Of the database at `path`, which is open and was read from, so that its log exists.
    ///
    /// # Errors
    /// If the log cannot be opened, or its folder not be synced.
    pub(super) fn open(path: &Path, durability: Durability) -> io::Result<Self> {
        let file = match durability {
            Durability::Full => Some(File::open(log_path(path))?),
            Durability::Normal => None,
        };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(Self { file, failed: Mutex::new(false), begun: AtomicU64::new(0), settled: watch::Sender::new(0) })
    }

    /// With any file in the place of the log.
    #[cfg(test)]
    pub(super) fn over(file: File) -> Self {
        Self { file: Some(file), failed: Mutex::new(false), begun: AtomicU64::new(0), settled: watch::Sender::new(0) }
    }

    /// Numbers a commit that is about to be made. [`Self::settle`] it in any case.
    pub(super) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Brings everything that was committed so far to the disk.
    ///
    /// # Errors
    /// What the system says; from then on always, for what it could not write may be lost even if it says yes again.
    pub(super) fn sync(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(io::Error::other("an earlier sync has failed"));
        }
        file.sync_data().inspect_err(|_| *failed = true)
    }

    /// Notes that the disk has all commits up to this one, or that nothing of them can be read.
    pub(super) fn settle(&self, commit: u64) {
        self.settled.send_if_modified(|settled| {
            let newer = commit > *settled;
            *settled = commit.max(*settled);
            newer
        });
    }

    /// The number of the last commit, if the disk has all: what is read now holds until the next one begins.
    pub(super) fn at_rest(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::SeqCst);
        (*self.settled.borrow() >= begun).then_some(begun)
    }

    /// Lets everybody go on who waits: the writer has ended.
    pub(super) fn give_up(&self) {
        self.settle(u64::MAX);
    }

    /// Waits until the disk has everything that could be read when this was called. Cancel safe.
    pub(super) async fn caught_up(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        if *self.settled.borrow() < begun {
            // Fails only if the sender is gone, which is here.
            drop(self.settled.subscribe().wait_for(|settled| *settled >= begun).await);
        }
    }
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn waits(log: &Log) -> bool {
        pin!(log.caught_up()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[test]
    fn whoever_reads_waits_for_the_commits_that_it_may_have_seen() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(&folder.path().join("jobs.db"), Durability::Normal).unwrap();
        assert!(!waits(&log));
        assert_eq!(log.at_rest(), Some(0));
        let (first, second) = (log.begin(), log.begin());
        assert!(waits(&log));
        log.settle(first);
        assert!(waits(&log));
        assert_eq!(log.at_rest(), None);
        log.settle(second);
        assert!(!waits(&log));
        assert_eq!(log.at_rest(), Some(second));
        log.settle(first);
        assert!(!waits(&log));
        log.begin();
        assert!(waits(&log));
        log.give_up();
        assert!(!waits(&log));
    }
}
