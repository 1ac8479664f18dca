//! A modern client of either transport, so that one test tells both.

use axum::body::Body;
use axum::http::Request;
use axum::{Extension, Router};
use http_body_util::BodyExt;
use longshore_domain::{Grant, Principal};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kit::{Client, Kit, LIMIT, modern_meta};

/// What every request of a client says that takes tasks.
pub(crate) fn declaring_meta() -> Value {
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    meta
}

/// The same of a client that shows forms.
pub(crate) fn asking_meta() -> Value {
    let mut meta = declaring_meta();
    meta["io.modelcontextprotocol/clientCapabilities"]["elicitation"] = json!({ "form": {} });
    meta
}

/// The two transports.
pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Stdio, Transport::Http];

#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Stdio,
    Http,
}

pub(crate) enum Peer {
    Stdio(Client),
    Http(Router),
}

impl Peer {
    pub(crate) async fn new(kit: &Kit, transport: Transport, principal: &str) -> Self {
        match transport {
            Transport::Stdio => {
                let mut client = Client::connect(&kit.server, Principal::agent(principal));
                // Ids of requests are keys within a bridge.
                let bridge = format!("{principal} {:x}", longshore_engine::clock::random());
                client.say(&json!({ "longshore": kit.hello(&bridge) })).await;
                Self::Stdio(client)
            }
            Transport::Http => Self::Http(router(kit, principal)),
        }
    }

    /// The answer to a request that declares tasks, without its envelope; of an error over HTTP the status too.
    pub(crate) async fn declaring(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = declaring_meta();
        self.request(method, params).await
    }

    /// The same of one that declares forms too.
    pub(crate) async fn asking(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = asking_meta();
        self.request(method, params).await
    }

    /// The same of one that declares nothing.
    pub(crate) async fn plain(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = modern_meta();
        self.request(method, params).await
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        match self {
            Self::Stdio(client) => bare(client.request(method, params).await),
            Self::Http(router) => {
                let response = router.clone().oneshot(post(method, 1, &params)).await.unwrap();
                let status = response.status().as_u16();
                let bytes =
                    tokio::time::timeout(LIMIT, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
                let answer = bare(answer_in(std::str::from_utf8(&bytes).unwrap()));
                let expected = match answer["code"].as_i64() {
                    Some(-32601) => 404,
                    Some(-32029..=-32020) => 400,
                    _ => 200,
                };
                assert_eq!(status, expected, "{answer}");
                answer
            }
        }
    }
}

fn bare(mut answer: Value) -> Value {
    let member = if answer.get("error").is_some() { "error" } else { "result" };
    answer[member].take()
}

pub(crate) fn router(kit: &Kit, principal: &str) -> Router {
    longshore_mcp::http::router(kit.server.clone()).layer(Extension(Grant::whole(Principal::agent(principal))))
}

/// A modern request with the headers that it needs.
pub(crate) fn post(method: &str, id: u64, params: &Value) -> Request<Body> {
    let name = ["name", "uri", "taskId"].iter().find_map(|member| params[*member].as_str());
    let mut request = Request::builder()
        .method("POST")
        .uri("/mcp")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if let Some(name) = name {
        request = request.header("mcp-name", name);
    }
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    request.body(Body::from(body.to_string())).unwrap()
}

/// A call of `run` with the line of a gate, or any other.
pub(crate) fn run(kit: &Kit, line: &str, more: &Value) -> Value {
    let mut arguments = json!({ "command": line, "shell": true, "cwd": kit.path(), "name": "work" });
    for (name, value) in more.as_object().unwrap() {
        arguments[name] = value.clone();
    }
    json!({ "name": "run", "arguments": arguments })
}

/// The answer in a body: all of it, or what a stream ends with.
fn answer_in(body: &str) -> Value {
    let last = body.lines().rev().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(last.unwrap_or(body)).unwrap()
}
