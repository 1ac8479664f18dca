//! Tasks of the extension, 2026-07-28: the server decides, the outcome is inlined, nothing is pushed unasked.

use longshore_domain::{FaultCode, Job};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::task::{self, Detail, Task};
use super::view::{self, Ending, Status};
use super::{asks, check_declared, find, named, unknown};
use crate::server::call::Call;
use crate::server::{resources, tools};
use crate::wire::{Era, ErrorCode, ResultBody, RpcError};

/// The handle that takes the place of a result. The job must be durable.
///
/// # Errors
/// Internal if the job cannot be read.
pub(in crate::server) async fn handle(call: &Call, job: Job) -> Result<ResultBody, RpcError> {
    let (task, _) = read(call, job).await?;
    Ok(ResultBody::new(&task.to_handle())?.of_kind("task"))
}

/// Answers `tasks/get`. Writes nothing.
///
/// # Errors
/// Missing capability; invalid params for an unknown task.
pub(in crate::server) async fn get(call: Call) -> Result<ResultBody, RpcError> {
    check_declared(&call)?;
    let job = named(&call).await?;
    let (task, detail) = read(&call, job).await?;
    ResultBody::new(&task.to_detailed(&detail))
}

/// Answers `tasks/cancel`: the wish is durable when this returns, the end comes later. An ended task stays as it is.
///
/// # Errors
/// Missing capability; invalid params for an unknown task.
pub(in crate::server) async fn cancel(call: Call) -> Result<ResultBody, RpcError> {
    check_declared(&call)?;
    let job = named(&call).await?;
    match call.engine().cancel(&call.caller, &job.id.to_string(), None).await {
        Ok(_) => ResultBody::new(&json!({})),
        Err(fault) if fault.code == FaultCode::JobFinished => ResultBody::new(&json!({})),
        // It was removed since it was looked up.
        Err(fault) if fault.code == FaultCode::JobNotFound => Err(unknown()),
        Err(fault) => Err(resources::failed(&fault)),
    }
}

/// Answers `tasks/update`: takes answers to what the task asks. Those to nothing that is asked are ignored.
///
/// # Errors
/// Missing capability; invalid params for an unknown task and for answers of the wrong shape.
pub(in crate::server) async fn update(call: Call) -> Result<ResultBody, RpcError> {
    check_declared(&call)?;
    let job = named(&call).await?;
    asks::take(&call, &job).await?;
    ResultBody::new(&json!({}))
}

/// The whole task as JSON, as `tasks/get` has it; nothing if there is none for this caller.
///
/// # Errors
/// Internal if the job cannot be read.
pub(in crate::server) async fn detailed(call: &Call, id: &str) -> Result<Option<Box<RawValue>>, RpcError> {
    let Some(job) = find(call, id).await? else { return Ok(None) };
    let (task, detail) = read(call, job).await?;
    let written = to_raw_value(&task.to_detailed(&detail));
    written.map(Some).map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
}

async fn read(call: &Call, job: Job) -> Result<(Task, Detail), RpcError> {
    let (job, questions) = asks::open(call, job).await?;
    call.tells(&job);
    let view = call.engine().full_view(job).await.map_err(|fault| resources::failed(&fault))?;
    let status = view::modern(&view.job, !questions.is_empty());
    let elsewhere = asks::elsewhere(&view.job).filter(|_| questions.is_empty());
    let task = Task::new(&view, status, elsewhere, &call.engine().settings().retention);
    let detail = match (status, view.job.outcome().map(Ending::of)) {
        (Status::InputRequired, _) => Detail::Input(asks::requests(&questions)),
        (Status::Completed, _) => Detail::Result(result(call, view.job).await?),
        (_, Some(Ending::Error)) => task::error(&view.job).map_or(Detail::None, Detail::Error),
        _ => Detail::None,
    };
    Ok((task, detail))
}

/// Exactly what the call would have been answered with.
async fn result(call: &Call, job: Job) -> Result<Box<RawValue>, RpcError> {
    let body = tools::result_of(call, job).await?;
    RawValue::from_string(body.dressed(Era::Modern, call.server.server_info()))
        .map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
}
