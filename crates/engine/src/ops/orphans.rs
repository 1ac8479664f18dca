//! Output files that no record leads to any more: the record was removed, or the output was noted as gone, by another node
//! or by whoever was killed before it deleted them.

use std::path::Path;
use std::time::Duration;

use longshore_domain::JobId;
use longshore_domain::fault::Fault;

use super::output_files::{days, files_of};
use super::retention::RetentionReport;
use crate::Engine;

/// Files that were written to within this time are left alone. A job is on record before its output begins, so a file
/// without a record is no job of ours in any case; but it may belong to a store that was put back from a backup.
const AGE_MIN: Duration = Duration::from_secs(3_600);

impl Engine {
    /// Deletes output files of this node whose job is not on record, or whose output was noted as gone. Files with other
    /// names are left alone. Can be interrupted and repeated at any point.
    ///
    /// # Errors
    /// The store's own.
    pub(super) async fn sweep_orphans(&self, report: &mut RetentionReport) -> Result<(), Fault> {
        let before = self.inner.clock.now().minus(AGE_MIN);
        for day in days(&self.inner.settings.output_dir).await? {
            for file in files_of(&day).await?.into_iter().filter(|file| file.written_at < before) {
                if self.owns_output(file.job).await? {
                    continue;
                }
                if report.dry_run || delete(&file.path) {
                    report.orphans += 1;
                    report.orphan_bytes += file.bytes;
                }
            }
        }
        Ok(())
    }

    async fn owns_output(&self, job: JobId) -> Result<bool, Fault> {
        Ok(self.inner.store.job(job).await?.is_some_and(|job| !job.output_expired))
    }
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
