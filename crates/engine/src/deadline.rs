//! Deadlines of commands. Their shims keep to them; the store is told once one has passed and its command goes on.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::{Event, JobState};
use longshore_domain::store::StoreError;
use longshore_domain::{AttemptNumber, Job, JobId};
use tokio_util::task::AbortOnDropHandle;

use crate::inner::Inner;

/// A command that ends this soon after its deadline needs no word of it but its end.
const HELD: Duration = Duration::from_millis(50);
/// Pause before a store that is away is told again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Waits for the deadline of a command that is on record as running, unless it is being stopped already.
pub(crate) fn watch(inner: &Arc<Inner>, job: &Job) {
    let deadline = match &job.state {
        JobState::Running { run, .. } | JobState::Asking { run, .. } => run.deadline_at,
        _ => None,
    };
    // Measured once: a clock that is set later must not stop anybody before his time.
    let left = deadline.map(|deadline| deadline.since(inner.clock.now()));
    let waiting = left.map(|left| {
        let task = wait(Arc::clone(inner), job.id, job.attempt, left + HELD);
        AbortOnDropHandle::new(inner.tasks.spawn(task))
    });
    inner.runs(job, waiting);
}

async fn wait(inner: Arc<Inner>, job: JobId, attempt: AttemptNumber, left: Duration) {
    let passed = async {
        tokio::time::sleep(left).await;
        record(&inner, job, attempt).await;
    };
    inner.closing.run_until_cancelled(passed).await;
}

/// A store that is away is told again, until it knows or the attempt is over.
async fn record(inner: &Arc<Inner>, job: JobId, attempt: AttemptNumber) {
    loop {
        match inner.record(job, Event::DeadlinePassed { token: attempt }).await {
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(job.id = %job, %error, "a passed deadline could not be stored yet");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => return tracing::debug!(job.id = %job, %error, "a passed deadline was not stored"),
            Ok(_) => return,
        }
    }
}
