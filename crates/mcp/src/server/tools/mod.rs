//! The tools that agents get. One file per tool; each translates, calls an operation of the engine, translates back.

mod answer;
mod job_cancel;
mod job_list;
mod job_read;
mod job_wait;
mod next;
mod run;
mod slow;

use std::borrow::Cow;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_domain::{Fault, FaultCode, Job, JobId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::Call;
use super::discovery::STATIC;
use super::dispatch::isolated;
use super::news::{self, Telling};
use super::{pages, request_state, tasks};
use crate::wire::{Arguments, Era, ErrorCode, ResultBody, RpcError};
use answer::Answer;

/// One tool.
pub(super) struct Tool {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// What the caller's token must allow.
    scope: Scope,
    hints: Hints,
    /// JSON Schema of the arguments.
    schema: &'static str,
    /// Names of the arguments, as in the schema.
    arguments: &'static [&'static str],
    work: Work,
}

/// How a tool comes to its answer.
enum Work {
    /// At once, or within what a client waits for any call.
    Quick(for<'a> fn(&'a Call, Arguments) -> BoxFuture<'a, Result<Answer, Fault>>),
    /// By a job that may outlive the call.
    Slow(slow::Start),
}

/// What a call may do. Source: MCP 2025-03-26, tool annotations.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
struct Hints {
    read_only_hint: bool,
    destructive_hint: bool,
    idempotent_hint: bool,
    open_world_hint: bool,
}

impl Tool {
    fn is_slow(&self) -> bool {
        matches!(self.work, Work::Slow(_))
    }
}

impl Hints {
    /// Looks and changes nothing.
    const READS: Self =
        Self { read_only_hint: true, destructive_hint: false, idempotent_hint: true, open_world_hint: false };
}

impl Tool {
    /// What its answers tell of other jobs.
    fn telling(&self) -> Telling {
        match self.name {
            "job_list" => Telling::All,
            _ => Telling::New,
        }
    }
}

/// In the order in which they are listed.
const TOOLS: [&Tool; 5] = [&run::TOOL, &job_wait::TOOL, &job_read::TOOL, &job_list::TOOL, &job_cancel::TOOL];

/// Answers `tools/list`.
///
/// # Errors
/// Invalid params for a cursor.
pub(super) fn list(call: &Call) -> Result<ResultBody, RpcError> {
    pages::only(call)?;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Execution {
        task_support: &'static str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        name: &'static str,
        title: &'static str,
        description: &'static str,
        input_schema: Box<RawValue>,
        annotations: Hints,
        #[serde(skip_serializing_if = "Option::is_none")]
        execution: Option<Execution>,
    }
    #[derive(Serialize)]
    struct Listing<T> {
        tools: Vec<T>,
    }
    let listed = |tool: &&'static Tool| {
        // One line: messages are separated by newlines.
        let input_schema = RawValue::from_string(tool.schema.replace('\n', ""))
            .map_err(|error| RpcError::new(ErrorCode::Internal, format!("the schema of {}: {error}", tool.name)))?;
        Ok(Listed {
            name: tool.name,
            title: tool.title,
            description: tool.description,
            input_schema,
            annotations: tool.hints,
            execution: (tool.is_slow() && tasks::legacy::is_spoken(call.era))
                .then_some(Execution { task_support: "optional" }),
        })
    };
    let tools = TOOLS.iter().map(listed).collect::<Result<Vec<_>, RpcError>>()?;
    #[cfg(feature = "fixture")]
    let tools = [json_of(&tools)?, super::fixture::listed(call.era)?].concat();
    Ok(ResultBody::new(&Listing { tools })?.cached(STATIC))
}

#[cfg(feature = "fixture")]
fn json_of(tools: &impl Serialize) -> Result<Vec<serde_json::Value>, RpcError> {
    let tools = serde_json::to_value(tools).and_then(serde_json::from_value);
    tools.map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
}

/// What marks the properties of a schema that a header repeats.
pub(super) const HEADER_MARK: &str = "x-mcp-header";

/// The schema of the tool of that name, if headers repeat some of its arguments.
pub(super) fn schema_with_headers(name: &str) -> Option<&'static str> {
    let schema = TOOLS.iter().find(|tool| tool.name == name).map(|tool| tool.schema);
    #[cfg(feature = "fixture")]
    let schema = schema.or_else(|| super::fixture::schema(name));
    schema.filter(|schema| schema.contains(HEADER_MARK))
}

/// A tool with the arguments of one call.
pub(super) struct Chosen {
    tool: &'static Tool,
    arguments: Result<Arguments, Fault>,
}

/// The tool that `tools/call` names.
///
/// # Errors
/// Invalid params without a name or for an unknown tool; insufficient scope if the caller's token does not allow it;
/// those of [`check_no_task`] and [`check_no_state`].
pub(super) fn chosen(call: &Call) -> Result<Chosen, RpcError> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    let params: Params<'_> = serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get))
        .map_err(|error| RpcError::new(ErrorCode::InvalidParams, format!("`tools/call`: {error}")))?;
    let tool = TOOLS.iter().find(|tool| tool.name == params.name).ok_or_else(|| unknown_tool(&params.name))?;
    call.allowed(tool.scope)?;
    if !tool.is_slow() {
        check_no_task(call, tool.name)?;
        check_no_state(call, tool.name)?;
    }
    Ok(Chosen { tool, arguments: Arguments::parse(params.arguments, tool.arguments) })
}

/// Refuses to make a task of a tool that answers at once.
///
/// # Errors
/// Method not found if the call asks for one.
pub(super) fn check_no_task(call: &Call, name: &str) -> Result<(), RpcError> {
    if !tasks::legacy::wanted(call)? {
        return Ok(());
    }
    let message = format!("`{name}` answers at once and cannot be a task: call it without `task`");
    Err(RpcError::new(ErrorCode::MethodNotFound, message))
}

/// Refuses to go on from a state with a tool that never gives one.
///
/// # Errors
/// Invalid params if the call brings one.
pub(super) fn check_no_state(call: &Call, name: &str) -> Result<(), RpcError> {
    if call.era != Era::Modern || request_state::sent(call.params.as_deref())?.is_none() {
        return Ok(());
    }
    let message = format!("`{name}` answers at once and never gave this `requestState`: call it without one");
    Err(RpcError::new(ErrorCode::InvalidParams, message))
}

fn unknown_tool(name: &str) -> RpcError {
    let shown: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
    let names = TOOLS.map(|tool| tool.name).join(", ");
    RpcError::new(ErrorCode::InvalidParams, format!("there is no tool `{shown}`; the tools are: {names}"))
}

/// Answers `tools/call`. Every failure of the tool itself is a result that says so.
///
/// # Errors
/// Errors of the protocol.
pub(super) async fn call(call: Call, chosen: Chosen) -> Result<ResultBody, RpcError> {
    let (era, name) = (call.era, chosen.tool.name);
    let work = async move {
        match chosen.tool.work {
            Work::Quick(work) => {
                let answered = async {
                    let answer = work(&call, chosen.arguments?).await?;
                    Ok(answer.with_news(news::for_answer(&call, chosen.tool.telling()).await))
                };
                answered.await.unwrap_or_else(|fault| failed(&fault, name)).into_result(era)
            }
            Work::Slow(start) => slow::answer(&call, name, start, chosen.arguments).boxed().await,
        }
    };
    isolated(work).await.unwrap_or_else(|fault| failed(&fault, name).into_result(era))
}

/// What the end of a job is answered with, exactly as the call that began it would be.
///
/// # Errors
/// None in practice.
pub(super) async fn result_of(call: &Call, job: Job) -> Result<ResultBody, RpcError> {
    slow::result(call, "run", job, false).boxed().await
}

/// Answers a call of a slow tool whose stream was lost, as it would have been there: by the job that it has begun.
///
/// # Errors
/// Errors of the protocol.
pub(super) async fn take_up(call: Call, job: JobId) -> Result<ResultBody, RpcError> {
    by_job(&call, "run", call.engine().find(&call.caller.principal, &job.to_string())).await
}

/// Answers a call by the job that `begin` begins.
///
/// # Errors
/// Errors of the protocol.
pub(super) async fn by_job(
    call: &Call,
    tool: &str,
    begin: impl Future<Output = Result<Job, Fault>>,
) -> Result<ResultBody, RpcError> {
    let begin = async { Ok(slow::Started { job: begin.await?, existing: false, patience: None }) };
    slow::answer_by(call, tool, begin).await
}

/// The answer of a tool that failed.
fn failed(fault: &Fault, tool: &str) -> Answer {
    if fault.code == FaultCode::Internal || fault.private.is_some() {
        tracing::error!(tool, fault.code = %fault.code, private = fault.private, "a tool failed");
    }
    Answer::fault(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_name_exactly_the_arguments_that_are_read() {
        for tool in TOOLS {
            let schema: serde_json::Value = serde_json::from_str(tool.schema).unwrap();
            assert_eq!(schema["type"], "object", "{}", tool.name);
            let mut named: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut read = tool.arguments.to_vec();
            named.sort_unstable();
            read.sort_unstable();
            assert_eq!(named, read, "{}", tool.name);
        }
    }

    #[test]
    fn descriptions_of_tools_that_do_not_wait_for_the_end_name_the_tool_to_follow_up_with() {
        for (tool, follow_up) in
            [("run", "job_wait"), ("run", "job_read"), ("job_wait", "job_read"), ("job_cancel", "job_wait")]
        {
            let tool = TOOLS.iter().find(|found| found.name == tool).unwrap();
            assert!(tool.description.contains(follow_up), "{} should mention {follow_up}", tool.name);
        }
    }
}
