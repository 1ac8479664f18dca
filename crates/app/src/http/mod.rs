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
mod nodes;
mod openapi;
pub(crate) mod output;
mod peer;
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

use crate::access::Access;
use crate::peers::PeerKey;
pub(crate) use guard::Peer;

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// What the handlers share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) access: Access,
    /// By which other nodes are known, if there can be any.
    pub(crate) peer_key: Option<PeerKey>,
    /// Host names under which requests are accepted, beside the loopback ones.
    pub(crate) hosts: Vec<String>,
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

/// Everything that is served over TCP: behind the check of host and origin, and of the token.
pub(crate) fn public(app: &App) -> Router {
    let guarded = routes(app).layer(from_fn_with_state(app.clone(), guard::known_caller));
    let guarded = guarded.merge(peer::routes(app).with_state(app.clone()));
    isolated(guarded.layer(from_fn_with_state(app.clone(), guard::own_name)))
}

/// A panic in one request is answered by a fault and harms no other.
fn isolated(routes: Router) -> Router {
    routes.layer(CatchPanicLayer::custom(fault::panicked))
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
        .merge(nodes::routes());
    Router::new()
        .nest("/api/v1", api)
        .merge(daemon::open_routes())
        .merge(openapi::routes())
        .merge(metadata::routes())
        .fallback(fault::no_route)
        .method_not_allowed_fallback(fault::no_method)
        .with_state(app.clone())
        .merge(longshore_mcp::http::router(app.mcp.clone()))
        .layer(DefaultBodyLimit::max(guard::BODY_BYTES_MAX))
        .layer(from_fn(guard::bearable_size))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::sync::oneshot;

    use super::*;

    /// Status and body.
    async fn ask(url: String) -> (u16, String) {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let asked = tokio::task::spawn_blocking(move || {
            let mut answer = agent.get(url).call().unwrap();
            (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
        });
        asked.await.unwrap()
    }

    #[tokio::test]
    async fn a_panicking_request_is_a_fault_and_harms_no_other() {
        let (go, gone_on) = oneshot::channel::<()>();
        let (begun, has_begun) = oneshot::channel::<()>();
        let held = std::sync::Mutex::new(Some((begun, gone_on)));
        let held = Arc::new(held);
        let hold = move || {
            let taken = held.lock().unwrap().take();
            async move {
                let (begun, gone_on) = taken.unwrap();
                begun.send(()).unwrap();
                gone_on.await.unwrap();
                "fine"
            }
        };
        let panics = get(|| async { if true { panic!("a secret") } else { "never" } });
        let routes = Router::new().route("/held", get(hold)).route("/panics", panics);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, isolated(routes)).into_future());
        let waiting = tokio::spawn(ask(format!("{base}/held")));
        has_begun.await.unwrap();
        for _ in 0..3 {
            let (status, body) = ask(format!("{base}/panics")).await;
            assert_eq!(status, 500);
            assert!(body.contains(r#""code":"internal""#) && !body.contains("secret"), "{body}");
        }
        go.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), (200, "fine".to_owned()));
        serving.abort();
    }
}
