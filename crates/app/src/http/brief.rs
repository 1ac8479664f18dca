//! `/api/v1/brief`: what a chat should know now.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use longshore_domain::Conversation;
use longshore_engine::ops::{Briefing, Caller};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{MayRead, Params};
use super::fault::Answer;
use super::wire::{BriefBody, FaultBody};

pub(super) fn routes() -> Router<App> {
    Router::new().route("/brief", get(brief))
}

/// Which chat is to be told.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BriefParams {
    /// The chat, of the caller's own.
    conversation: String,
    /// Leave the ends unannounced.
    #[serde(default)]
    peek: bool,
}

/// What ended since the chat last heard, what runs and what waits, in at most 200 tokens. Unless it is a peek, ends
/// count as announced from then on: each is told once, here or along with an answer over MCP.
#[utoipa::path(
    get, path = "/api/v1/brief", tag = "jobs", security(("token" = ["jobs:read"])), params(BriefParams),
    responses(
        (status = 200, description = "What there is to tell; nothing is an empty text", body = BriefBody),
        (status = "4XX", description = "A parameter is missing or cannot be used", body = FaultBody),
    )
)]
pub(super) async fn brief(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Params(params): Params<BriefParams>,
) -> Answer<Json<BriefBody>> {
    let caller = Caller { conversation: Some(Conversation::new(&params.conversation)), ..caller };
    let briefing = Briefing { peek: params.peek, ..Briefing::default() };
    Ok(Json(app.engine.brief(&caller, briefing).await?.into()))
}
