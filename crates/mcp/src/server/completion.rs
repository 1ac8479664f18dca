//! Completion of what a person types: jobs, wherever a job is to be named.

use std::borrow::Cow;

use longshore_domain::Job;
use longshore_engine::ops::{ListQuery, PAGE_MAX};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::call::Call;
use super::{prompts, resources};
use crate::wire::{ErrorCode, ResultBody, RpcError};

/// Values in one answer. Source: MCP 2025-11-25, completion.
const VALUES_MAX: usize = 100;

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, rename = "ref")]
    reference: Reference<'a>,
    #[serde(borrow)]
    argument: Argument<'a>,
}

#[derive(Deserialize)]
#[serde(tag = "type", expecting = "an object")]
enum Reference<'a> {
    #[serde(rename = "ref/prompt")]
    Prompt {
        #[serde(borrow)]
        name: Cow<'a, str>,
    },
    #[serde(rename = "ref/resource")]
    Resource {
        #[serde(borrow)]
        uri: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Argument<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// What a value is to be.
enum Wanted {
    /// Nothing that we know.
    Anything,
    /// A job.
    Job,
}

impl Params<'_> {
    fn wanted(&self) -> Option<Wanted> {
        let argument = &*self.argument.name;
        match &self.reference {
            #[cfg(feature = "fixture")]
            Reference::Prompt { name } if super::fixture::has_prompt(name) => Some(Wanted::Anything),
            Reference::Prompt { name } if prompts::takes_job(name, argument) => Some(Wanted::Job),
            Reference::Prompt { name } => prompts::takes(name, argument).then_some(Wanted::Anything),
            Reference::Resource { uri } => (resources::is_template(uri) && argument == "id").then_some(Wanted::Job),
        }
    }
}

/// Answers `completion/complete`: ids of the caller's jobs, newest first, where the id or the title begins with what
/// was typed.
///
/// # Errors
/// Invalid params for a prompt, template or argument that does not exist.
pub(super) async fn complete(call: Call) -> Result<ResultBody, RpcError> {
    let invalid = |message: String| RpcError::new(ErrorCode::InvalidParams, message);
    let params: Params<'_> = serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get))
        .map_err(|error| invalid(format!("`completion/complete`: {error}")))?;
    let unknown = || invalid("there is no such prompt, template or argument to complete".to_owned());
    let (values, has_more) = match params.wanted().ok_or_else(unknown)? {
        Wanted::Anything => (vec![], false),
        Wanted::Job => jobs(&call, &params.argument.value).await?,
    };
    ResultBody::new(&json!({ "completion": { "values": values, "hasMore": has_more } }))
}

async fn jobs(call: &Call, typed: &str) -> Result<(Vec<String>, bool), RpcError> {
    let query = ListQuery { limit: PAGE_MAX, ..ListQuery::default() };
    let page = call.engine().list(&call.caller, query).await.map_err(|fault| resources::failed(&fault))?;
    let typed = typed.to_lowercase();
    let titled = |job: &Job| job.name.as_deref().unwrap_or(&job.title).to_lowercase().starts_with(&typed);
    let fits = |job: &&Job| job.id.to_string().starts_with(&typed) || titled(job);
    let mut values: Vec<String> = page.jobs.iter().filter(fits).map(|job| job.id.to_string()).collect();
    let has_more = values.len() > VALUES_MAX || page.next.is_some();
    values.truncate(VALUES_MAX);
    Ok((values, has_more))
}
