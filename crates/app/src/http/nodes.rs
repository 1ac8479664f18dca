//! `/api/v1/nodes`: the nodes that share the store. Persons only.

use axum::extract::{Path, State};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use utoipa::IntoParams;

use super::App;
use super::extract::{Body, MayAdminister, Params, patience};
use super::fault::Answer;
use super::wire::{DrainBody, FaultBody, NodeBody, NodesBody};

/// The node that answers, in place of a name.
const SELF: &str = "self";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/nodes", get(list))
        .route("/nodes/{node}/idle", get(idle))
        .route("/nodes/{node}/draining", put(drain))
}

/// Every node that shares the store, with what it does at present. Persons only.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The nodes, by name", body = NodesBody),
        (status = 403, description = "The caller is no person", body = FaultBody),
    )
)]
pub(super) async fn list(State(app): State<App>, _: MayAdminister) -> Answer<Json<NodesBody>> {
    let nodes = app.engine.nodes().await?.into_iter().map(NodeBody::from).collect();
    Ok(Json(NodesBody { nodes }))
}

/// Has a node take no more jobs, or take them again. What it runs goes on. Persons only.
#[utoipa::path(
    put, path = "/api/v1/nodes/{node}/draining", tag = "nodes", security(("token" = ["admin"])),
    params(("node" = String, Path, description = "Id or name of the node, or `self`")), request_body = DrainBody,
    responses(
        (status = 200, description = "The node; no claim of it takes a job from now on, or some may again", body = NodeBody),
        (status = 403, description = "The caller is no person", body = FaultBody),
        (status = 404, description = "No such node", body = FaultBody),
    )
)]
pub(super) async fn drain(
    State(app): State<App>,
    _: MayAdminister,
    Path(node): Path<String>,
    Body(body): Body<DrainBody>,
) -> Answer<Json<NodeBody>> {
    Ok(Json(app.engine.set_draining(named(&node), body.draining).await?.into()))
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct IdleParams {
    /// Wait this long, 0 to 60 seconds.
    wait_s: Option<f64>,
}

/// Answers when a node runs nothing, or when the time is over. Persons only.
#[utoipa::path(
    get, path = "/api/v1/nodes/{node}/idle", tag = "nodes", security(("token" = ["admin"])),
    params(("node" = String, Path, description = "Id or name of the node, or `self`"), IdleParams),
    responses(
        (status = 200, description = "The node as it stands", body = NodeBody),
        (status = 403, description = "The caller is no person", body = FaultBody),
        (status = 404, description = "No such node", body = FaultBody),
    )
)]
pub(super) async fn idle(
    State(app): State<App>,
    _: MayAdminister,
    Path(node): Path<String>,
    Params(params): Params<IdleParams>,
) -> Answer<Json<NodeBody>> {
    let patience = patience("wait_s", params.wait_s)?;
    Ok(Json(app.engine.wait_idle(named(&node), patience).await?.into()))
}

fn named(node: &str) -> Option<&str> {
    Some(node).filter(|node| *node != SELF)
}
