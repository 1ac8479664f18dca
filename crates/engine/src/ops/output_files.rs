//! The files in which this node has output, as they are found in its folder.

use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use longshore_domain::fault::Fault;
use longshore_domain::{JobId, Timestamp};

/// What stands beside output: its index, and the note that it is still to be sent.
const BESIDE: [&str; 2] = [".idx", ".unsent"];

/// A file of output, or one beside it.
pub(super) struct OutputFile {
    pub(super) path: PathBuf,
    pub(super) job: JobId,
    pub(super) bytes: u64,
    /// Where nobody can tell, it counts as new.
    pub(super) written_at: Timestamp,
}

/// The folders of all days, the first day first.
pub(super) async fn days(output: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut days = in_background(output, folders).await?;
    days.sort();
    Ok(days)
}

/// The files of one day. Those with other names are left out.
pub(super) async fn files_of(day: &Path) -> Result<Vec<OutputFile>, Fault> {
    in_background(day, files).await
}

async fn in_background<T: Send + 'static>(folder: &Path, look: fn(&Path) -> T) -> Result<T, Fault> {
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

fn files(folder: &Path) -> Vec<OutputFile> {
    let file = |(entry, found): (DirEntry, Metadata)| {
        let job = job_of(entry.file_name().to_str()?)?;
        Some(OutputFile { path: entry.path(), job, bytes: found.len(), written_at: written_at(&found) })
    };
    entries(folder).filter(|(_, found)| found.is_file()).filter_map(file).collect()
}

fn written_at(found: &Metadata) -> Timestamp {
    let since = found.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let millis = since.and_then(|since| i64::try_from(since.as_millis()).ok());
    Timestamp::from_millis(millis.unwrap_or(i64::MAX))
}

/// The job whose output has that name, `<job>.<attempt>.log`, or stands beside it.
fn job_of(name: &str) -> Option<JobId> {
    let (job, rest) = name.split_once('.')?;
    let log = BESIDE.iter().find_map(|beside| rest.strip_suffix(beside)).unwrap_or(rest);
    log.strip_suffix(".log")?.parse::<u32>().ok()?;
    job.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_output_lead_to_a_job() {
        let id = JobId::new(Timestamp::from_millis(1), 2);
        for suffix in ["1.log", "12.log", "3.log.idx", "3.log.unsent"] {
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
