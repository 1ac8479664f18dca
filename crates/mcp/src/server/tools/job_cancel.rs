//! `job_cancel`: a job is to end early.

use futures_util::future::BoxFuture;
use longshore_domain::{Fault, Scope};

use super::answer::Answer;
use super::{Hints, Tool, Work, next};
use crate::server::call::Call;
use crate::server::hold::hold_one;
use crate::server::status::JobStatus;
use crate::wire::Arguments;

pub(super) const TOOL: Tool = Tool {
    name: "job_cancel",
    title: "Cancel a job",
    description: "Stop a job and all processes it started. Answers with its end, or `stopping` while processes are \
        still ending: then job_wait. A job that had already ended is an error that names its outcome.",
    scope: Scope::JobsWrite,
    hints: Hints { read_only_hint: false, destructive_hint: true, idempotent_hint: true, open_world_hint: false },
    schema: r#"{"type":"object","properties":{"job":{"type":"string"},"reason":{"type":"string"}},
"required":["job"],"additionalProperties":false}"#,
    arguments: &["job", "reason"],
    work: Work::Quick(call),
};

fn call(call: &Call, arguments: Arguments) -> BoxFuture<'_, Result<Answer, Fault>> {
    Box::pin(cancel(call, arguments))
}

async fn cancel(call: &Call, arguments: Arguments) -> Result<Answer, Fault> {
    let name = arguments.required_text("job")?;
    let reason = arguments.text("reason")?;
    let job = call.engine().cancel(&call.caller, &name, reason).await?;
    let job = hold_one(call, job, call.server.settings().grace).await?;
    call.tells(&job);
    let view = call.engine().view(job).await?;
    let next = match view.job.is_finished() {
        true => next::NOTHING.to_owned(),
        false => next::wait(call, &[view.job.id], &next::fresh_cursor(call), view.poll_after),
    };
    let status = JobStatus::new(&view, next);
    Answer::new(&status, status.text(&view))
}
