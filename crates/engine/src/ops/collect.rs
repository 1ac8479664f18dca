//! Objects that no job has any more, as part of retention.

use longshore_domain::fault::Fault;

use super::retention::RetentionReport;
use crate::Engine;

impl Engine {
    /// Deletes the objects of artifacts that no job has any more; a dry run counts them, with those that no job would have.
    ///
    /// # Errors
    /// The store's own, and `artifacts_unavailable`.
    pub(super) async fn collect_artifacts(&self, report: &mut RetentionReport) -> Result<(), Fault> {
        if let Some(keeping) = &self.inner.settings.artifacts {
            let collected = match report.dry_run {
                true => self.inner.collectable_artifacts(keeping).await?,
                false => self.inner.collect_artifacts(keeping).await?,
            };
            (report.objects, report.object_bytes) = (collected.objects, collected.bytes);
        }
        Ok(())
    }
}
