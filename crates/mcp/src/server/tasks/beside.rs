//! Asking clients of 2025-11-25 what their tasks ask on the stream of their session, if they only look at the task: they
//! should wait for its result, where they are asked too, and not all do.
//!
//! Source: MCP 2025-11-25, tasks: clients SHOULD call `tasks/result`, and SHOULD expect messages on any stream.

use std::sync::Arc;

use longshore_domain::{Job, JobId};
use tokio_util::task::AbortOnDropHandle;

use super::legacy::ended_job;
use crate::server::call::Call;
use crate::server::sessions::Sessions;

/// Notes that the client looked at a task that asks it something.
pub(super) fn looked(call: &Call, job: &Job) {
    let Some(scope) = &call.connection.origin().scope else { return };
    call.server.sessions().hear(scope, |hearings, sink| {
        if sink.is_open() {
            let mut call = call.clone();
            call.sink = sink.clone();
            hearings.looked(job.id, || AbortOnDropHandle::new(tokio::spawn(ask(call, job.clone()))));
        }
    });
}

/// Asks what the job asks until it ends, nobody reads any more, or the engine drains.
async fn ask(call: Call, job: Job) {
    let id = job.id;
    tokio::select! {
        ended = ended_job(&call, job) => if let Err(error) = ended {
            tracing::debug!(job.id = %id, error = error.message, "a session is not asked any more");
        },
        () = call.sink.closed() => {}
        () = call.engine().draining() => {}
    }
}

/// As long as this lives the client waits for the result of a task.
pub(super) struct Waiting {
    sessions: Sessions,
    scope: Arc<str>,
    job: JobId,
}

impl Waiting {
    /// The client waits for the result of `job` from now on.
    pub(super) fn new(call: &Call, job: JobId) -> Option<Self> {
        let scope = call.connection.origin().scope.clone()?;
        let sessions = call.server.sessions().clone();
        sessions.hear(&scope, |hearings, _| hearings.waits(job));
        Some(Self { sessions, scope, job })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.sessions.hear(&self.scope, |hearings, _| hearings.waits_no_more(self.job));
    }
}
