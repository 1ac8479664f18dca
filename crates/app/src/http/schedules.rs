//! `/api/v1/schedules`: jobs that come again and again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use longshore_domain::fault::Fault;
use longshore_domain::schedule::{Calendar, Overlap};
use longshore_engine::ops::NewSchedule;

use super::App;
use super::extract::{Body, MayRead, MayWrite};
use super::fault::Answer;
use super::jobs::to_submit;
use super::wire::{FaultBody, NewScheduleBody, PauseBody, ScheduleBody, SchedulesBody, SubmitBody};

/// The time zone of a calendar that names none.
const TIME_ZONE_USUAL: &str = "UTC";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/schedules", get(list).post(add))
        .route("/schedules/{schedule}", get(show).delete(remove))
        .route("/schedules/{schedule}/paused", put(pause))
}

/// The schedules that the caller may see, by owner and name.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "schedules", security(("token" = ["jobs:read"])),
    responses((status = 200, description = "The schedules", body = SchedulesBody)),
)]
pub(super) async fn list(State(app): State<App>, MayRead(caller): MayRead) -> Answer<Json<SchedulesBody>> {
    let schedules = app.engine.schedules(&caller).await?.into_iter().map(ScheduleBody::from).collect();
    Ok(Json(SchedulesBody { schedules }))
}

/// Makes a schedule that fires from now on. One that is there already, and is just like it, is answered as it stands.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "schedules", security(("token" = ["jobs:write"])),
    request_body = NewScheduleBody,
    responses(
        (status = 201, description = "The schedule", body = ScheduleBody),
        (status = 409, description = "The caller has another of that name", body = FaultBody),
        (status = "4XX", description = "No schedule was made", body = FaultBody),
    )
)]
pub(super) async fn add(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Body(body): Body<NewScheduleBody>,
) -> Answer<(StatusCode, Json<ScheduleBody>)> {
    let schedule = app.engine.add_schedule(&caller, to_new(body)?).await?;
    Ok((StatusCode::CREATED, Json(schedule.into())))
}

fn to_new(body: NewScheduleBody) -> Result<NewSchedule, Fault> {
    let NewScheduleBody { name, cron, time_zone, overlap, job } = body;
    let overlap = match overlap.as_deref() {
        None | Some("skip") => Overlap::Skip,
        Some("allow") => Overlap::Allow,
        Some(_) => return Err(Fault::invalid("overlap", "expected skip or allow")),
    };
    let time_zone = time_zone.unwrap_or_else(|| TIME_ZONE_USUAL.into());
    check_job(&job)?;
    Ok(NewSchedule { name, calendar: Calendar { cron, time_zone }, overlap, job: to_submit(job)? })
}

/// Refuses what a single job may have and one that comes again may not.
fn check_job(job: &SubmitBody) -> Result<(), Fault> {
    let given = [
        ("name", job.name.is_some()),
        ("key", job.key.is_some()),
        ("not_before", job.not_before.is_some()),
        ("delay_ms", job.delay_ms.is_some()),
        ("after", !job.after.is_empty()),
        ("conversation", job.conversation.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((field, _)) => {
            Err(Fault::invalid(&format!("job.{field}"), "has no place in a schedule").next("leave it out"))
        }
        None => Ok(()),
    }
}

/// One schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{schedule}", tag = "schedules", security(("token" = ["jobs:read"])),
    params(("schedule" = String, Path, description = "Id of the schedule, or the name of one of the caller's own")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleBody),
        (status = 404, description = "No such schedule, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn show(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Path(schedule): Path<String>,
) -> Answer<Json<ScheduleBody>> {
    Ok(Json(app.engine.schedule(&caller, &schedule).await?.into()))
}

/// Has a schedule make no more jobs, or make them again from now on. What it made goes on.
#[utoipa::path(
    put, path = "/api/v1/schedules/{schedule}/paused", tag = "schedules", security(("token" = ["jobs:write"])),
    params(("schedule" = String, Path, description = "Id of the schedule, or the name of one of the caller's own")),
    request_body = PauseBody,
    responses(
        (status = 200, description = "The schedule as it stands", body = ScheduleBody),
        (status = 404, description = "No such schedule, or one of somebody else", body = FaultBody),
        (status = 409, description = "It changed at the same time, or has no more times", body = FaultBody),
    )
)]
pub(super) async fn pause(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(schedule): Path<String>,
    Body(body): Body<PauseBody>,
) -> Answer<Json<ScheduleBody>> {
    Ok(Json(app.engine.pause_schedule(&caller, &schedule, body.paused).await?.into()))
}

/// Removes a schedule. The jobs that it made stay.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{schedule}", tag = "schedules", security(("token" = ["jobs:write"])),
    params(("schedule" = String, Path, description = "Id of the schedule, or the name of one of the caller's own")),
    responses(
        (status = 200, description = "The schedule as it was", body = ScheduleBody),
        (status = 404, description = "No such schedule, or one of somebody else", body = FaultBody),
    )
)]
pub(super) async fn remove(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Path(schedule): Path<String>,
) -> Answer<Json<ScheduleBody>> {
    Ok(Json(app.engine.remove_schedule(&caller, &schedule).await?.into()))
}
