//! Legacy sessions over HTTP: their own stream, streams that are gone on with, questions, an end.

use axum::Extension;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::response::Response;
use http_body_util::BodyExt;
use longshore_domain::{Grant, Principal};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::beside;
use crate::kit::{Kit, LIMIT, LIST_CHANGED, job_of};

/// A client with a session.
pub(crate) struct Visitor<'a> {
    kit: &'a Kit,
    session: String,
    version: &'static str,
}

impl<'a> Visitor<'a> {
    pub(crate) async fn new(kit: &'a Kit, version: &'static str) -> Self {
        let mut visitor = Self { kit, session: String::new(), version };
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": { "elicitation": {} }, "clientInfo": client });
        let response = visitor.post(&message(0, "initialize", params)).await;
        visitor.session = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        visitor
    }

    async fn send(&self, method: &str, headers: &[(&str, &str)], body: String) -> Response {
        let mut request = Request::builder().method(method).uri("/mcp");
        request = request.header("accept", "application/json, text/event-stream");
        if !self.session.is_empty() {
            request = request.header("mcp-session-id", &self.session).header("mcp-protocol-version", self.version);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let router =
            longshore_mcp::http::router(self.kit.server.clone()).layer(Extension(Grant::whole(Principal::owner())));
        router.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, body: &Value) -> Response {
        self.send("POST", &[], body.to_string()).await
    }

    async fn call(&self, name: &str, arguments: Value) -> Value {
        self.result(&message(1, "tools/call", json!({ "name": name, "arguments": arguments }))).await
    }

    async fn result(&self, request: &Value) -> Value {
        let body = self.post(request).await.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()["result"].take()
    }
}

pub(crate) fn message(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// A stream of events.
struct Events {
    headers: HeaderMap,
    body: Body,
    text: String,
}

impl Events {
    fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        Self { headers: parts.headers, body, text: String::new() }
    }

    /// Id and data of the next event; nothing at the end.
    async fn next(&mut self) -> Option<(String, String)> {
        while !self.text.contains("\n\n") {
            let frame = tokio::time::timeout(LIMIT, self.body.frame()).await.unwrap()?.unwrap();
            self.text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        assert!(event.lines().any(|line| line.starts_with("data: ")), "clients drop such an event: {event:?}");
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        let found = (field("id: "), field("data: "));
        self.text = rest.to_owned();
        Some(found)
    }

    async fn message(&mut self) -> (String, Value) {
        let (id, data) = self.next().await.unwrap();
        (id, serde_json::from_str(&data).unwrap())
    }
}

#[tokio::test]
async fn a_lost_stream_is_gone_on_with_and_gave_nothing_up() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-11-25").await;
    let gate = kit.gate();
    let line = format!("echo 40%; {}", gate.line());
    let mut call = message(2, "tools/call", json!({ "name": "run" }));
    call["params"]["arguments"] = json!({ "command": line, "shell": true, "cwd": kit.path() });
    call["params"]["_meta"] = json!({ "progressToken": 5 });
    let mut events = Events::of(visitor.post(&call).await);
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let (primed, data) = events.next().await.unwrap();
    assert_eq!((primed.contains(".0.j_"), data.as_str()), (true, ""));
    let (place, progress) = events.message().await;
    assert_eq!(progress["method"], "notifications/progress");
    drop(events);
    gate.open().await;
    let mut again = Events::of(visitor.send("GET", &[("last-event-id", &place)], String::new()).await);
    assert_eq!(again.next().await.unwrap().0, place);
    let mut last = again.message().await.1;
    while last["method"].is_string() {
        last = again.message().await.1;
    }
    assert_eq!(last["result"]["structuredContent"]["outcome"]["status"], "succeeded");
    assert!(again.next().await.is_none());
    let other = Visitor::new(&kit, "2025-11-25").await;
    for (visitor, place) in [(&other, place.as_str()), (&visitor, "a00.1"), (&visitor, "nonsense")] {
        let refused = visitor.send("GET", &[("last-event-id", place)], String::new()).await;
        assert_eq!(refused.status(), 400, "{place}");
    }
}

#[tokio::test]
async fn a_session_is_asked_and_told_on_its_streams() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-06-18").await;
    let mut jobs = vec![];
    for _ in 0..2 {
        jobs.push(job_of(&visitor.call("run", json!({ "command": ["false"], "cwd": kit.path() })).await));
    }
    let mut events = Events::of(visitor.post(&message(3, "prompts/get", json!({ "name": "explain" }))).await);
    let question = events.message().await.1;
    assert_eq!(question["method"], "elicitation/create");
    let content = json!({ "action": "accept", "content": { "job": jobs[0] } });
    let answer = json!({ "jsonrpc": "2.0", "id": question["id"], "result": content });
    let other = Visitor::new(&kit, "2025-06-18").await;
    assert_eq!(other.post(&answer).await.status(), 202, "of another session: ignored");
    assert_eq!(visitor.post(&answer).await.status(), 202);
    let (_, answered) = events.message().await;
    assert!(answered["result"].to_string().contains(&jobs[0]), "{answered}");

    let gate = kit.gate();
    let waiting = json!({ "command": gate.line(), "shell": true, "background": true, "cwd": kit.path() });
    let job = job_of(&visitor.call("run", waiting).await);
    kit.speaks(&job).await;
    let uri = format!("longshore://jobs/{job}");
    visitor.post(&message(4, "resources/subscribe", json!({ "uri": uri }))).await;
    let mut own = Events::of(visitor.send("GET", &[], String::new()).await);
    gate.open().await;
    let (_, told) = own.message().await;
    assert_eq!((&told["method"], &told["params"]["uri"]), (&json!("notifications/resources/updated"), &json!(uri)));
    visitor.call("run", json!({ "command": ["true"], "cwd": kit.path() })).await;
    while own.message().await.1["method"] != LIST_CHANGED {}
}

#[tokio::test]
async fn a_session_that_only_looks_at_a_task_is_asked_on_its_own_stream() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-11-25").await;
    let gate = kit.gate();
    let mut call = message(5, "tools/call", json!({ "name": "run", "task": {} }));
    call["params"]["arguments"] = json!({ "command": gate.line(), "shell": true, "cwd": kit.path() });
    let id = visitor.result(&call).await["task"]["taskId"].as_str().unwrap().to_owned();
    kit.runs(&id).await;
    beside::ask(&kit, &id, &["Which?"]).await;
    let look = message(6, "tasks/get", json!({ "taskId": id }));
    for _ in 0..3 {
        assert_eq!(visitor.result(&look).await["status"], "input_required", "there is no stream yet");
    }
    let mut own = Events::of(visitor.send("GET", &[], String::new()).await);
    own.next().await.unwrap();
    for _ in 0..2 {
        visitor.result(&look).await;
    }
    let question = own.message().await.1;
    assert_eq!(question["params"]["_meta"]["io.modelcontextprotocol/related-task"]["taskId"], json!(id));
    assert_eq!(visitor.post(&beside::accept(&question)).await.status(), 202);
    let told = own.message().await.1;
    assert_eq!(told["params"]["status"], "working");
    gate.open().await;
}

#[tokio::test]
async fn an_ended_session_is_unknown_and_its_streams_end() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-11-25").await;
    let mut own = Events::of(visitor.send("GET", &[], String::new()).await);
    own.next().await.unwrap();
    let modern = Visitor { kit: &kit, session: visitor.session.clone(), version: "2026-07-28" };
    for method in ["GET", "DELETE"] {
        assert_eq!(modern.send(method, &[], String::new()).await.status(), 405);
    }
    assert_eq!(visitor.send("DELETE", &[], String::new()).await.status(), 204);
    assert!(own.next().await.is_none());
    for method in ["DELETE", "GET", "POST"] {
        let gone = visitor.send(method, &[], message(1, "ping", json!({})).to_string()).await;
        assert_eq!(gone.status(), 404, "{method}");
    }
}

#[tokio::test]
async fn the_streams_of_one_callers_sessions_leave_room_for_others() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-11-25").await;
    let mut open = vec![];
    for _ in 0..128 {
        let session = Visitor::new(&kit, "2025-11-25").await;
        open.push(session.send("GET", &[], String::new()).await);
    }
    assert!(open.iter().all(|response| response.status() == 200));
    let refused = visitor.send("GET", &[], String::new()).await;
    assert_eq!(refused.status(), 429);
    let refused = refused.into_body().collect().await.unwrap().to_bytes();
    let refused: Value = serde_json::from_slice(&refused).unwrap();
    assert_eq!(refused["error"]["data"], json!({ "code": "rate_limited", "retryable": true }));
    assert_eq!(visitor.post(&message(1, "ping", json!({}))).await.status(), 200);
    drop(open.pop());
    let again = visitor.send("GET", &[], String::new()).await;
    assert_eq!(again.status(), 200, "one that was lost gives way");
    assert_eq!(visitor.send("GET", &[], String::new()).await.status(), 429);
}
