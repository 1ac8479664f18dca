//! Jobs as resources: what can be said of one, and what it printed.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_domain::job::{JobSpec, JobState, Outcome};
use longshore_domain::{Conversation, Fault, FaultCode, Job, JobId, JobNumber};
use longshore_engine::ops::{JobView, ListQuery, OutputCursor, OutputQuery, OutputStart};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::discovery::STATIC;
use super::{pages, plain, status};
use crate::wire::{CacheHint, ErrorCode, ResultBody, RpcError};

/// Type of a job's description.
pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const BINARY: &str = "application/octet-stream";
const PREFIX: &str = "longshore://jobs/";
const JOB_TEMPLATE: &str = "longshore://jobs/{id}";
const OUTPUT_TEMPLATE: &str = "longshore://jobs/{id}/output";
const OUTPUT_SUFFIX: &str = "/output";
/// Jobs on a page of the list.
const PAGE: usize = 50;
/// Bytes of output in one resource, the last ones.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// Tells that the list is another one: a job came, or one was removed. How a job stands is no part of it.
pub(super) const LIST_CHANGED: &str = "notifications/resources/list_changed";
/// Jobs change at any moment.
const CHANGING: CacheHint = CacheHint { ttl_ms: 0, public: false };

/// Whether that is one of our templates.
pub(super) fn is_template(uri: &str) -> bool {
    [JOB_TEMPLATE, OUTPUT_TEMPLATE].contains(&uri)
}

/// Where a job is described.
pub(super) fn job_uri(job: JobId) -> String {
    format!("{PREFIX}{job}")
}

/// The job that is described there.
pub(super) fn job_of(uri: &str) -> Option<&str> {
    uri.strip_prefix(PREFIX).filter(|name| !name.contains('/'))
}

/// Where the output of a job is.
pub(super) fn output_uri(job: JobId) -> String {
    format!("{PREFIX}{job}{OUTPUT_SUFFIX}")
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    uri: Option<Cow<'a, str>>,
}

impl<'a> Params<'a> {
    fn of(call: &'a Call) -> Result<Self, RpcError> {
        let Some(params) = &call.params else { return Ok(Self::default()) };
        serde_json::from_str(RawValue::get(params)).map_err(|error| invalid(format!("`params`: {error}")))
    }
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::InvalidParams, message)
}

/// A fault of an operation as an error of the protocol.
pub(super) fn failed(fault: &Fault) -> RpcError {
    if let Some(private) = &fault.private {
        tracing::error!(fault.code = %fault.code, private, "a request failed");
    }
    let data = json!({ "code": fault.code, "next": fault.next, "retryable": fault.code.retryable() });
    RpcError::new(ErrorCode::Internal, fault.message.clone()).with_data(data)
}

/// Answers `resources/templates/list`.
///
/// # Errors
/// Invalid params for a cursor.
pub(super) fn templates(call: &Call) -> Result<ResultBody, RpcError> {
    pages::only(call)?;
    let templates = json!([
        {
            "uriTemplate": JOB_TEMPLATE,
            "name": "job",
            "title": "Job",
            "description": "Command, times, state and outcome of a job",
            "mimeType": JSON,
        },
        {
            "uriTemplate": OUTPUT_TEMPLATE,
            "name": "job-output",
            "title": "Output of a job",
            "description": "The last 1 MiB of what a job printed",
            "mimeType": TEXT,
        },
    ]);
    #[cfg(feature = "fixture")]
    let templates = super::fixture::and_templates(templates);
    Ok(ResultBody::new(&json!({ "resourceTemplates": templates }))?.cached(STATIC))
}

/// Answers `resources/list`: the caller's jobs, newest first.
///
/// # Errors
/// Invalid params for a cursor that was never given.
pub(super) async fn list(call: Call) -> Result<ResultBody, RpcError> {
    let query = ListQuery { cursor: pages::after(&call)?, limit: PAGE, ..ListQuery::default() };
    let page = call.engine().list(&call.caller, query).await.map_err(|fault| failed(&fault))?;
    let now = call.engine().clock().now();
    let resource = |job: &Job| {
        let title = job.name.as_deref().unwrap_or(&job.title);
        json!({
            "uri": job_uri(job.id),
            "name": job.id,
            "title": title,
            "description": status::line(job, now),
            "mimeType": JSON,
        })
    };
    let resources: Vec<Value> = page.jobs.iter().map(resource).collect();
    #[cfg(feature = "fixture")]
    let resources = [super::fixture::resources(), resources].concat();
    let mut result = json!({ "resources": resources });
    if let Some(next) = page.next {
        result["nextCursor"] = Value::from(next.to_string());
    }
    Ok(ResultBody::new(&result)?.cached(CHANGING))
}

/// Answers `resources/read`.
///
/// # Errors
/// Resource not found, alike for unknown jobs and those of others.
pub(super) async fn read(call: Call) -> Result<ResultBody, RpcError> {
    let params = Params::of(&call)?;
    let uri = params.uri.as_deref().ok_or_else(|| invalid("`uri` is missing"))?;
    let contents = contents(&call, uri).await.map_err(|fault| match fault.code {
        FaultCode::JobNotFound | FaultCode::OutputExpired => not_found(&call, uri, &fault),
        _ => failed(&fault),
    })?;
    Ok(ResultBody::new(&json!({ "contents": [contents] }))?.cached(CHANGING))
}

fn not_found(call: &Call, uri: &str, fault: &Fault) -> RpcError {
    let uri: String = uri.chars().take(200).collect();
    let why = if fault.code == FaultCode::OutputExpired { ": its output was removed by retention" } else { "" };
    RpcError::new(ErrorCode::ResourceNotFound(call.era), format!("there is no such resource{why}"))
        .with_data(json!({ "uri": uri }))
}

/// The job that a resource is of, and whether the resource is its output.
fn parse(uri: &str) -> Result<(JobId, bool), Fault> {
    let path = uri.strip_prefix(PREFIX).ok_or_else(|| Fault::job_not_found(""))?;
    let (name, is_output) = path.strip_suffix(OUTPUT_SUFFIX).map_or((path, false), |name| (name, true));
    // Numbers are for people; a resource has one name only.
    let id: JobId = name.parse().map_err(|_| Fault::job_not_found(""))?;
    Ok((id, is_output))
}

/// The job that a resource is of, if the caller may see it.
///
/// # Errors
/// Resource not found.
pub(super) async fn visible_job(call: &Call, uri: &str) -> Result<JobId, RpcError> {
    let found = async { call.engine().find(&call.caller.principal, &parse(uri)?.0.to_string()).await };
    found.await.map(|job| job.id).map_err(|fault| match fault.code {
        FaultCode::JobNotFound => not_found(call, uri, &fault),
        _ => failed(&fault),
    })
}

async fn contents(call: &Call, uri: &str) -> Result<Value, Fault> {
    let (id, is_output) = parse(uri)?;
    match is_output {
        true => output(call, uri, id).await,
        false => {
            let view = call.engine().show(&call.caller, &id.to_string()).await?;
            let spec = call.engine().spec(&call.caller, &id.to_string()).await?;
            let text = serde_json::to_string(&document(&view, &spec)).map_err(Fault::internal)?;
            Ok(json!({ "uri": uri, "mimeType": JSON, "text": text }))
        }
    }
}

/// All that a caller may know of its job. Values of variables stay out: they may be secrets.
#[derive(Serialize)]
struct Document<'a> {
    job: JobId,
    number: JobNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    title: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<&'a Conversation>,
    queue: &'a str,
    priority: i16,
    attempt: u32,
    retries_max: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_of: Option<JobId>,
    submitted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
    spec: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    output: String,
}

fn document<'a>(view: &'a JobView, spec: &JobSpec) -> Document<'a> {
    let job = &view.job;
    let not_before = match &job.state {
        JobState::Waiting { until, .. } => until.map(|at| at.to_string()),
        _ => None,
    };
    Document {
        job: job.id,
        number: job.number,
        name: job.name.as_deref(),
        title: &job.title,
        state: job.state.name().as_str(),
        conversation: job.conversation.as_ref(),
        queue: job.queue.as_str(),
        priority: job.priority,
        attempt: job.attempt.0,
        retries_max: job.retry.retries_max,
        retry_of: job.retry_of,
        submitted_at: job.submitted_at.to_string(),
        started_at: job.started_at.map(|at| at.to_string()),
        finished_at: job.finished_at().map(|at| at.to_string()),
        not_before,
        elapsed_s: view.elapsed.map(status::seconds),
        outcome: job.outcome(),
        spec: shown_spec(spec),
        output_bytes: view.output_bytes,
        output: output_uri(job.id),
    }
}

fn shown_spec(spec: &JobSpec) -> Value {
    let command = match spec {
        JobSpec::Command(command) => command,
        JobSpec::Fixture(_) => return json!(spec),
    };
    json!({
        "kind": spec.kind(),
        "argv": command.argv,
        "shell": command.shell,
        "cwd": command.cwd,
        "env_names": command.env.keys().collect::<Vec<_>>(),
        "deadlines": command.deadlines,
        "limits": command.limits,
        "output": command.output,
    })
}

async fn output(call: &Call, uri: &str, id: JobId) -> Result<Value, Fault> {
    let name = id.to_string();
    let view = call.engine().show(&call.caller, &name).await?;
    let offset = view.output_bytes.unwrap_or(0).saturating_sub(OUTPUT_BYTES_MAX as u64);
    let start = match view.job.attempt.0 {
        0 => OutputStart::Head,
        _ => OutputStart::Cursor(OutputCursor { attempt: view.job.attempt, offset }),
    };
    let query = OutputQuery { start, bytes_max: OUTPUT_BYTES_MAX, wait: Duration::ZERO, labels: false };
    let page = call.engine().output(&call.caller, &name, query).await?;
    if plain::is_binary(&page.bytes) {
        return Ok(json!({ "uri": uri, "mimeType": BINARY, "blob": STANDARD.encode(&page.bytes) }));
    }
    let note = match page.from.offset {
        0 => String::new(),
        left_out => format!("[the first {left_out} of {} bytes are left out]\n", page.total),
    };
    let text = note + &plain::readable(&page.bytes);
    Ok(json!({ "uri": uri, "mimeType": TEXT, "text": text }))
}
