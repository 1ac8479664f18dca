//! The HTTP interface: one file per resource; each translates, calls an operation of the engine, and translates back.

mod daemon;
mod events;
mod extract;
mod fault;
mod gc;
mod guard;
mod job;
mod jobs;
mod openapi;
pub(crate) mod output;
mod wait;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use longshore_engine::Engine;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::TokenBook;

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) tokens: TokenBook,
    /// Host names under which requests are accepted, beside the loopback ones.
    pub(crate) hosts: Vec<String>,
    pub(crate) facts: Facts,
    /// Set when the daemon stops: waits end early, streams end.
    pub(crate) stopping: CancellationToken,
    /// Speaks MCP at `/mcp` and over the socket.
    pub(crate) mcp: longshore_mcp::Server,
}

/// What the daemon can say of itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) listen: SocketAddr,
    pub(crate) home: String,
    pub(crate) capacity: u64,
    pub(crate) started: Instant,
}

impl App {
    pub(crate) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Awaits `long`, or `short` instead once the daemon stops.
    async fn unless_stopping<T>(&self, long: impl Future<Output = T>, short: impl Future<Output = T>) -> T {
        tokio::select! {
            value = long => value,
            () = self.stopping.cancelled() => short.await,
        }
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Everything that is served over TCP: behind the check of host and origin, and of the token.
pub(crate) fn public(app: &App) -> Router {
    let guarded = routes(app).layer(from_fn_with_state(app.clone(), guard::known_caller));
    guarded.layer(from_fn_with_state(app.clone(), guard::own_name)).layer(CatchPanicLayer::custom(fault::panicked))
}

fn routes(app: &App) -> Router {
    let api = Router::new()
        .merge(jobs::routes())
        .merge(job::routes())
        .merge(output::routes())
        .merge(wait::routes())
        .merge(events::routes())
        .merge(gc::routes())
        .merge(daemon::routes());
    Router::new()
        .nest("/api/v1", api)
        .merge(daemon::open_routes())
        .merge(openapi::routes())
        .fallback(fault::no_route)
        .method_not_allowed_fallback(fault::no_method)
        .with_state(app.clone())
        .merge(longshore_mcp::http::router(app.mcp.clone()))
        .layer(DefaultBodyLimit::max(guard::BODY_BYTES_MAX))
        .layer(from_fn(guard::bearable_size))
}
