//! MCP tasks: views of jobs, one for each generation. A job made through any door can be read as a task.
//!
//! Source: MCP extension tasks 2026-07-28; MCP 2025-11-25, tasks.

mod asks;
mod beside;
pub(super) mod legacy;
pub(super) mod modern;
mod task;
mod view;

use std::borrow::Cow;

use longshore_domain::{Fault, FaultCode, Job, JobId};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::Call;
use super::resources;
use crate::wire::{ErrorCode, RpcError, TASKS};

/// What the extension's settings are on our side.
pub(super) fn offered() -> serde_json::Value {
    json!({ TASKS: {} })
}

/// Refuses a request that uses the extension without declaring it.
///
/// # Errors
/// Missing capability.
pub(super) fn check_declared(call: &Call) -> Result<(), RpcError> {
    match call.extensions.tasks {
        true => Ok(()),
        false => Err(RpcError::missing_capability(TASKS, &json!({ "extensions": { TASKS: {} } }))),
    }
}

/// The job that the request's `taskId` names.
///
/// # Errors
/// Invalid params, in the same words for an id that is missing, unknown, or of somebody else's job.
async fn named(call: &Call) -> Result<Job, RpcError> {
    #[derive(Default, Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "taskId")]
        task_id: Option<Cow<'a, str>>,
    }
    let params: Params<'_> =
        serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get)).unwrap_or_default();
    find(call, params.task_id.as_deref().unwrap_or_default()).await?.ok_or_else(unknown)
}

/// The job of a task, if the caller may see it.
async fn find(call: &Call, id: &str) -> Result<Option<Job>, RpcError> {
    // A task has one name only: numbers are for people.
    let Ok(id) = id.parse::<JobId>() else { return Ok(None) };
    match call.engine().find(&call.caller.principal, &id.to_string()).await {
        Ok(job) => Ok(Some(job)),
        Err(fault) if fault.code == FaultCode::JobNotFound => Ok(None),
        Err(fault) => Err(resources::failed(&fault)),
    }
}

fn unknown() -> RpcError {
    let message = "there is no such task: its id is missing or unknown, it was removed, or it belongs to somebody else";
    RpcError::new(ErrorCode::InvalidParams, message)
}

/// A fault that came before there was a task.
pub(super) fn refused(fault: &Fault) -> RpcError {
    let code = match fault.code {
        FaultCode::InvalidArgument | FaultCode::TooLarge | FaultCode::IdempotencyConflict | FaultCode::JobNotFound => {
            ErrorCode::InvalidParams
        }
        _ => ErrorCode::Internal,
    };
    let why = fault.why.as_deref().map_or_else(String::new, |why| format!(": {why}"));
    let data = json!({ "code": fault.code, "next": fault.next, "retryable": fault.code.retryable() });
    RpcError::new(code, format!("{}{why}", fault.message)).with_data(data)
}
