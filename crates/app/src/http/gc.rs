//! `/api/v1/gc`: removing what has grown old.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};

use super::App;
use super::extract::{Body, MayAdminister};
use super::fault::Answer;
use super::wire::{FaultBody, GcBody, GcReportBody};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/gc", post(collect))
}

/// Removes output and records that are older than the retention allows. Persons only.
#[utoipa::path(
    post, path = "/api/v1/gc", tag = "daemon", security(("token" = ["admin"])), request_body = GcBody,
    responses(
        (status = 200, description = "What was removed, or would be", body = GcReportBody),
        (status = 403, description = "The caller is no person", body = FaultBody),
    )
)]
pub(super) async fn collect(
    State(app): State<App>,
    _: MayAdminister,
    Body(body): Body<GcBody>,
) -> Answer<Json<GcReportBody>> {
    let report = app.engine.gc(body.dry_run).await?;
    Ok(Json(GcReportBody {
        outputs: report.outputs,
        output_bytes: report.output_bytes,
        records: report.records,
        orphans: report.orphans,
        orphan_bytes: report.orphan_bytes,
        objects: report.objects,
        object_bytes: report.object_bytes,
        dry_run: report.dry_run,
    }))
}
