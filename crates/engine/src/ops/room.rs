//! The space ceiling: output beyond it goes, the oldest first. It is that of this node's folder, so only output that is here
//! goes for it.

use std::collections::HashSet;

use longshore_domain::fault::Fault;
use longshore_domain::{Job, JobId};

use super::output_files::{days, files_of};
use super::retention::RetentionReport;
use crate::Engine;

impl Engine {
    /// Removes the oldest output of this node until what is left is below the ceiling. A dry run counts it, without the
    /// jobs that were `counted` before.
    ///
    /// # Errors
    /// The store's own.
    pub(super) async fn make_room(&self, counted: &HashSet<JobId>, report: &mut RetentionReport) -> Result<(), Fault> {
        let days = days(&self.inner.settings.output_dir).await?;
        let mut used = 0;
        for day in &days {
            used += files_of(day).await?.iter().map(|file| file.bytes).sum::<u64>();
        }
        let going = if report.dry_run { report.orphan_bytes + report.output_bytes } else { 0 };
        let over = used.saturating_sub(going).saturating_sub(self.inner.settings.retention.output_bytes_max);
        let goal = report.output_bytes + over;
        let mut seen = counted.clone();
        for day in days {
            let mut files = files_of(&day).await?;
            files.sort_by_key(|file| file.written_at);
            for file in files {
                if report.output_bytes >= goal {
                    return Ok(());
                }
                if seen.insert(file.job)
                    && let Some(job) = self.inner.store.job(file.job).await?
                {
                    self.give_way(job, report).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes the output of a job if it may go. What is wholly kept elsewhere too is not gone with the files here.
    async fn give_way(&self, job: Job, report: &mut RetentionReport) -> Result<(), Fault> {
        if !job.is_finished() || job.pinned || job.output_expired {
            return Ok(());
        }
        let is_kept = self.inner.keeps_all(&job).await?;
        match (report.dry_run, is_kept) {
            (true, _) => {
                report.outputs += u64::from(!is_kept);
                report.output_bytes += self.output_size(&job);
            }
            (false, true) => report.output_bytes += self.delete_output(&job),
            (false, false) => self.expire_output(&[job], report).await?,
        }
        Ok(())
    }
}
