//! The tools that agents get. One file per tool; each translates, calls an operation of the engine, translates back.

mod answer;
mod job_cancel;
mod job_list;
mod job_read;
mod job_wait;
mod next;
mod run;

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use longshore_domain::{Fault, FaultCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::Call;
use super::discovery::STATIC;
use super::dispatch::isolated;
use crate::wire::{Arguments, ErrorCode, ResultBody, RpcError};
use answer::Answer;

/// One tool.
pub(super) struct Tool {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    hints: Hints,
    /// JSON Schema of the arguments.
    schema: &'static str,
    /// Names of the arguments, as in the schema.
    arguments: &'static [&'static str],
    call: for<'a> fn(&'a Call, Arguments) -> BoxFuture<'a, Result<Answer, Fault>>,
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

impl Hints {
    /// Looks and changes nothing.
    const READS: Self =
        Self { read_only_hint: true, destructive_hint: false, idempotent_hint: true, open_world_hint: false };
}

/// In the order in which they are listed.
const TOOLS: [&Tool; 5] = [&run::TOOL, &job_wait::TOOL, &job_read::TOOL, &job_list::TOOL, &job_cancel::TOOL];

/// Answers `tools/list`.
///
/// # Errors
/// None in practice.
pub(super) fn list() -> Result<ResultBody, RpcError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        name: &'static str,
        title: &'static str,
        description: &'static str,
        input_schema: Box<RawValue>,
        annotations: Hints,
    }
    #[derive(Serialize)]
    struct Listing {
        tools: Vec<Listed>,
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
        })
    };
    let tools = TOOLS.iter().map(listed).collect::<Result<_, RpcError>>()?;
    Ok(ResultBody::new(&Listing { tools })?.cached(STATIC))
}

/// A tool with the arguments of one call.
pub(super) struct Chosen {
    tool: &'static Tool,
    arguments: Result<Arguments, Fault>,
}

/// The tool that `tools/call` names.
///
/// # Errors
/// Invalid params without a name or for an unknown tool.
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
    Ok(Chosen { tool, arguments: Arguments::parse(params.arguments, tool.arguments) })
}

fn unknown_tool(name: &str) -> RpcError {
    let shown: String = name.chars().take(80).filter(|c| !c.is_control()).collect();
    let names = TOOLS.map(|tool| tool.name).join(", ");
    RpcError::new(ErrorCode::InvalidParams, format!("there is no tool `{shown}`; the tools are: {names}"))
}

/// Answers `tools/call`. Every failure of the tool itself is a result that says so.
///
/// # Errors
/// None in practice.
pub(super) async fn call(call: Call, chosen: Chosen) -> Result<ResultBody, RpcError> {
    let (era, name) = (call.era, chosen.tool.name);
    let work = async move { (chosen.tool.call)(&call, chosen.arguments?).await };
    let answer = isolated(work).await.and_then(|answered| answered).unwrap_or_else(|fault| {
        if fault.code == FaultCode::Internal || fault.private.is_some() {
            tracing::error!(tool = name, fault.code = %fault.code, private = fault.private, "a tool failed");
        }
        Answer::fault(&fault)
    });
    answer.into_result(era)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_list_costs_few_tokens() {
        let reply = crate::wire::Reply::new(
            &tests_id(),
            crate::wire::Era::Legacy(crate::wire::LegacyVersion::NEWEST),
            "{}",
            list(),
        );
        let tokens = reply.message.len() / 4;
        println!("tools/list: about {tokens} tokens");
        assert!(tokens <= 2_000, "{tokens}");
    }

    fn tests_id() -> crate::wire::RequestId {
        let raw: Box<RawValue> = serde_json::from_str("1").unwrap();
        crate::wire::RequestId::from_raw(&raw).unwrap()
    }

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
