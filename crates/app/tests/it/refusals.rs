//! Whatever comes over HTTP that should not: each gets a fault in the one shape, and harms nothing.

use serde_json::json;

use crate::harness::{Answer, Home};

fn assert_fault(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let body = answer.json();
    assert!(body["message"].is_string() && body["retryable"].is_boolean(), "{body}");
}

#[test]
fn bad_bodies_and_parameters_name_the_place() {
    let home = Home::new();
    home.daemon();
    for (method, path, body, word) in [
        ("POST", "/api/v1/jobs", "{\"command\": [", "line 1"),
        ("POST", "/api/v1/jobs", "[] []", "form"),
        ("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/","priority":"high"}"#, "priority"),
        ("POST", "/api/v1/jobs", r#"{"command":["true",5],"cwd":"/"}"#, "command[1]"),
        ("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/","colour":1}"#, "colour"),
        ("POST", "/api/v1/jobs", r#"{"command":["true"]}"#, "cwd"),
        ("POST", "/api/v1/jobs", "", "command"),
        ("POST", "/api/v1/jobs", r#"{"command":[],"cwd":"/"}"#, "command"),
        ("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"here"}"#, "cwd"),
        ("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/","not_before":"tomorrow"}"#, "RFC 3339"),
        ("GET", "/api/v1/jobs?limit=none", "", "limit"),
        ("GET", "/api/v1/jobs?limit=0", "", "limit"),
        ("GET", "/api/v1/jobs?colour=red", "", "colour"),
        ("GET", "/api/v1/jobs?state=sleeping", "", "state"),
        ("GET", "/api/v1/events?after=x", "", "after"),
        ("POST", "/api/v1/wait", r#"{"jobs":[]}"#, "jobs"),
        ("POST", "/api/v1/wait", r#"{"jobs":["1"],"timeout_s":1e9}"#, "timeout_s"),
    ] {
        let answer = home.ask(method, path, body);
        assert_fault(&answer, 400, "invalid_argument");
        assert!(String::from_utf8_lossy(&answer.body).contains(word), "{path} {body}: {answer:?}");
    }
    assert_eq!(home.run(&["ls", "--json"]).ok().text(), "", "no job was made");
}

#[test]
fn what_is_not_there_is_404_and_405() {
    let home = Home::new();
    home.daemon();
    assert_fault(&home.ask("GET", "/api/v1/jobs/j_nothing", ""), 404, "job_not_found");
    assert_fault(&home.ask("GET", "/api/v1/jobs/1/output", ""), 404, "job_not_found");
    assert_fault(&home.ask("GET", "/nowhere", ""), 404, "not_found");
    assert_fault(&home.ask("PATCH", "/api/v1/jobs", ""), 405, "not_found");
}

#[test]
fn a_body_beyond_the_limit_is_refused_and_heard() {
    let home = Home::new();
    home.daemon();
    let token = format!("Bearer {}", home.token());
    let body = vec![b'x'; 10 * 1024 * 1024];
    let answer = home.ask_with("POST", "/api/v1/jobs", &[("authorization", &token)], &body);
    assert_fault(&answer, 413, "too_large");
    assert_eq!(home.ask("GET", "/health", "").status, 200);
}

#[test]
fn tokens_are_needed_and_must_be_right() {
    let home = Home::new();
    home.daemon();
    for headers in [vec![], vec![("authorization", "Bearer wrong")], vec![("authorization", "Basic eA==")]] {
        let answer = home.ask_with("GET", "/api/v1/jobs", &headers, b"");
        assert_fault(&answer, 401, "unauthorized");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&home.token()));
    }
    assert_eq!(home.ask_with("POST", "/mcp", &[], b"{}").status, 401);
}

#[test]
fn foreign_pages_and_names_are_refused() {
    let home = Home::new();
    let daemon = home.daemon();
    let listen = daemon["listen"].as_str().unwrap();
    let token = format!("Bearer {}", home.token());
    let ask = |name: &str, value: &str| {
        home.ask_with("GET", "/api/v1/jobs", &[("authorization", token.as_str()), (name, value)], b"")
    };
    assert_fault(&ask("origin", "https://evil.example"), 403, "forbidden");
    assert_fault(&ask("origin", "null"), 403, "forbidden");
    assert_fault(&ask("origin", "http://127.0.0.1:1"), 403, "forbidden");
    assert_fault(&ask("host", "evil.example"), 403, "forbidden");
    assert_fault(&ask("host", "127.0.0.1.evil.example:80"), 403, "forbidden");
    assert_eq!(ask("origin", &format!("http://{listen}")).status, 200);
    assert_eq!(ask("host", "localhost").status, 200);
}

#[test]
fn an_agent_sees_nothing_of_others() {
    let home = Home::new();
    let owners = home.submit(&["--", "true"]);
    let token = home.run(&["token", "create", "codex", "--json"]).ok().json()["token"].as_str().unwrap().to_owned();
    let token = format!("Bearer {token}");
    let ask = |method: &str, path: &str, body: &str| {
        home.ask_with(method, path, &[("authorization", token.as_str())], body.as_bytes())
    };
    for (method, tail) in
        [("GET", ""), ("GET", "/output"), ("GET", "/wait"), ("POST", "/cancel"), ("POST", "/retry"), ("DELETE", "")]
    {
        let foreign = ask(method, &format!("/api/v1/jobs/{owners}{tail}"), "");
        let unknown_id = owners.replace(&owners[30..], &"0".repeat(owners.len() - 30));
        let unknown = ask(method, &format!("/api/v1/jobs/{unknown_id}{tail}"), "");
        assert_fault(&foreign, 404, "job_not_found");
        let body = |answer: &Answer, id: &str| String::from_utf8_lossy(&answer.body).replace(id, "ID");
        assert_eq!(body(&foreign, &owners), body(&unknown, &unknown_id));
    }
    assert_fault(&ask("GET", "/api/v1/jobs/1", ""), 404, "job_not_found");
    assert_fault(&ask("GET", "/api/v1/events", ""), 403, "forbidden");
    assert_fault(&ask("GET", "/api/v1/daemon", ""), 403, "forbidden");
    assert_fault(&ask("POST", "/api/v1/gc", ""), 403, "forbidden");
    assert_eq!(ask("GET", "/api/v1/jobs", "").json()["jobs"], json!([]));
    let own = ask("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/"}"#).json();
    assert_eq!(own["principal"], json!({ "class": "agent", "name": "codex" }));
    assert_eq!(ask("GET", "/api/v1/jobs", "").json()["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_revoked_or_expired_token_opens_nothing() {
    let home = Home::new();
    home.daemon();
    let make = |args: &[&str]| {
        let all: Vec<&str> = ["token", "create", "--json"].iter().chain(args).copied().collect();
        format!("Bearer {}", home.run(&all).ok().json()["token"].as_str().unwrap())
    };
    let status = |token: &str| home.ask_with("GET", "/api/v1/jobs", &[("authorization", token)], b"").status;
    let (kept, expired) = (make(&["a"]), make(&["b", "--expires", "1ms"]));
    while status(&expired) == 200 {}
    assert_eq!((status(&kept), status(&expired)), (200, 401));
    assert_eq!(home.run(&["token", "create", "a"]).code, 79);
    home.run(&["token", "revoke", "a"]).ok();
    assert_eq!(status(&kept), 401);
    assert_eq!(home.run(&["token", "revoke", "a"]).code, 66);
    let list = home.run(&["token", "list", "--json"]).ok().text();
    assert!(list.contains("\"revoked\"") && list.contains("\"expired\"") && !list.contains("sha256"), "{list}");
}

#[test]
fn cursors_that_lead_nowhere_are_refused() {
    let home = Home::new();
    let id = home.submit(&["--", "echo", "x"]);
    home.run(&["wait", &id]).ok();
    for cursor in ["1.99", "9.0", "x", "1"] {
        let answer = home.ask("GET", &format!("/api/v1/jobs/{id}/output?cursor={cursor}"), "");
        assert_fault(&answer, 400, "stale_cursor");
    }
    let both = home.ask("GET", &format!("/api/v1/jobs/{id}/output?cursor=1.0&tail_lines=1"), "");
    assert_fault(&both, 400, "invalid_argument");
}
