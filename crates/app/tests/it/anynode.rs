//! Any request on any node, as clients of MCP see it over HTTP.

use std::io::Read;
use std::net::TcpStream;

use longshore_domain::job::{Event, NewQuestion, QuestionKind, QuestionSpec};
use longshore_domain::store::Store;
use longshore_domain::{AttemptNumber, QuestionId};
use longshore_engine::Clock;
use longshore_store::{PostgresOptions, PostgresStore};
use longshore_testkit::postgres::Server;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Home, pid_of, until_there};
use crate::nodes::{pair_on, pair_with};

/// A client that comes to any node with whatever a proxy lets through.
pub(crate) struct Client {
    token: String,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    pub(crate) fn new(token: String) -> Self {
        let headers =
            vec![("accept", "application/json, text/event-stream".into()), ("content-type", "application/json".into())];
        Self { token: format!("Bearer {token}"), headers }
    }

    /// One with a session, begun at that node.
    pub(crate) fn legacy(home: &Home, token: String) -> Self {
        Self::of_version("2025-11-25", home, token)
    }

    fn of_version(version: &str, home: &Home, token: String) -> Self {
        let mut client = Self::new(token);
        let capabilities = json!({ "elicitation": {} });
        let params = json!({ "protocolVersion": version, "capabilities": capabilities,
                             "clientInfo": { "name": "test", "version": "1" } });
        let mut stream = client.open(home, "POST", &[], &message("initialize", params).to_string());
        let text = read_until(&mut stream, |text| text.contains("\r\n\r\n"));
        let session = text.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
        client.headers.push(("mcp-session-id", session.to_owned()));
        client.headers.push(("mcp-protocol-version", version.into()));
        client
    }

    pub(crate) fn open(&self, home: &Home, method: &str, more: &[(&str, &str)], body: &str) -> TcpStream {
        let mut headers: Vec<(&str, &str)> = vec![("authorization", &self.token)];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        headers.extend(more);
        home.open(method, "/mcp", &headers, body.as_bytes())
    }

    fn status(&self, home: &Home, method: &str) -> u16 {
        let body = if method == "POST" { message("ping", json!({})).to_string() } else { String::new() };
        let text = read_until(&mut self.open(home, method, &[], &body), |text| text.contains("\r\n"));
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// What comes of a request, without its envelope.
    pub(crate) fn ask(&self, home: &Home, method: &str, params: Value) -> Value {
        let name = ["name", "uri", "taskId"].iter().find_map(|member| params[*member].as_str()).map(str::to_owned);
        let modern = params.get("_meta").is_some();
        let mut more = vec![];
        if modern {
            more = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
            more.extend(name.as_deref().map(|name| ("mcp-name", name)));
        }
        let message = message(method, params).to_string();
        let text = loop {
            let text = read_until(&mut self.open(home, "POST", &more, &message), |_| false);
            if !text.starts_with("HTTP/1.1 429") {
                break text;
            }
        };
        let body = text.lines().rev().find_map(|line| line.strip_prefix("data: {").map(|rest| format!("{{{rest}")));
        let body = body.unwrap_or_else(|| text.split_once("\r\n\r\n").unwrap().1.to_owned());
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Says something that is no request.
    fn says(&self, home: &Home, message: &Value) {
        let taken = read_until(&mut self.open(home, "POST", &[], &message.to_string()), |_| false);
        assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    }

    /// Answers what was asked on a stream.
    fn answers(&self, home: &Home, stream: &str, answer: Value) {
        let asked = stream.lines().find(|line| line.contains("elicitation/create")).unwrap();
        let asked: Value = serde_json::from_str(asked.strip_prefix("data: ").unwrap()).unwrap();
        self.says(home, &json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer }));
    }

    /// What comes of a modern request of a client that takes tasks and shows forms.
    fn modern(&self, home: &Home, method: &str, params: Value) -> Value {
        let extensions = json!({ "io.modelcontextprotocol/tasks": {} });
        self.able(home, method, params, json!({ "extensions": extensions, "elicitation": { "form": {} } }))
    }

    /// What comes of a modern request of a client that is able to do this.
    fn able(&self, home: &Home, method: &str, mut params: Value, capabilities: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities,
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        });
        self.ask(home, method, params)
    }
}

pub(crate) fn message(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// Whether a whole question has come.
fn is_asked(stream: &str) -> bool {
    stream.split_once("elicitation/create").is_some_and(|(_, rest)| rest.contains("\n\n"))
}

/// Reads until that is there, or the stream ends.
pub(crate) fn read_until(stream: &mut TcpStream, enough: impl Fn(&str) -> bool) -> String {
    let (mut text, mut bytes) = (String::new(), [0; 4096]);
    while !enough(&text) {
        match stream.read(&mut bytes).unwrap() {
            0 => break,
            count => text.push_str(&String::from_utf8_lossy(&bytes[..count])),
        }
    }
    text
}

fn run(line: &str) -> Value {
    json!({ "name": "run", "arguments": { "command": line, "shell": true, "cwd": "/" } })
}

/// Has the running job ask, as its own node would.
fn ask(url: &str, job: &str) {
    let (id, clock) = (job.parse().unwrap(), Clock::system());
    let spec = QuestionSpec {
        key: "k".into(),
        kind: QuestionKind::Text,
        prompt: "Which?".into(),
        schema: None,
        deadline: None,
    };
    let question = NewQuestion { id: QuestionId::new(clock.now(), 7), spec };
    let event = Event::Asked { token: AttemptNumber(1), questions: vec![question] };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = PostgresStore::open(PostgresOptions::new(url)).await.unwrap();
        store.record(id, event, None, clock.now()).await.0.unwrap();
        store.close().await;
    });
}

/// Looks until a task is as wanted.
fn look_until(look: impl Fn() -> Value, status: &str) -> Value {
    loop {
        let task = look();
        if task["status"] == status {
            return task;
        }
        assert!(!["completed", "failed", "cancelled"].contains(&task["status"].as_str().unwrap()), "{task}");
    }
}

#[test]
fn a_token_made_on_one_node_opens_all_of_them_until_it_is_revoked() {
    let (one, two) = pair_on(&Server::shared().database(), "30s");
    let made = one.run(&["token", "create", "ci", "--json"]).ok().json();
    let token = made["token"].as_str().unwrap();
    let bearer = format!("Bearer {token}");
    let status = |home: &Home| home.ask_with("GET", "/api/v1/jobs", &[("authorization", &bearer)], b"").status;
    assert_eq!((status(&one), status(&two)), (200, 200));
    assert!(!one.path("tokens.json").exists());
    assert_eq!(two.run(&["token", "create", "ci"]).code, 79, "the name is taken everywhere");
    while two.run(&["token", "list", "--json"]).ok().json()["last_used_at"].is_null() {}
    two.run(&["token", "revoke", "ci"]).ok();
    for home in [&one, &two] {
        while status(home) == 200 {
            std::thread::yield_now();
        }
        assert_eq!(status(home), 401);
    }
    assert_eq!(one.run(&["token", "list", "--json"]).ok().json()["standing"], "revoked");
    let local = one.token();
    let foreign = two.ask_with("GET", "/api/v1/jobs", &[("authorization", &format!("Bearer {local}"))], b"");
    assert_eq!(foreign.status, 401, "the local token opens its own home alone");
}

#[test]
fn a_task_of_one_node_is_polled_answered_and_cancelled_through_another() {
    let url = Server::shared().database();
    let (one, two) = pair_on(&url, "30s");
    let token = one.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::new(token);
    let handle = client.modern(&one, "tools/call", run("echo up; exec sleep 1000"));
    let id = handle["taskId"].as_str().unwrap_or_else(|| panic!("{handle}")).to_owned();
    assert_eq!(two.first_line(&id), "up\n");
    assert_eq!(client.modern(&two, "tasks/get", json!({ "taskId": id }))["status"], "working");
    ask(&url, &id);
    let look = |home: &Home| client.modern(home, "tasks/get", json!({ "taskId": id }));
    let asks = look_until(|| look(&one), "input_required");
    assert_eq!(look(&two)["inputRequests"], asks["inputRequests"]);
    let question = asks["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let answer = json!({ question: { "action": "accept", "content": { "value": "this" } } });
    client.modern(&two, "tasks/update", json!({ "taskId": id, "inputResponses": answer }));
    look_until(|| look(&one), "working");
    client.modern(&two, "tasks/cancel", json!({ "taskId": id }));
    look_until(|| look(&one), "cancelled");
}

#[test]
fn a_legacy_task_of_one_node_is_polled_answered_and_cancelled_through_another() {
    let url = Server::shared().database();
    let (one, two) = pair_on(&url, "30s");
    let token = one.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::legacy(&one, token);
    let mut call = run("echo up; exec sleep 1000");
    call["task"] = json!({});
    let id = client.ask(&one, "tools/call", call)["task"]["taskId"].as_str().unwrap().to_owned();
    assert_eq!(two.first_line(&id), "up\n");
    let look = |home: &Home| client.ask(home, "tasks/get", json!({ "taskId": id }));
    assert_eq!(look(&two)["status"], "working");
    ask(&url, &id);
    look_until(|| look(&one), "input_required");
    let waits = message("tasks/result", json!({ "taskId": id })).to_string();
    let mut result = client.open(&two, "POST", &[], &waits);
    let text = read_until(&mut result, is_asked);
    client.answers(&one, &text, json!({ "action": "accept", "content": { "value": "this" } }));
    look_until(|| look(&one), "working");
    client.ask(&two, "tasks/cancel", json!({ "taskId": id }));
    look_until(|| look(&one), "cancelled");
    assert!(read_until(&mut result, |_| false).contains("cancelled"));
}

#[test]
fn a_call_held_by_one_node_ends_with_what_another_stores() {
    let (runs, other) = pair_on(&Server::shared().database(), "30s");
    let token = runs.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::legacy(&runs, token);
    let go = runs.scratch("go");
    let mut held = client.open(&other, "POST", &[], &message("tools/call", run(&until_there(&go))).to_string());
    // It was begun when the stream of its answer is.
    let begun = read_until(&mut held, |text| text.contains("id: "));
    std::fs::write(&go, "").unwrap();
    let text = begun + &read_until(&mut held, |_| false);
    assert!(text.contains("\"exit_code\":7"), "{text}");
}

#[test]
fn what_one_node_asks_within_a_call_is_gone_on_with_on_another() {
    let (one, two) = pair_on(&Server::shared().database(), "30s");
    let token = one.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::new(token);
    let job = |home: &Home| client.modern(home, "tools/call", run("exit 3"))["structuredContent"]["job"].take();
    let jobs = [job(&one), job(&two)];
    let mut prompt = json!({ "name": "explain" });
    let asked = client.modern(&one, "prompts/get", prompt.clone());
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = asked["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    prompt["requestState"] = asked["requestState"].clone();
    prompt["inputResponses"] = json!({ question: { "action": "accept", "content": { "job": jobs[0] } } });
    let explained = client.modern(&two, "prompts/get", prompt);
    assert!(explained["messages"].to_string().contains(jobs[0].as_str().unwrap()), "{explained}");
}

#[test]
fn what_a_session_asked_for_and_its_end_hold_on_every_node() {
    let (runs, other) = pair_on(&Server::shared().database(), "30s");
    let token = runs.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::legacy(&other, token);
    assert_eq!(client.status(&runs, "POST"), 200);
    let go = runs.scratch("go");
    let mut call = run(&until_there(&go));
    call["arguments"]["background"] = json!(true);
    let job = client.ask(&other, "tools/call", call)["structuredContent"]["job"].as_str().unwrap().to_owned();
    let mut early = client.open(&runs, "GET", &[], "");
    read_until(&mut early, |text| text.contains("id: "));
    let uri = format!("longshore://jobs/{job}");
    client.ask(&other, "resources/subscribe", json!({ "uri": uri }));
    client.ask(&other, "logging/setLevel", json!({ "level": "info" }));
    // The daemon that it spoke to vanishes, and knows nothing of it when it is back.
    kill_process(pid_of(&other.daemon()), Signal::KILL).unwrap();
    other.daemon();
    let mut late = client.open(&other, "GET", &[], "");
    read_until(&mut late, |text| text.contains("id: "));
    std::fs::write(&go, "").unwrap();
    let told = read_until(&mut late, |text| text.contains("notifications/message"));
    assert!(told.contains(&job), "{told}");
    client.ask(&other, "resources/unsubscribe", json!({ "uri": uri }));
    assert_eq!(client.status(&other, "DELETE"), 204);
    for home in [&runs, &other] {
        while client.status(home, "POST") == 200 {
            std::thread::yield_now();
        }
        assert_eq!(client.status(home, "POST"), 404);
    }
    // The other node ends the stream that it still had.
    read_until(&mut early, |_| false);
}

#[test]
fn the_stream_of_a_call_is_gone_on_with_on_another_node() {
    let (runs, other) = pair_on(&Server::shared().database(), "30s");
    let token = runs.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::legacy(&runs, token);
    let go = runs.scratch("go");
    let mut held = client.open(&other, "POST", &[], &message("tools/call", run(&until_there(&go))).to_string());
    let begun = read_until(&mut held, |text| text.split_once("id: ").is_some_and(|(_, rest)| rest.contains('\n')));
    drop(held);
    kill_process(pid_of(&other.daemon()), Signal::KILL).unwrap();
    let place = begun.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let mut again = client.open(&runs, "GET", &[("last-event-id", place)], "");
    let mut text = read_until(&mut again, |text| text.contains("id: "));
    std::fs::write(&go, "").unwrap();
    text += &read_until(&mut again, |_| false);
    let answer = text.lines().rev().find_map(|line| line.strip_prefix("data: ").filter(|data| !data.is_empty()));
    let answer: Value = serde_json::from_str(answer.unwrap()).unwrap();
    assert_eq!(answer["id"], 1, "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["outcome"]["exit_code"], 7, "{answer}");
    assert_eq!(runs.run(&["ls", "--json"]).ok().text().lines().count(), 1, "nothing was run again");
}

#[test]
fn a_call_that_comes_back_leg_by_leg_may_come_to_any_node() {
    let (one, two) = pair_with(&Server::shared().database(), "30s", "call_budget = \"1s\"");
    let token = one.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::new(token);
    let go = one.scratch("go");
    let call = |home: &Home, state: &Value| {
        let mut params = run(&until_there(&go));
        if !state.is_null() {
            params["requestState"] = state.clone();
        }
        client.able(home, "tools/call", params, json!({}))
    };
    let first = call(&one, &Value::Null);
    assert_eq!(first["resultType"], "input_required", "{first}");
    let second = call(&two, &first["requestState"]);
    assert_eq!(second["resultType"], "input_required", "{second}");
    kill_process(pid_of(&two.daemon()), Signal::KILL).unwrap();
    std::fs::write(&go, "").unwrap();
    let mut last = call(&one, &second["requestState"]);
    while last["resultType"] == "input_required" {
        last = call(&two, &last["requestState"]);
    }
    assert_eq!(last["structuredContent"]["outcome"]["exit_code"], 7, "{last}");
    assert_eq!(one.run(&["ls", "--json"]).ok().text().lines().count(), 1, "nothing was run again");
}

#[test]
fn what_a_request_on_one_node_asks_is_answered_through_another() {
    let (one, two) = pair_on(&Server::shared().database(), "30s");
    let token = one.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let client = Client::legacy(&one, token);
    let mut jobs = vec![];
    for code in [3, 4] {
        let job = client.ask(&one, "tools/call", run(&format!("exit {code}")))["structuredContent"]["job"].take();
        jobs.push(job.as_str().unwrap().to_owned());
    }
    for (asker, other) in [(&one, &two), (&two, &one)] {
        let prompt = message("prompts/get", json!({ "name": "explain" })).to_string();
        let mut stream = client.open(asker, "POST", &[], &prompt);
        let asked = read_until(&mut stream, is_asked);
        client.answers(other, &asked, json!({ "action": "accept", "content": { "job": jobs[0] } }));
        let explained = read_until(&mut stream, |_| false);
        assert!(explained.contains("\"messages\"") && explained.contains(&jobs[0]), "{explained}");
        // Nobody waits for it any more.
        client.answers(other, &asked, json!({ "action": "decline" }));
    }
}

#[test]
fn a_request_of_one_node_is_given_up_through_another() {
    let (runs, other) = pair_on(&Server::shared().database(), "30s");
    let token = runs.run(&["token", "create", "agent", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let cancelled = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    for (version, said) in [("2025-11-25", cancelled.clone()), ("2025-03-26", json!([cancelled]))] {
        let client = Client::of_version(version, &runs, token.clone());
        let mut held = client.open(&other, "POST", &[], &message("tools/call", run("exec sleep 1000")).to_string());
        read_until(&mut held, |text| text.contains("text/event-stream"));
        client.says(&runs, &said);
        let rest = read_until(&mut held, |_| false);
        assert!(!rest.contains("\"result\"") && !rest.contains("\"error\""), "{version}: {rest}");
        // There is no such request any more, here or there.
        client.says(&runs, &said);
    }
}
