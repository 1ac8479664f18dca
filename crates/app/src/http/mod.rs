//! The HTTP interface: one file per resource; each translates, calls an operation of the engine, and translates back.

mod brief;
mod credential;
mod daemon;
mod events;
mod extract;
mod fault;
mod gc;
mod guard;
mod job;
mod jobs;
mod metadata;
mod names;
mod nodes;
mod openapi;
pub(crate) mod output;
mod peer;
mod schedules;
mod wait;
pub(crate) mod wire;

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use longshore_domain::fault::Fault;
use longshore_engine::Engine;
use longshore_mcp::http::{Lapsing, Throttled};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::access::Access;
use crate::peers::PeerKey;
use fault::HttpFault;
use guard::Peer;
pub(crate) use names::OwnNames;

/// Where MCP is spoken.
const MCP: &str = "/mcp";

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) access: Access,
    /// By which other nodes are known, if there can be any.
    pub(crate) peer_key: Option<PeerKey>,
    pub(crate) names: OwnNames,
    pub(crate) facts: Facts,
    /// Set when the daemon stops: streams end.
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
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Whoever comes in over TCP comes by here.
pub(crate) struct Entrance {
    app: App,
    routes: Router,
    /// What only other nodes may ask for.
    peers: Router,
}

impl Entrance {
    /// The only one of a daemon.
    pub(crate) fn new(app: &App) -> Self {
        Self { app: app.clone(), routes: routes(app), peers: peer::routes(app) }
    }

    /// Answers a request of somebody at `from`. A panic is answered by a fault and harms no other request.
    pub(crate) async fn answer(&self, from: IpAddr, request: Request) -> Response {
        sheltered(self.checked(from, request)).await
    }

    /// Behind the check of host and origin, and of the token. In one function, for each layer of a router costs a
    /// quick call as much as all its checks.
    async fn checked(&self, from: IpAddr, mut request: Request) -> Response {
        let app = &self.app;
        if let Err(fault) = guard::check_own_name(app, &mut request) {
            return HttpFault(fault).into_response();
        }
        let path = request.uri().path();
        if path.starts_with(peer::PATH) {
            request.extensions_mut().insert(Peer(from));
            return Box::pin(routed(&self.peers, request)).await;
        }
        if guard::is_open(path) {
            return Box::pin(routed(&self.routes, request)).await;
        }
        let is_mcp = path == MCP;
        let pass = match guard::admit(app, from, request.headers()).await {
            Ok(pass) => pass,
            Err(refusal) => return refusal,
        };
        let throttled = app.access.count_request(&pass).err().map(Throttled);
        let scopes = pass.grant.scopes();
        let still_holds = guard::still_holds(app, &pass);
        let response = match (throttled, guard::too_large(request.headers())) {
            // Whoever speaks MCP is told in MCP.
            (Some(Throttled(pause)), _) if !is_mcp => {
                return guard::too_many("too many requests with this token", pause);
            }
            (None, Some(fault)) => Box::pin(guard::drained(request, fault)).await,
            _ if is_mcp => longshore_mcp::http::answer(&app.mcp, pass.grant, throttled, still_holds, request).await,
            _ => {
                let lapsing = still_holds.map(Lapsing::new);
                request.extensions_mut().insert(pass.grant);
                let response = Box::pin(routed(&self.routes, request)).await;
                match lapsing {
                    Some(lapsing) => Box::pin(lapsing.answer(response)).await.unwrap_or_else(|| guard::lapsed(app)),
                    None => response,
                }
            }
        };
        guard::challenged(app, scopes, response)
    }
}

/// Answers a panic by a fault; the panic itself is in the log already.
fn sheltered(answer: impl Future<Output = Response>) -> impl Future<Output = Response> {
    // Nothing of the request is looked at again after a panic; what is shared stands behind locks.
    AssertUnwindSafe(answer).catch_unwind().map(|answer| {
        answer.unwrap_or_else(|_| HttpFault(Fault::internal("the handling of a request panicked")).into_response())
    })
}

async fn routed(routes: &Router, request: Request) -> Response {
    let Ok(response) = routes.clone().call(request).await;
    response
}

fn routes(app: &App) -> Router {
    let api = Router::new()
        .merge(jobs::routes())
        .merge(job::routes())
        .merge(output::routes())
        .merge(wait::routes())
        .merge(brief::routes())
        .merge(events::routes())
        .merge(gc::routes())
        .merge(daemon::routes())
        .merge(nodes::routes())
        .merge(schedules::routes());
    Router::new()
        .nest("/api/v1", api)
        .merge(daemon::open_routes())
        .merge(openapi::routes())
        .merge(metadata::routes())
        .fallback(fault::no_route)
        .method_not_allowed_fallback(fault::no_method)
        .with_state(app.clone())
        .layer(DefaultBodyLimit::max(guard::BODY_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn a_panicking_request_is_a_fault_and_harms_no_other() {
        let (go, gone_on) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(sheltered(async {
            gone_on.await.unwrap();
            Response::new("fine".into())
        }));
        for _ in 0..3 {
            let answer = tokio::spawn(sheltered(async { if true { panic!("a secret") } else { Response::default() } }));
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 500);
            let body = to_bytes(answer.into_body(), 1000).await.unwrap();
            let body = String::from_utf8_lossy(&body);
            assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        }
        go.send(()).unwrap();
        assert_eq!(waiting.await.unwrap().status(), 200);
    }
}
