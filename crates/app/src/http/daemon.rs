//! `/health` for everybody, and `/api/v1/daemon` for persons: the daemon itself.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};

use super::App;
use super::extract::MayAdminister;
use super::fault::Answer;
use super::wire::{CountsBody, DaemonBody, FaultBody, HealthBody, QueueBody, StoreBody};

/// Longest wait for the store before it counts as not answering.
const STORE_MAX: Duration = Duration::from_secs(2);

pub(super) fn open_routes() -> Router<App> {
    Router::new().route("/health", get(health))
}

pub(super) fn routes() -> Router<App> {
    Router::new().route("/daemon", get(details))
}

/// Whether the daemon is well. Needs no token and says nothing of jobs.
#[utoipa::path(
    get, path = "/health", tag = "daemon", security(()),
    responses(
        (status = 200, description = "It is", body = HealthBody),
        (status = 503, description = "The store does not answer", body = HealthBody),
    )
)]
pub(super) async fn health(State(app): State<App>) -> (StatusCode, Json<HealthBody>) {
    let store = match tokio::time::timeout(STORE_MAX, app.engine.newest_event()).await {
        Ok(Ok(_)) => None,
        Ok(Err(fault)) => Some(fault.code.to_string()),
        Err(_) => Some("no answer".into()),
    };
    let (code, status) = match store {
        None => (StatusCode::OK, "ok"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    let body = HealthBody {
        status: status.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_s: app.facts.started.elapsed().as_secs(),
        store: store.unwrap_or_else(|| "ok".into()),
    };
    (code, Json(body))
}

/// The daemon in detail. Persons only.
#[utoipa::path(
    get, path = "/api/v1/daemon", tag = "daemon", security(("token" = ["admin"])),
    responses(
        (status = 200, description = "The daemon", body = DaemonBody),
        (status = 403, description = "The caller is no person", body = FaultBody),
    )
)]
pub(super) async fn details(State(app): State<App>, _: MayAdminister) -> Answer<Json<DaemonBody>> {
    let store = app.engine.store();
    let facts = store.facts().await.map_err(longshore_domain::Fault::from)?;
    let counts = store.counts().await.map_err(longshore_domain::Fault::from)?;
    let queues = store.queues().await.map_err(longshore_domain::Fault::from)?;
    let (settings, placed) = (app.engine.settings(), app.engine.placed().await);
    Ok(Json(DaemonBody {
        pid: std::process::id(),
        listen: app.facts.listen.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        home: app.facts.home.clone(),
        uptime_s: app.facts.started.elapsed().as_secs(),
        capacity: app.facts.capacity,
        cgroup: settings.cgroup.as_ref().map(|folder| folder.display().to_string()),
        cgroup_joined: settings.cgroup.is_some().then_some(placed.leaves),
        scope: settings.shim_scope.then_some(placed.scope),
        store: StoreBody {
            engine: facts.engine,
            location: facts.location,
            schema: facts.schema,
            durability: facts.durability,
            bytes: facts.bytes,
        },
        counts: CountsBody {
            unfinished: counts.unfinished.iter().map(|(state, count)| (state.to_string(), *count)).collect(),
            finished: counts.finished,
        },
        queues: queues
            .into_iter()
            .map(|queue| QueueBody { name: queue.name.to_string(), concurrency: queue.concurrency })
            .collect(),
    }))
}
