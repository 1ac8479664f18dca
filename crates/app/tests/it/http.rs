//! The HTTP interface as a program uses it.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::harness::Home;

fn submit(home: &Home, command: &[&str]) -> Value {
    let body = json!({ "command": command, "cwd": "/" }).to_string();
    home.ask("POST", "/api/v1/jobs", &body).json()
}

#[test]
fn a_job_from_submit_to_removal() {
    let home = Home::new();
    home.daemon();
    let body = json!({ "command": ["echo", "hello"], "cwd": "/", "env": { "A": "1" } }).to_string();
    let made = home.ask("POST", "/api/v1/jobs", &body);
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let waited = home.ask("GET", &format!("/api/v1/jobs/{id}/wait?timeout_s=30"), "").json();
    assert_eq!((&waited["timed_out"], &waited["outcome"]["status"]), (&false.into(), &"succeeded".into()));
    let output = home.ask("GET", &format!("/api/v1/jobs/{id}/output"), "");
    assert_eq!((output.status, output.body.as_slice()), (200, b"hello\n".as_slice()));
    assert_eq!(output.header("content-type"), Some("application/octet-stream"));
    assert_eq!((output.header("longshore-cursor"), output.header("longshore-from")), (Some("1.6"), Some("1.0")));
    assert_eq!((output.header("longshore-total"), output.header("longshore-omitted")), (Some("6"), Some("0")));
    assert_eq!((output.header("longshore-end"), output.header("longshore-state")), (Some("true"), Some("finished")));
    let pinned = home.ask("PUT", &format!("/api/v1/jobs/{id}/pin"), r#"{"pinned":true}"#).json();
    assert_eq!(pinned["pinned"], true);
    let unpinned = home.ask("PUT", &format!("/api/v1/jobs/{id}/pin"), r#"{"pinned":false}"#).json();
    assert_eq!(unpinned["pinned"], false);
    assert_eq!(home.ask("DELETE", &format!("/api/v1/jobs/{id}"), "").status, 200);
    assert_eq!(home.ask("GET", &format!("/api/v1/jobs/{id}"), "").status, 404);
}

#[test]
fn output_tells_when_and_from_which_stream_it_came() {
    let home = Home::new();
    home.daemon();
    let line = r"printf 'out\n'; printf '\377\n' >&2";
    let body = json!({ "command": [line], "shell": true, "cwd": "/", "split": true }).to_string();
    let id = home.ask("POST", "/api/v1/jobs", &body).json()["id"].as_str().unwrap().to_owned();
    home.ask("GET", &format!("/api/v1/jobs/{id}/wait?timeout_s=30"), "");
    let path = format!("/api/v1/jobs/{id}/output");
    let answer = home.ask("GET", &format!("{path}?labels=true"), "");
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!((answer.header("longshore-cursor"), answer.header("longshore-end")), (Some("1.6"), Some("true")));
    let lines = String::from_utf8(answer.body).unwrap();
    let mut stretches: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    stretches.sort_by_key(|stretch| stretch["stream"].as_str().unwrap().to_owned());
    let [err, out] = stretches.as_slice() else { panic!("{stretches:?}") };
    assert_eq!((&out["stream"], &out["text"], &out["base64"]), (&"stdout".into(), &"out\n".into(), &Value::Null));
    assert_eq!((&err["stream"], &err["text"], &err["base64"]), (&"stderr".into(), &Value::Null, &"/wo=".into()));
    let offsets = [&out["offset"], &err["offset"]].map(|offset| offset.as_u64().unwrap());
    assert!(offsets == [0, 4] || offsets == [2, 0], "the order of two pipes is not known: {offsets:?}");
    assert!(out["at"].as_str().unwrap().ends_with('Z'), "{out}");
    let plain = home.ask("GET", &format!("{path}?labels=false"), "");
    assert_eq!((plain.header("content-type"), plain.body.len()), (Some("application/octet-stream"), 6));
    assert_eq!(home.ask("GET", &format!("{path}?labels=maybe"), "").status, 400);
}

#[test]
fn a_job_has_exactly_these_fields() {
    let home = Home::new();
    home.daemon();
    let job = submit(&home, &["true"]);
    let number = job["number"].as_u64().unwrap();
    let shown = home.ask("GET", &format!("/api/v1/jobs/{number}"), "").json();
    let mut names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "after_left",
            "attempt",
            "conversation",
            "elapsed_ms",
            "estimate",
            "finished_at",
            "id",
            "kind",
            "name",
            "node",
            "not_before",
            "number",
            "outcome",
            "output_bytes",
            "output_expired",
            "pinned",
            "poll_after_ms",
            "position",
            "principal",
            "priority",
            "progress",
            "queue",
            "remaining_ms",
            "report",
            "requires",
            "retries_max",
            "retry_of",
            "silent_ms",
            "spec",
            "started_at",
            "state",
            "stop_reason",
            "submitted_at",
            "title"
        ]
    );
}

#[test]
fn a_key_in_the_header_makes_submitting_repeatable() {
    let home = Home::new();
    home.daemon();
    let token = format!("Bearer {}", home.token());
    let headers = [("authorization", token.as_str()), ("idempotency-key", "k")];
    let ask = |program: &str| {
        let body = json!({ "command": [program], "cwd": "/", "delay_ms": 1 }).to_string();
        home.ask_with("POST", "/api/v1/jobs", &headers, body.as_bytes())
    };
    let (first, second, third) = (ask("true"), ask("true"), ask("false"));
    assert_eq!((first.status, second.status, third.status), (201, 200, 409));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(third.code(), "idempotency_conflict");
}

#[test]
fn a_wait_that_runs_out_is_no_error() {
    let home = Home::new();
    home.daemon();
    let job = submit(&home, &["sleep", "600"]);
    let body = json!({ "jobs": [job["id"]], "timeout_s": 0.05 }).to_string();
    let waited = home.ask("POST", "/api/v1/wait", &body);
    assert_eq!((waited.status, &waited.json()["timed_out"]), (200, &true.into()));
    let id = job["id"].as_str().unwrap();
    let cancelled = home.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), "");
    assert_eq!(cancelled.status, 200);
    home.ask("GET", &format!("/api/v1/jobs/{id}/wait?timeout_s=30"), "");
    let again = home.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), r#"{"reason":"late"}"#);
    assert_eq!((again.status, again.code().as_str()), (409, "job_finished"));
    let retried = home.ask("POST", &format!("/api/v1/jobs/{id}/retry"), "");
    assert_eq!((retried.status, &retried.json()["retry_of"]), (201, &job["id"]));
}

#[test]
fn lists_are_paged_by_cursor() {
    let home = Home::new();
    home.daemon();
    for _ in 0..3 {
        submit(&home, &["true"]);
    }
    let page = home.ask("GET", "/api/v1/jobs?limit=2", "").json();
    assert_eq!((page["jobs"].as_array().unwrap().len(), &page["next"]), (2, &2.into()));
    let rest = home.ask("GET", "/api/v1/jobs?limit=2&cursor=2", "").json();
    assert_eq!((rest["jobs"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

/// Reads events until one of that kind; returns the ids on the way.
fn ids_until(home: &Home, query: &str, last: Option<u64>, kind: &str) -> Vec<u64> {
    let token = format!("Bearer {}", home.token());
    let last = last.map(|last| last.to_string());
    let mut headers = vec![("authorization", token.as_str())];
    if let Some(last) = &last {
        headers.push(("last-event-id", last));
    }
    let stream = home.open("GET", &format!("/api/v1/events{query}"), &headers, b"");
    let mut ids = vec![];
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(id) = line.strip_prefix("id: ") {
            ids.push(id.parse().unwrap());
        }
        if line.starts_with("data: ") && line.contains(&format!("\"kind\":\"{kind}\"")) {
            return ids;
        }
    }
    panic!("the stream ended without `{kind}`: {ids:?}");
}

#[test]
fn events_are_resumed_where_they_were_left() {
    let home = Home::new();
    home.daemon();
    let job = submit(&home, &["true"]);
    let all = ids_until(&home, "?after=0", None, "ended");
    assert!(all.len() >= 3 && all.is_sorted(), "{all:?}");
    let rest = ids_until(&home, "?after=0", Some(all[0]), "ended");
    assert_eq!(rest, all[1..], "the header wins");
    let of_one = ids_until(&home, &format!("?job={}&after=0", job["id"].as_str().unwrap()), None, "ended");
    assert_eq!(of_one, all);
}

#[test]
fn a_job_past_its_deadline_is_shown_as_stopping_by_every_door() {
    let home = Home::new();
    home.daemon();
    let body = json!({
        "command": ["trap '' TERM; exec sleep 1000"], "shell": true, "cwd": "/", "deadline_ms": 1_000, "grace_ms": 3_600_000,
    });
    let job = home.ask("POST", "/api/v1/jobs", &body.to_string()).json();
    ids_until(&home, "?after=0", None, "deadline_passed");
    let shown = home.ask("GET", &format!("/api/v1/jobs/{}", job["id"].as_str().unwrap()), "").json();
    assert_eq!((&shown["state"], &shown["stop_reason"]), (&"stopping".into(), &"deadline".into()));
    let token = format!("Bearer {}", home.token());
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let call = json!({ "name": "job_list", "arguments": { "all": true } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call }).to_string();
    let listed = home.ask_with("POST", "/mcp", &headers, body.as_bytes()).json();
    let text = listed["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("stopping (deadline) for"), "{text}");
    assert!(home.run(&["show", "1"]).ok().text().contains("\nreason        deadline\n"));
}

#[test]
fn health_says_nothing_of_jobs_and_needs_no_token() {
    let home = Home::new();
    home.daemon();
    submit(&home, &["true"]);
    let health = home.ask_with("GET", "/health", &[], b"");
    assert_eq!(health.status, 200);
    let body = health.json();
    let mut names: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["status", "store", "uptime_s", "version"]);
    let daemon = home.ask("GET", "/api/v1/daemon", "").json();
    assert_eq!(daemon["capacity"], 64);
    let gc = home.ask("POST", "/api/v1/gc", r#"{"dry_run":true}"#).json();
    assert_eq!((&gc["dry_run"], &gc["records"]), (&true.into(), &0.into()));
}

/// A body of known length leaves together with its head; that this is one write is a test of the protocol's crate.
#[test]
fn a_small_answer_of_mcp_comes_whole_through_every_guard() {
    let home = Home::new();
    home.daemon();
    let token = format!("Bearer {}", home.token());
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    let call = json!({ "name": "job_list", "arguments": {} });
    for (method, params) in [("ping", json!({})), ("tools/list", json!({})), ("tools/call", call)] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = home.ask_with("POST", "/mcp", &headers, body.as_bytes());
        assert_eq!((answer.status, &answer.json()["id"]), (200, &1.into()), "{method}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method}");
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()), "{method}");
        assert_eq!(answer.header("transfer-encoding"), None, "{method}");
    }
}
