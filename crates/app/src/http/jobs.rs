//! `/api/v1/jobs`: submitting and listing.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use longshore_domain::fault::Fault;
use longshore_domain::job::{CommandLimits, Deadlines, OutputMode, QueueName, RetryPolicy, StateName};
use longshore_domain::{Conversation, JobNumber, Labels, When};
use longshore_engine::ops::{ListQuery, Submit};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{Body, MayRead, MayWrite, Params};
use super::fault::Answer;
use super::wire::{AcceptedBody, FaultBody, JobBody, JobsBody, SubmitBody, outcome_status};

/// Jobs on a page when nothing else is asked for.
const LIMIT_USUAL: usize = 20;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/jobs", get(list).post(submit))
}

/// Accepts a job durably, and starts it if there is room.
#[utoipa::path(
    post, path = "/api/v1/jobs", tag = "jobs", security(("token" = ["jobs:write"])), request_body = SubmitBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "One job per intent; the same as `key`")),
    responses(
        (status = 201, description = "A new job", body = AcceptedBody),
        (status = 200, description = "The job that the key already names", body = AcceptedBody),
        (status = "4XX", description = "No job was made", body = FaultBody),
    )
)]
pub(super) async fn submit(
    State(app): State<App>,
    MayWrite(mut caller): MayWrite,
    headers: HeaderMap,
    Body(mut body): Body<SubmitBody>,
) -> Answer<(StatusCode, Json<AcceptedBody>)> {
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Fault::invalid("Idempotency-Key", "must be visible ASCII"))?;
        body.key = Some(key.to_owned());
    }
    caller.conversation = body.conversation.as_deref().map(Conversation::new);
    let request = to_submit(body)?;
    let accepted = app.engine.submit(&caller, request).await?;
    let status = if accepted.existing { StatusCode::OK } else { StatusCode::CREATED };
    let job = app.engine.view(accepted.job).await?.into();
    Ok((status, Json(AcceptedBody { job, existing: accepted.existing })))
}

/// What a caller sent as a request to the engine.
///
/// # Errors
/// `invalid_argument`.
pub(super) fn to_submit(body: SubmitBody) -> Result<Submit, Fault> {
    let not_before = match (&body.not_before, body.delay_ms) {
        (Some(_), Some(_)) => return Err(Fault::invalid("delay_ms", "give it or `not_before`, not both")),
        (Some(text), None) => Some(When::At(text.parse().map_err(|problem| Fault::invalid("not_before", problem))?)),
        (None, delay) => delay.map(|delay| When::In { length: Duration::from_millis(delay) }),
    };
    let length = |ms: Option<u64>| ms.map(Duration::from_millis);
    let usual = CommandLimits::default();
    Ok(Submit {
        command: body.command,
        shell: body.shell,
        cwd: body.cwd,
        inherited: body.inherited,
        env: body.env,
        name: body.name,
        queue: body.queue,
        priority: body.priority,
        requires: Labels::new(body.requires).map_err(|problem| Fault::invalid("requires", problem))?,
        deadlines: Deadlines {
            soft: length(body.soft_deadline_ms),
            hard: length(body.deadline_ms),
            grace: length(body.grace_ms).unwrap_or(Deadlines::GRACE),
        },
        limits: CommandLimits {
            memory_bytes: body.memory_bytes,
            processes: body.processes,
            nice: body.nice,
            output_bytes_max: body.output_bytes_max.unwrap_or(usual.output_bytes_max),
        },
        output: if body.split { OutputMode::Split } else { OutputMode::Merged },
        retry: RetryPolicy { retries_max: body.retries, ..RetryPolicy::default() },
        not_before,
        after: body.after,
        key: body.key,
        retry_of: None,
    })
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Jobs in this state, or in one of several with commas between.
    state: Option<String>,
    /// Jobs that ended this way.
    outcome: Option<String>,
    /// Jobs of this queue.
    queue: Option<String>,
    /// Jobs of this chat.
    conversation: Option<String>,
    /// Jobs whose name or command contains this text.
    text: Option<String>,
    /// Jobs on the page, 1 to 200; 20 if absent.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<u64>,
}

/// The newest jobs that the caller may see.
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs", security(("token" = ["jobs:read"])), params(ListParams),
    responses(
        (status = 200, description = "Some jobs, newest first", body = JobsBody),
        (status = "4XX", description = "A parameter cannot be used", body = FaultBody),
    )
)]
pub(super) async fn list(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Params(params): Params<ListParams>,
) -> Answer<Json<JobsBody>> {
    let page = app.engine.list(&caller, to_query(params)?).await?;
    let mut jobs: Vec<JobBody> = Vec::with_capacity(page.jobs.len());
    for job in page.jobs {
        jobs.push(app.engine.view(job).await?.into());
    }
    Ok(Json(JobsBody { jobs, next: page.next.map(|number| number.0) }))
}

fn to_query(params: ListParams) -> Result<ListQuery, Fault> {
    let outcome = params.outcome.as_deref().map(|name| {
        outcome_status(name)
            .ok_or_else(|| Fault::invalid("outcome", "expected succeeded, failed, cancelled or skipped"))
    });
    let queue =
        params.queue.map(|name| QueueName::try_from(name).map_err(|error| Fault::invalid("queue", error.problem)));
    Ok(ListQuery {
        conversation: params.conversation.as_deref().map(Conversation::new),
        states: states(params.state.as_deref().unwrap_or_default())?,
        outcome: outcome.transpose()?,
        queue: queue.transpose()?,
        text: params.text,
        cursor: params.cursor.map(JobNumber),
        limit: params.limit.unwrap_or(LIMIT_USUAL),
    })
}

fn states(text: &str) -> Result<Vec<StateName>, Fault> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let known = || StateName::ALL.map(StateName::as_str).join(", ");
            StateName::parse(name).ok_or_else(|| Fault::invalid("state", format!("expected one of {}", known())))
        })
        .collect()
}
