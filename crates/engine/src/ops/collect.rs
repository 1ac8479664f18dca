//! Objects that no job has any more, as part of retention.

use longshore_domain::fault::Fault;

use super::retention::RetentionReport;
use crate::Engine;

impl Engine {
    /// Deletes the objects of artifacts that no job has any more. How many that would be is only known by doing it.
    ///
    /// # Errors
    /// The store's own, and `artifacts_unavailable`.
    pub(super) async fn collect_artifacts(&self, report: &mut RetentionReport) -> Result<(), Fault> {
        if let (Some(keeping), false) = (&self.inner.settings.artifacts, report.dry_run) {
            let collected = self.inner.collect_artifacts(keeping).await?;
            (report.objects, report.object_bytes) = (collected.objects, collected.bytes);
        }
        Ok(())
    }
}
