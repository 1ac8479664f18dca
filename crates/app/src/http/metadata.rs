//! `/.well-known/oauth-protected-resource`: where a client finds the authorization server. Needs no token.
//!
//! Source: RFC 9728 section 3; MCP 2026-07-28, authorization.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use longshore_domain::fault::{Fault, FaultCode};

use super::App;
use super::fault::Answer;
use super::wire::{FaultBody, ResourceBody};

/// Where it is; the path of the resource may follow.
pub(super) const PATH: &str = "/.well-known/oauth-protected-resource";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(PATH, get(protected_resource))
        .route("/.well-known/oauth-protected-resource/{*path}", get(protected_resource_of))
}

/// What a client must know to get a token.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource", tag = "access", security(()),
    responses(
        (status = 200, description = "Of the MCP endpoint", body = ResourceBody),
        (status = 404, description = "There is no authorization server", body = FaultBody),
    )
)]
pub(super) async fn protected_resource(State(app): State<App>) -> Answer<Json<ResourceBody>> {
    let resource = app.access.resource().ok_or_else(|| {
        Fault::new(FaultCode::NotFound, "there is no authorization server")
            .next("use a token that `longshore token create` makes")
    })?;
    Ok(Json(resource.into()))
}

/// What a client must know to get a token, asked by the path of the resource.
#[utoipa::path(
    get, path = "/.well-known/oauth-protected-resource/{path}", tag = "access", security(()),
    params(("path" = String, Path, description = "`mcp`, or the path of `oauth.resource`")),
    responses(
        (status = 200, description = "Of the MCP endpoint", body = ResourceBody),
        (status = 404, description = "There is no authorization server, or no such resource", body = FaultBody),
    )
)]
pub(super) async fn protected_resource_of(
    State(app): State<App>,
    Path(path): Path<String>,
) -> Answer<Json<ResourceBody>> {
    match path == "mcp" || app.access.is_resource_path(&path) {
        true => protected_resource(State(app)).await,
        false => {
            Err(Fault::new(FaultCode::NotFound, "there is no such resource").next("the resource is `/mcp`").into())
        }
    }
}
