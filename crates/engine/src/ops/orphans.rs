//! Output files that no record leads to any more: whoever removed the record was killed before it deleted them.

use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use longshore_domain::fault::Fault;
use longshore_domain::{JobId, Timestamp};

use crate::Engine;

/// Files that were written to within this time are left alone. A job is on record before its output begins, so a file
/// without a record is no job of ours in any case; but it may belong to a store that was put back from a backup.
const AGE_MIN: Duration = Duration::from_secs(3_600);

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

struct OutputFile {
    path: PathBuf,
    job: JobId,
    bytes: u64,
}

impl Engine {
    /// Deletes output files whose job is not on record, or whose output was noted as gone. Files with other names are
    /// left alone. Can be interrupted and repeated at any point.
    ///
    /// # Errors
    /// The store's own.
    pub(super) async fn sweep_orphans(&self, dry_run: bool) -> Result<Swept, Fault> {
        let before = self.inner.clock.now().minus(AGE_MIN);
        let mut swept = Swept::default();
        for day in in_background(&self.inner.settings.output_dir, folders).await? {
            for file in in_background(&day, move |day| output_files(day, before)).await? {
                if self.owns_output(file.job).await? {
                    continue;
                }
                if dry_run || delete(&file.path) {
                    swept.files += 1;
                    swept.bytes += file.bytes;
                }
            }
        }
        Ok(swept)
    }

    async fn owns_output(&self, job: JobId) -> Result<bool, Fault> {
        Ok(self.inner.store.job(job).await?.is_some_and(|job| !job.output_expired))
    }
}

async fn in_background<T: Send + 'static>(
    folder: &Path,
    look: impl FnOnce(&Path) -> T + Send + 'static,
) -> Result<T, Fault> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || look(&folder)).await.map_err(Fault::internal)
}

fn entries(folder: &Path) -> impl Iterator<Item = (DirEntry, Metadata)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok().map(|found| (entry, found)))
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).filter(|(_, found)| found.is_dir()).map(|(entry, _)| entry.path()).collect()
}

/// The output files in a folder that were last written to before an instant.
fn output_files(folder: &Path, before: Timestamp) -> Vec<OutputFile> {
    let old = entries(folder).filter(|(_, found)| found.is_file() && written_at(found) < before);
    let file = |(entry, found): (DirEntry, Metadata)| {
        let job = job_of(entry.file_name().to_str()?)?;
        Some(OutputFile { path: entry.path(), job, bytes: found.len() })
    };
    old.filter_map(file).collect()
}

/// When a file was last written to; where nobody can tell, it counts as new.
fn written_at(found: &Metadata) -> Timestamp {
    let since = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    Timestamp::from_millis(millis.unwrap_or(i64::MAX))
}

/// The job whose output or index has that name: `<job>.<attempt>.log` or `<job>.<attempt>.log.idx`.
fn job_of(name: &str) -> Option<JobId> {
    let (job, rest) = name.split_once('.')?;
    let attempt = rest.strip_suffix(".idx").unwrap_or(rest).strip_suffix(".log")?;
    attempt.parse::<u32>().ok()?;
    job.parse().ok()
}

fn delete(path: &Path) -> bool {
    match std::fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "output without a record could not be deleted");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_output_lead_to_a_job() {
        let id = JobId::new(Timestamp::from_millis(1), 2);
        for suffix in ["1.log", "12.log", "3.log.idx"] {
            assert_eq!(job_of(&format!("{id}.{suffix}")), Some(id), "{suffix}");
        }
        for suffix in ["1.log.gz", "log", "x.log", "1.idx", "1.2.log", ""] {
            assert_eq!(job_of(&format!("{id}.{suffix}")), None, "{suffix}");
        }
        for name in ["notes.1.log", "j_short.1.log", "", ".1.log"] {
            assert_eq!(job_of(name), None, "{name}");
        }
    }
}
