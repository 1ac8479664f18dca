//! Nothing is told any more once the token of whoever asked has ended.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::anynode::{Client, message, read_until};
use crate::harness::{Home, until_there};

fn new_token(home: &Home) -> String {
    home.run(&["token", "create", "--json", "a"]).ok().json()["token"].as_str().unwrap().to_owned()
}

fn revoke(home: &Home) {
    home.run(&["token", "revoke", "a"]).ok();
}

/// A running job of the token's holder that ends once it is let go.
struct Gated {
    id: String,
    gate: String,
}

impl Gated {
    fn new(home: &Home, token: &str, name: &str) -> Self {
        let gate = home.scratch(name);
        let spec = json!({ "command": ["sh", "-c", until_there(&gate)], "cwd": "/" }).to_string();
        let bearer = format!("Bearer {token}");
        let job = home.ask_with("POST", "/api/v1/jobs", &[("authorization", &bearer)], spec.as_bytes()).json();
        let id = job["id"].as_str().unwrap().to_owned();
        assert_eq!(home.first_line(&id), "up\n");
        Self { id, gate }
    }

    /// A wait of at most that long for its end, as the token's holder.
    fn wait(&self, home: &Home, token: &str, seconds: u32) -> TcpStream {
        let path = format!("/api/v1/jobs/{}/wait?timeout_s={seconds}", self.id);
        home.open("GET", &path, &[("authorization", &format!("Bearer {token}"))], b"")
    }

    fn uri(&self) -> String {
        format!("longshore://jobs/{}", self.id)
    }

    fn let_go(&self, home: &Home) {
        std::fs::write(&self.gate, "").unwrap();
        home.finished(&self.id);
    }
}

fn listen(home: &Home, client: &Client, uris: &[String]) -> TcpStream {
    let mut params = json!({ "notifications": { "resourceSubscriptions": uris } });
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let more = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
    let listen: Value = message("subscriptions/listen", params);
    let mut stream = client.open(home, "POST", &more, &listen.to_string());
    let begun = read_until(&mut stream, |text| text.contains("acknowledged"));
    assert!(begun.contains("acknowledged"), "{begun}");
    stream
}

/// Sees that the stream tells of the first job, and of the second, which ends after the token, nothing.
fn check(home: &Home, mut stream: TcpStream, jobs: &[Gated; 2]) {
    let [first, second] = jobs;
    first.let_go(home);
    let told = read_until(&mut stream, |text| text.contains(&first.id));
    assert!(told.contains(&first.id), "{told}");
    revoke(home);
    second.let_go(home);
    let told = read_until(&mut stream, |text| text.contains(&second.id));
    assert!(!told.contains(&second.id), "{told}");
}

#[test]
fn what_is_listened_to_ends_with_the_token() {
    let home = Home::new();
    let token = new_token(&home);
    let jobs = ["1", "2"].map(|name| Gated::new(&home, &token, name));
    let stream = listen(&home, &Client::new(token), &jobs.each_ref().map(Gated::uri));
    check(&home, stream, &jobs);
}

#[test]
fn the_stream_of_a_session_ends_with_the_token() {
    let home = Home::new();
    let token = new_token(&home);
    let jobs = ["1", "2"].map(|name| Gated::new(&home, &token, name));
    let client = Client::legacy(&home, token);
    for job in &jobs {
        client.ask(&home, "resources/subscribe", json!({ "uri": job.uri() }));
    }
    let mut stream = client.open(&home, "GET", &[], "");
    let begun = read_until(&mut stream, |text| text.contains("retry: "));
    assert!(begun.contains("retry: "), "{begun}");
    check(&home, stream, &jobs);
}

#[test]
fn an_answer_that_is_waited_for_is_not_given_after_the_token() {
    let home = Home::new();
    let token = new_token(&home);
    let job = Gated::new(&home, &token, "1");
    let client = Client::legacy(&home, token);
    let waits = message("tasks/result", json!({ "taskId": job.id })).to_string();
    let mut stream = client.open(&home, "POST", &[], &waits);
    // It has become a stream by then.
    let begun = read_until(&mut stream, |text| text.contains("retry: "));
    assert!(begun.contains("retry: "), "{begun}");
    revoke(&home);
    job.let_go(&home);
    let told = read_until(&mut stream, |text| text.contains("result"));
    assert!(!told.contains("result"), "{told}");
}

#[test]
fn what_is_waited_for_is_not_told_after_the_token() {
    let home = Home::new();
    let token = new_token(&home);
    let job = Gated::new(&home, &token, "1");
    let mut waits = job.wait(&home, &token, 60);
    // Only what took long is looked at again.
    let meanwhile = read_until(&mut job.wait(&home, &home.token(), 2), |_| false);
    assert!(meanwhile.contains("\"timed_out\":true"), "{meanwhile}");
    revoke(&home);
    job.let_go(&home);
    let told = read_until(&mut waits, |_| false);
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    assert!(told.contains("www-authenticate: ") && told.contains("what was begun goes on"), "{told}");
    assert!(!told.contains("succeeded"), "{told}");
}
