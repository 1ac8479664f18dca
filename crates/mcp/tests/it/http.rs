//! One message per POST.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Extension, Router};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use longshore_domain::{Conversation, Grant, Principal, Scope, Scopes};
use longshore_engine::ops::{Caller, Submit};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kit::{Kit, job_of, modern_meta};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{} {}", self.status, self.text))
    }

    /// Status and JSON-RPC error code.
    fn refusal(&self) -> (u16, i64) {
        (self.status.as_u16(), self.json()["error"]["code"].as_i64().unwrap_or(0))
    }
}

fn router(kit: &Kit) -> Router {
    granted(kit, Grant::whole(Principal::owner()))
}

fn granted(kit: &Kit, grant: Grant) -> Router {
    longshore_mcp::http::router(kit.server.clone()).layer(Extension(grant))
}

async fn send(router: Router, method: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request =
        Request::builder().method(method).uri("/mcp").header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = if *name == "accept" { request } else { request.header(*name, *value) };
    }
    let mut request = request.body(body.into()).unwrap();
    if let Some((_, accept)) = headers.iter().find(|(name, _)| *name == "accept") {
        request.headers_mut().insert("accept", accept.parse().unwrap());
    }
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

async fn post(kit: &Kit, headers: &[(&str, &str)], body: &Value) -> Answer {
    send(router(kit), "POST", headers, body.to_string()).await
}

fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = modern_meta();
    message(method, params)
}

const MODERN: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

#[tokio::test]
async fn what_is_no_single_request_is_refused() {
    let kit = Kit::new().await;
    let allowed = [("GET", "POST"), ("DELETE", "POST"), ("PUT", "GET, POST, DELETE")];
    for (method, allowed) in allowed {
        let answer = send(router(&kit), method, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()), (405, allowed));
    }
    let refused = async |body: &str| send(router(&kit), "POST", &[], body.to_owned()).await.refusal();
    assert_eq!(refused("[]").await, (400, -32600));
    assert_eq!(refused("nonsense").await, (400, -32700));
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await, (400, -32600));
    assert_eq!(refused(&"x".repeat(longshore_mcp::MESSAGE_BYTES_MAX + 1)).await, (413, -32600));
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        ("Application/JSON; charset=utf-8", 200),
    ] {
        let answer = post(&kit, &[("content-type", kind)], &message("ping", json!({}))).await;
        assert_eq!(answer.status, status, "{kind}");
    }
    let answer = post(&kit, &[("accept", "text/html")], &message("ping", json!({}))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (406, &json!(1)));
    let keys = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(post(&kit, &keys, &message("ping", json!({}))).await.refusal(), (400, -32600));
    let without_principal = longshore_mcp::http::router(kit.server.clone());
    assert_eq!(send(without_principal, "POST", &[], message("ping", json!({})).to_string()).await.status, 500);
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let answer = post(&kit, &[], &notification).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (202, ""));
}

#[tokio::test]
async fn modern_requests_repeat_themselves_in_headers() {
    let kit = Kit::new().await;
    let discover = modern("server/discover", json!({}));
    let headers = [MODERN, ("mcp-method", "server/discover")];
    let answer = post(&kit, &headers, &discover).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.json()["result"]["supportedVersions"], json!(["2026-07-28"]));
    let refused = async |headers: &[(&str, &str)], body: &Value| post(&kit, headers, body).await.refusal();
    assert_eq!(refused(&[MODERN], &discover).await, (400, -32020));
    assert_eq!(refused(&[("mcp-method", "server/discover")], &discover).await, (400, -32020));
    assert_eq!(refused(&[MODERN, ("mcp-method", "tools/list")], &discover).await, (400, -32020));
    assert_eq!(refused(&headers, &message("server/discover", json!({}))).await, (400, -32602));
    let unknown = modern("no/such", json!({}));
    assert_eq!(refused(&[MODERN, ("mcp-method", "no/such")], &unknown).await, (404, -32601));
    let mut future = discover.clone();
    future["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let headers = [("mcp-protocol-version", "2031-01-01"), ("mcp-method", "server/discover")];
    assert_eq!(refused(&headers, &future).await, (400, -32022));
    let call = modern("tools/call", json!({ "name": "job_list" }));
    assert_eq!(refused(&[MODERN, ("mcp-method", "tools/call")], &call).await, (400, -32020));
    let headers = [MODERN, ("mcp-method", "tools/call"), ("mcp-name", "job_list")];
    assert_eq!(refused(&headers, &call).await, (200, 0));
}

fn initialize(version: &str) -> Value {
    let client = json!({ "name": "test", "version": "1" });
    message("initialize", json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client }))
}

#[tokio::test]
async fn sessions_are_held_by_the_client() {
    let kit = Kit::new().await;
    let answer = post(&kit, &[], &initialize("2025-06-18")).await;
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-06-18");
    let session = answer.headers["mcp-session-id"].to_str().unwrap().to_owned();
    let with = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-06-18")];
    let run = message("tools/call", json!({ "name": "run", "arguments": { "command": ["true"], "cwd": kit.path() } }));
    let job = job_of(&post(&kit, &with, &run).await.json()["result"]);
    let list = message("tools/call", json!({ "name": "job_list", "arguments": {} }));
    let listed = |answer: Answer| answer.json()["result"]["structuredContent"]["jobs"].as_array().unwrap().len();
    assert_eq!(listed(post(&kit, &with, &list).await), 1);
    let other = post(&kit, &[], &initialize("2025-06-18")).await.headers["mcp-session-id"].to_str().unwrap().to_owned();
    assert_eq!(listed(post(&kit, &[("mcp-session-id", &other)], &list).await), 0);
    assert_eq!(listed(post(&kit, &[("mcp-protocol-version", "2025-11-25")], &list).await), 1);
    // A member of the other era, which means nothing here; without a session it is a modern request with a part missing.
    let stray = message("ping", json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": {} } }));
    assert_eq!(post(&kit, &with, &stray).await.refusal(), (200, 0));
    assert_eq!(post(&kit, &[], &stray).await.refusal(), (400, -32602));
    let forged = format!("{session}x");
    assert_eq!(post(&kit, &[("mcp-session-id", &forged)], &list).await.refusal(), (404, -32600));
    let version = [("mcp-protocol-version", "2024-01-01")];
    assert_eq!(post(&kit, &version, &list).await.refusal(), (400, -32600));
    for other in ["2025-11-25", "2025-03-26"] {
        let with = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", other)];
        let tasks = post(&kit, &with, &message("tasks/list", json!({}))).await;
        assert_eq!(tasks.json()["error"]["code"], -32601, "{other}");
        let batch = post(&kit, &with, &json!([message("ping", json!({}))])).await;
        assert_eq!(batch.refusal(), (400, -32600), "{other}");
        assert_eq!(post(&kit, &with, &message("ping", json!({}))).await.status, 200, "{other}");
    }
    let read = message("resources/read", json!({ "uri": format!("longshore://jobs/{job}") }));
    assert_eq!(post(&kit, &[], &read).await.status, 200);
}

#[tokio::test]
async fn modern_notifications_repeat_themselves_in_headers_and_belong_to_no_session() {
    let kit = Kit::new().await;
    let says = |version: Option<&str>| {
        let meta = version.map_or(json!({}), |version| json!({ "io.modelcontextprotocol/protocolVersion": version }));
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1, "_meta": meta } })
    };
    let method = ("mcp-method", "notifications/cancelled");
    let (other, older) = (("mcp-method", "notifications/initialized"), ("mcp-protocol-version", "2025-11-25"));
    let stale = ("mcp-session-id", "long gone");
    let newest = Some("2026-07-28");
    for (headers, version, status, code) in [
        (vec![MODERN, method], None, 202, 0),
        (vec![MODERN, method], newest, 202, 0),
        (vec![MODERN, method, stale], newest, 202, 0),
        (vec![MODERN], newest, 400, -32020),
        (vec![MODERN, other], None, 400, -32020),
        (vec![method], newest, 400, -32020),
        (vec![older, method], newest, 400, -32020),
        (vec![MODERN, method], Some("2025-11-25"), 400, -32020),
        (vec![older], None, 202, 0),
        (vec![older, stale], None, 404, -32600),
    ] {
        let answer = post(&kit, &headers, &says(version)).await;
        let found = if answer.text.is_empty() { 0 } else { answer.refusal().1 };
        assert_eq!((answer.status.as_u16(), found), (status, code), "{headers:?} {version:?}");
    }
    let stale = [MODERN, ("mcp-method", "tools/list"), stale];
    assert_eq!(post(&kit, &stale, &modern("tools/list", json!({}))).await.status, 200);
}

#[tokio::test]
async fn a_session_takes_on_the_chat_of_the_handle_that_it_names_first() {
    let kit = Kit::new().await;
    let mut chats = vec![];
    for principal in [Principal::owner(), Principal::agent("other")] {
        let request = Submit { command: vec!["true".into()], cwd: kit.path(), ..Submit::default() };
        let caller = Caller { principal, conversation: Some(Conversation::new("chat")) };
        chats.push(kit.engine.submit(&caller, request).await.unwrap().job.id.to_string());
    }
    let listed = async |session: &str| {
        let list = message("tools/call", json!({ "name": "job_list", "arguments": {} }));
        let answer = post(&kit, &[("mcp-session-id", session)], &list).await.json();
        answer["result"]["structuredContent"]["jobs"].as_array().unwrap().len()
    };
    for (at, job) in chats.iter().enumerate() {
        let answer = post(&kit, &[], &initialize("2025-11-25")).await;
        let session = answer.headers["mcp-session-id"].to_str().unwrap().to_owned();
        assert_eq!(listed(&session).await, 0);
        let wait = message("tools/call", json!({ "name": "job_wait", "arguments": { "jobs": [job] } }));
        post(&kit, &[("mcp-session-id", &session)], &wait).await;
        assert_eq!(listed(&session).await, usize::from(at == 0), "job {at}");
    }
}

#[tokio::test]
async fn keys_and_conversations_come_beside_the_arguments() {
    let kit = Kit::new().await;
    let run = |meta: Value| {
        let arguments = json!({ "command": ["echo", "x"], "cwd": kit.path() });
        let mut params = json!({ "name": "run", "arguments": arguments, "_meta": modern_meta() });
        params["_meta"]["dev.longshore/conversation"] = meta;
        message("tools/call", params)
    };
    let headers = [MODERN, ("mcp-method", "tools/call"), ("mcp-name", "run"), ("idempotency-key", "k")];
    let one = post(&kit, &headers, &run(json!("chat"))).await;
    let other = post(&kit, &headers, &run(json!("chat"))).await;
    assert_eq!(job_of(&one.json()["result"]), job_of(&other.json()["result"]));
    let missing = modern("tools/call", json!({ "name": "run", "arguments": { "command": ["true"] } }));
    let answer = post(&kit, &headers[..3], &missing).await;
    assert_eq!(answer.json()["result"]["structuredContent"]["code"], "invalid_argument");
    let of_chat = |name: &str| {
        let mut list = modern("tools/call", json!({ "name": "job_list", "arguments": {} }));
        list["params"]["_meta"]["dev.longshore/conversation"] = json!(name);
        list
    };
    let headers = [MODERN, ("mcp-method", "tools/call"), ("mcp-name", "job_list")];
    for (chat, count) in [("chat", 1), ("another", 0)] {
        let answer = post(&kit, &headers, &of_chat(chat)).await;
        assert_eq!(answer.json()["result"]["structuredContent"]["jobs"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn a_slow_answer_is_streamed_to_whom_asks_for_progress() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let line = format!("echo 40%; {}", gate.line());
    let mut call = modern("tools/call", json!({ "name": "run" }));
    call["params"]["arguments"] = json!({ "command": line, "shell": true, "cwd": kit.path() });
    call["params"]["_meta"]["progressToken"] = json!(5);
    let headers = [MODERN, ("mcp-method", "tools/call"), ("mcp-name", "run")];
    let mut request =
        Request::builder().method("POST").uri("/mcp").header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = router(&kit).oneshot(request.body(Body::from(call.to_string())).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut body = response.into_body();
    let mut text = String::new();
    while !text.contains("notifications/progress") {
        let frame = body.frame().await.unwrap().unwrap();
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    gate.open().await;
    text += std::str::from_utf8(&body.collect().await.unwrap().to_bytes()).unwrap();
    let messages: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let last = messages.last().unwrap();
    assert_eq!(last["result"]["structuredContent"]["outcome"]["status"], "succeeded");
    assert_eq!(messages[0]["params"]["progress"], 40.0);
    assert!(messages[..messages.len() - 1].iter().all(|message| message["method"] == "notifications/progress"));
}

#[tokio::test]
async fn what_the_token_does_not_allow_is_refused_with_the_scope_that_is_missing() {
    let kit = Kit::new().await;
    let none = Scopes::default();
    let (reads, writes) = (none.with(Scope::JobsRead), none.with(Scope::JobsWrite));
    let call = |tool: &str| ("tools/call", json!({ "name": tool, "arguments": {} }));
    let uri = json!({ "uri": "longshore://jobs/j_none" });
    let free = |method: &'static str| (method, json!({}));
    for (scopes, (method, params), missing) in [
        (reads, call("run"), Some("jobs:write")),
        (reads, call("job_cancel"), Some("jobs:write")),
        (reads, call("job_list"), None),
        (writes, call("run"), None),
        (writes, call("job_list"), Some("jobs:read")),
        (writes, call("job_read"), Some("jobs:read")),
        (writes, call("job_wait"), Some("jobs:read")),
        (writes, free("resources/list"), Some("jobs:read")),
        (writes, ("resources/read", uri), Some("jobs:read")),
        (none, free("tools/list"), None),
        (none, free("resources/templates/list"), None),
    ] {
        for legacy in [true, false] {
            let body = if legacy { message(method, params.clone()) } else { modern(method, params.clone()) };
            let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default();
            let described = [MODERN, ("mcp-method", method), ("mcp-name", name)];
            let headers = if legacy { &described[..0] } else { &described[..] };
            let router = granted(&kit, Grant::new(Principal::agent("a"), scopes));
            let answer = send(router, "POST", headers, body.to_string()).await;
            let error = &answer.json()["error"];
            match missing {
                Some(scope) => {
                    assert_eq!(answer.refusal(), (403, 403), "{method} {params}");
                    assert_eq!((&error["data"]["scope"], &error["data"]["code"]), (&json!(scope), &json!("forbidden")));
                }
                None => assert_eq!((answer.status.as_u16(), error), (200, &Value::Null), "{method} {params}"),
            }
        }
    }
    // A person's token in a model's hands is a model's.
    let admin = granted(&kit, Grant::new(Principal::owner(), none.with(Scope::Admin)));
    let answer = send(admin, "POST", &[], message("tools/call", json!({ "name": "job_list" })).to_string()).await;
    assert_eq!(answer.refusal(), (403, 403));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_ask_again() {
    let kit = Kit::new().await;
    let pause = longshore_mcp::http::Throttled(std::time::Duration::from_millis(1_500));
    let throttled = || router(&kit).layer(Extension(pause));
    let answer = send(throttled(), "POST", &[], message("ping", json!({})).to_string()).await;
    assert_eq!(answer.status.as_u16(), 429);
    insta::assert_json_snapshot!("rate_limited", answer.json());
    let notification = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string();
    let answer = send(throttled(), "POST", &[], notification).await;
    assert_eq!((answer.refusal(), &answer.json()["id"]), ((429, 429), &Value::Null));
    // Of a long message not all is waited for.
    let long = stream::iter([Ok::<_, Infallible>(" ".repeat(65_537))]).chain(stream::pending());
    let answer = send(throttled(), "POST", &[], Body::from_stream(long)).await;
    assert_eq!((answer.refusal(), &answer.json()["id"]), ((429, 429), &Value::Null));
}
