//! What is special about a folder: uploads that were cut off leave files, and nobody else removes them.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use longshore_domain::artifact::ArtifactError;
use longshore_domain::time::Timestamp;

use super::errors::Place;

/// What stands between the name of a file and the number of the upload that still writes it.
const UPLOAD_MARK: char = '#';

pub(super) async fn sweep(folder: PathBuf, before: Timestamp, place: &Place) -> Result<u64, ArtifactError> {
    let swept = tokio::task::spawn_blocking(move || sweep_below(&folder, before)).await;
    swept.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| place.io_failed("clean up", error))
}

fn sweep_below(folder: &Path, before: Timestamp) -> std::io::Result<u64> {
    let mut swept = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // It may be finished meanwhile, and have another name.
        let Ok(found) = entry.metadata() else { continue };
        if found.is_dir() {
            swept += sweep_below(&entry.path(), before)?;
            continue;
        }
        let is_upload = entry.file_name().to_string_lossy().contains(UPLOAD_MARK);
        let written = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let written = written.and_then(|since| i64::try_from(since.as_millis()).ok());
        let is_old = written.is_some_and(|at| Timestamp::from_millis(at) < before);
        if is_upload && is_old && std::fs::remove_file(entry.path()).is_ok() {
            swept += 1;
        }
    }
    Ok(swept)
}
