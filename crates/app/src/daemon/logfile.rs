//! The log of a daemon in the background: one file that is put aside when it has grown, before the next start.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use longshore_domain::fault::Fault;

use crate::problem::file_failed;

/// Beyond this size the file is put aside at the next start.
const BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Files put aside that are kept.
const KEPT: u32 = 3;

/// Opens the log at `path` to append, having put it aside if it has grown too long.
///
/// # Errors
/// `file_failed`.
pub(crate) fn open(path: &Path) -> Result<File, Fault> {
    if std::fs::metadata(path).is_ok_and(|found| found.len() > BYTES_MAX) {
        rotate(path).map_err(|error| file_failed(path, "put aside", &error))?;
    }
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|error| file_failed(path, "opened", &error))
}

fn rotate(path: &Path) -> std::io::Result<()> {
    for number in (1..KEPT).rev() {
        let from = aside(path, number);
        if from.exists() {
            std::fs::rename(from, aside(path, number + 1))?;
        }
    }
    std::fs::rename(path, aside(path, 1))
}

fn aside(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("log.{number}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_long_log_is_put_aside_and_three_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon.log");
        for _ in 0..6 {
            std::fs::write(&path, vec![b'x'; super::BYTES_MAX as usize + 1]).unwrap();
            super::open(&path).unwrap();
        }
        let mut names: Vec<_> =
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["daemon.log", "daemon.log.1", "daemon.log.2", "daemon.log.3"]);
    }
}
