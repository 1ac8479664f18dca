//! `/api/v1/jobs/{id}`: looking at one job, and changing it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};

use super::App;
use super::extract::{Body, MayRead, MayWrite};
use super::fault::Answer;
use super::wire::{AcceptedBody, CancelBody, FaultBody, JobBody, JobDetailBody, PinBody, RemovedBody};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/jobs/{id}", get(show).delete(remove))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/retry", post(retry))
        .route("/jobs/{id}/pin", put(pin))
}

/// Everything about one job, with what it runs.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}", tag = "jobs", security(("token" = ["jobs:read"])),
    params(("id" = String, Path, description = "Id of the job; for persons also its number")),
    responses(
        (status = 200, description = "The job", body = JobDetailBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Path(id): Path<String>,
) -> Answer<Json<JobDetailBody>> {
    let view = app.engine.show(&caller, &id).await?;
    let spec = app.engine.spec(&caller, &id).await?.into();
    let node = app.engine.node_of(&view.job).await?;
    Ok(Json(JobDetailBody { job: view.into(), node, spec }))
}

/// Asks for a job to end. A running one is `stopping` until all its processes are gone.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", security(("token" = ["jobs:write"])), request_body = CancelBody,
    params(("id" = String, Path, description = "Id of the job; for persons also its number")),
    responses(
        (status = 200, description = "The job as it stands now", body = JobBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
        (status = 409, description = "It had ended before", body = FaultBody),
    )
)]
pub(super) async fn cancel(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(id): Path<String>,
    Body(body): Body<CancelBody>,
) -> Answer<Json<JobBody>> {
    let job = app.engine.cancel(&caller, &id, body.reason).await?;
    Ok(Json(app.engine.view(job).await?.into()))
}

/// Submits the work of a failed or cancelled job once more, as a new job.
#[utoipa::path(
    post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", security(("token" = ["jobs:write"])),
    params(("id" = String, Path, description = "Id of the job; for persons also its number")),
    responses(
        (status = 201, description = "The new job", body = AcceptedBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
        (status = 409, description = "It has not ended, or ended well", body = FaultBody),
    )
)]
pub(super) async fn retry(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(id): Path<String>,
) -> Answer<(StatusCode, Json<AcceptedBody>)> {
    let accepted = app.engine.retry(&caller, &id).await?;
    let job = app.engine.view(accepted.job).await?.into();
    Ok((StatusCode::CREATED, Json(AcceptedBody { job, existing: accepted.existing })))
}

/// Keeps a job from retention, or no longer.
#[utoipa::path(
    put, path = "/api/v1/jobs/{id}/pin", tag = "jobs", security(("token" = ["jobs:write"])), request_body = PinBody,
    params(("id" = String, Path, description = "Id of the job; for persons also its number")),
    responses(
        (status = 200, description = "The job as it stands now", body = JobBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn pin(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(id): Path<String>,
    Body(body): Body<PinBody>,
) -> Answer<Json<JobBody>> {
    let job = app.engine.pin(&caller, &id, body.pinned).await?;
    Ok(Json(app.engine.view(job).await?.into()))
}

/// Removes a finished job for good, with its output.
#[utoipa::path(
    delete, path = "/api/v1/jobs/{id}", tag = "jobs", security(("token" = ["jobs:write"])),
    params(("id" = String, Path, description = "Id of the job; for persons also its number")),
    responses(
        (status = 200, description = "It is gone", body = RemovedBody),
        (status = 404, description = "No such job, or one of somebody else", body = FaultBody),
        (status = 409, description = "It has not ended", body = FaultBody),
    )
)]
pub(super) async fn remove(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(id): Path<String>,
) -> Answer<Json<RemovedBody>> {
    let job = app.engine.remove(&caller, &id).await?.job;
    Ok(Json(RemovedBody { id: job.id.to_string(), number: job.number.0, removed: true }))
}
