//! `/api/v1/wait` and `/api/v1/jobs/{id}/wait`: waiting for jobs to end. A wait that runs out is no error.

use std::slice;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use longshore_domain::fault::Fault;
use longshore_engine::ops::WaitFor;
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{Body, MayRead, Params, patience};
use super::fault::Answer;
use super::wire::{FaultBody, JobBody, WaitBody, WaitedBody, WaitedJobBody};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/jobs/{id}/wait", get(one)).route("/wait", post(several))
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitParams {
    /// Wait at most this long, 0 to 60 seconds; 0 if absent.
    timeout_s: Option<f64>,
}

/// Waits until a job has ended.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/wait", tag = "jobs", security(("token" = ["jobs:read"])),
    params(("id" = String, Path, description = "Id of the job; for persons also its number"), WaitParams),
    responses(
        (status = 200, description = "The job; `timed_out` if it has not ended", body = WaitedJobBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn one(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Path(id): Path<String>,
    Params(params): Params<WaitParams>,
) -> Answer<Json<WaitedJobBody>> {
    let patience = patience("timeout_s", params.timeout_s)?;
    let waited = app.engine.wait(&caller, slice::from_ref(&id), WaitFor::All, patience).await?;
    let timed_out = waited.timed_out;
    let job = waited.jobs.into_iter().next().ok_or_else(|| Fault::job_not_found(id))?;
    Ok(Json(WaitedJobBody { job: app.engine.view(job).await?.into(), timed_out }))
}

/// Waits until several jobs have ended, or one of them has.
#[utoipa::path(
    post, path = "/api/v1/wait", tag = "jobs", security(("token" = ["jobs:read"])), request_body = WaitBody,
    responses(
        (status = 200, description = "The jobs; `timed_out` if the wait ran out", body = WaitedBody),
        (status = 404, description = "One of them does not exist or belongs to somebody else", body = FaultBody),
    )
)]
pub(super) async fn several(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Body(body): Body<WaitBody>,
) -> Answer<Json<WaitedBody>> {
    let wait_for = if body.any { WaitFor::Any } else { WaitFor::All };
    let patience = patience("timeout_s", body.timeout_s)?;
    let waited = app.engine.wait(&caller, &body.jobs, wait_for, patience).await?;
    let mut jobs: Vec<JobBody> = Vec::with_capacity(waited.jobs.len());
    for job in waited.jobs {
        jobs.push(app.engine.view(job).await?.into());
    }
    Ok(Json(WaitedBody { jobs, timed_out: waited.timed_out }))
}
