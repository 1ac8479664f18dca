//! Tasks of 2025-11-25: the client decides, call by call, and fetches the outcome by a request of its own.

use std::collections::HashSet;
use std::time::Duration;

use longshore_domain::job::Question;
use longshore_domain::{FaultCode, Job};
use longshore_engine::ops::{JobView, ListQuery};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::asks::{self, LOOK_EVERY, RELATED};
use super::task::{self, Task};
use super::view::{self, Ending, Status};
use super::{beside, named, unknown};
use crate::server::call::Call;
use crate::server::{pages, resources, tools};
use crate::wire::{Era, ErrorCode, LegacyVersion, ResultBody, RpcError, notification};

/// Tasks on a page of the list.
const PAGE: usize = 50;
/// What a client may tell its model while the task runs.
const IMMEDIATE: &str = "io.modelcontextprotocol/model-immediate-response";

/// Whether this call belongs to the one version that has these tasks.
pub(in crate::server) fn is_spoken(era: Era) -> bool {
    era == Era::Legacy(LegacyVersion::V2025_11_25)
}

/// What `initialize` says of them.
pub(in crate::server) fn offered() -> serde_json::Value {
    json!({ "list": {}, "cancel": {}, "requests": { "tools": { "call": {} } } })
}

/// Whether the call asks for a task. Other versions ignore the wish, as they do every member that they do not know.
///
/// # Errors
/// Invalid params if the wish is no object.
pub(in crate::server) fn wanted(call: &Call) -> Result<bool, RpcError> {
    #[derive(Default, Deserialize)]
    struct Params<'a> {
        #[serde(borrow, default)]
        task: Option<&'a RawValue>,
    }
    if !is_spoken(call.era) {
        return Ok(false);
    }
    let params: Params<'_> =
        serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get)).unwrap_or_default();
    match params.task {
        None => Ok(false),
        Some(task) if task.get().starts_with('{') => Ok(true),
        Some(_) => {
            Err(RpcError::new(ErrorCode::InvalidParams, "`task` must be an object, such as {} or {\"ttl\":60000}"))
        }
    }
}

/// The handle that takes the place of a result. The job must be durable.
///
/// # Errors
/// Internal if the job cannot be read.
pub(in crate::server) async fn handle(call: &Call, job: Job) -> Result<ResultBody, RpcError> {
    let Read { view, task, .. } = read(call, job).await?;
    let id = view.job.id;
    let tell = format!("{} is accepted as job {id} and goes on by itself.", crate::server::status::title(&view.job));
    let body = ResultBody::new(&json!({ "task": task.begun().to_legacy_value()? }))?;
    Ok(body.with_meta(IMMEDIATE, json!(tell).to_string()))
}

/// Answers `tasks/get`. Writes nothing.
///
/// # Errors
/// Invalid params for an unknown task.
pub(in crate::server) async fn get(call: Call) -> Result<ResultBody, RpcError> {
    let job = named(&call).await?;
    let Read { view, task, .. } = read(&call, job).await?;
    if task.status == Status::InputRequired {
        beside::looked(&call, &view.job);
    }
    ResultBody::new(&task.to_legacy())
}

/// Answers `tasks/list`: the caller's own, newest first.
///
/// # Errors
/// Invalid params for a cursor that was never given.
pub(in crate::server) async fn list(call: Call) -> Result<ResultBody, RpcError> {
    let query = ListQuery { cursor: pages::after(&call)?, limit: PAGE, ..ListQuery::default() };
    let page = call.engine().list(&call.caller, query).await.map_err(|fault| resources::failed(&fault))?;
    let mut tasks = vec![];
    for job in page.jobs {
        tasks.push(read(&call, job).await?.task.to_legacy_value()?);
    }
    let mut result = json!({ "tasks": tasks });
    if let Some(next) = page.next {
        result["nextCursor"] = json!(next.to_string());
    }
    ResultBody::new(&result)
}

/// Answers `tasks/cancel`: the task is cancelled from now on, whatever the work still comes to.
///
/// # Errors
/// Invalid params for an unknown task and for one that has ended.
pub(in crate::server) async fn cancel(call: Call) -> Result<ResultBody, RpcError> {
    let job = named(&call).await?;
    let task = read(&call, job.clone()).await?.task;
    if task.status.is_terminal() {
        return Err(ended());
    }
    let job = match call.engine().cancel(&call.caller, &job.id.to_string(), None).await {
        Ok(job) => job,
        Err(fault) if fault.code == FaultCode::JobFinished => return Err(ended()),
        Err(fault) if fault.code == FaultCode::JobNotFound => return Err(unknown()),
        Err(fault) => return Err(resources::failed(&fault)),
    };
    let task = read(&call, job).await?.task;
    match task.status.is_terminal() {
        true => ResultBody::new(&task.to_legacy()),
        // Its deadline has passed and it is being stopped for that.
        false => Err(ended()),
    }
}

fn ended() -> RpcError {
    let message =
        "the task has ended or is at its end already, so that it cannot be cancelled: tasks/get tells how it stands";
    RpcError::new(ErrorCode::InvalidParams, message)
}

/// Answers `tasks/result`: waits for the end of the job and gives what the call would have been answered with. Whoever
/// leaves stops nothing.
///
/// # Errors
/// Invalid params for an unknown task; the error of a call that came to nothing.
pub(in crate::server) async fn result(call: Call) -> Result<ResultBody, RpcError> {
    let job = named(&call).await?;
    let waiting = beside::Waiting::new(&call, job.id);
    let job = ended_job(&call, job).await?;
    drop(waiting);
    call.tells(&job);
    let id = job.id;
    if let Some(Ending::Error) = job.outcome().map(Ending::of) {
        let error = task::error(&job).unwrap_or_default();
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        return Err(RpcError::new(ErrorCode::Internal, message).with_data(error["data"].clone()));
    }
    let body = tools::result_of(&call, job).await?;
    Ok(body.with_meta(RELATED, json!({ "taskId": id }).to_string()))
}

/// Waits for the end; tells of each change of status on the way, and asks what the job asks.
pub(super) async fn ended_job(call: &Call, mut job: Job) -> Result<Job, RpcError> {
    let mut told = None;
    let mut in_vain = HashSet::new();
    while !job.is_finished() {
        let Read { view: JobView { job: asking, .. }, task, questions } = read(call, job).await?;
        if told.replace(task.status).is_some_and(|before| before != task.status) {
            tell(call, &task);
        }
        if asking.is_finished() {
            return Ok(asking);
        }
        let question = questions.iter().find(|question| !in_vain.contains(&question.id));
        let changed = match question {
            Some(question) => {
                if !asks::ask(call, &asking, question).await? {
                    in_vain.insert(question.id);
                }
                call.engine().wait_change(&asking, Duration::ZERO).await
            }
            // Running out of time is no fault: the job is looked at again.
            None => call.engine().wait_change(&asking, LOOK_EVERY).await,
        };
        job = changed.map_err(|fault| match fault.code {
            FaultCode::JobNotFound => unknown(),
            _ => resources::failed(&fault),
        })?;
    }
    Ok(job)
}

fn tell(call: &Call, task: &Task) {
    if let Ok(params) = to_raw_value(&task.to_legacy()) {
        call.sink.offer(notification("notifications/tasks/status", &params));
    }
}

/// A job as a task.
struct Read {
    view: JobView,
    task: Task,
    /// What it asks this caller.
    questions: Vec<Question>,
}

async fn read(call: &Call, job: Job) -> Result<Read, RpcError> {
    let failed = |fault| resources::failed(&fault);
    let (job, questions) = asks::open(call, job).await?;
    let view = call.engine().full_view(job).await.map_err(failed)?;
    let cancelled = call.engine().was_cancelled(&view.job).await.map_err(failed)?;
    let status = view::legacy(&view.job, !questions.is_empty(), cancelled);
    let elsewhere = asks::elsewhere(&view.job).filter(|_| questions.is_empty());
    let task = Task::new(&view, status, elsewhere, &call.engine().settings().retention);
    Ok(Read { view, task, questions })
}
