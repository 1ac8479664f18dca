//! The bridge as a client starts it, while daemons come and go.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Home, pid_of, until_there};

/// A client with its bridge.
struct Client {
    bridge: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next_id: u64,
}

impl Client {
    /// Starts a bridge and shakes hands.
    fn start(home: &Home) -> Self {
        let mut command = home.command(&["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bridge = command.spawn().unwrap();
        let (stdin, stdout) = (bridge.stdin.take(), BufReader::new(bridge.stdout.take().unwrap()));
        let mut client = Self { bridge, stdin, stdout, next_id: 1 };
        let who = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who });
        let answer = client.request("initialize", params);
        assert_eq!(answer["result"]["serverInfo"]["name"], "longshore", "{answer}");
        client
    }

    fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
        id
    }

    /// The next line; anything but protocol on standard output is a failure.
    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        let answer = self.hear();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn ask_tool(&mut self, name: &str, arguments: Value) -> u64 {
        self.ask("tools/call", json!({ "name": name, "arguments": arguments }))
    }

    /// Asks `count` times for the end of a job; returns the ids once all are held.
    fn hold(&mut self, job: &str, count: usize) -> Vec<u64> {
        let ids = (0..count).map(|_| self.ask_tool("job_wait", json!({ "jobs": [job], "wait_s": 40 }))).collect();
        // Requests are begun in their order.
        self.request("ping", json!({}));
        ids
    }

    fn end(mut self) {
        drop(self.stdin.take());
        assert!(self.bridge.wait().unwrap().success());
    }
}

/// How many daemons have become ready in this home.
fn starts(home: &Home) -> usize {
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    log.lines().filter(|line| line.contains(" ready ")).count()
}

#[test]
fn the_bridge_answers_and_ends_with_its_input() {
    let home = Home::new();
    let mut client = Client::start(&home);
    assert_eq!(client.request("ping", json!({}))["result"], json!({}));
    client.end();
}

#[test]
fn down_answers_held_calls_and_is_undone_by_the_next_request_only() {
    let home = Home::new();
    let go = home.scratch("go");
    let job = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&job), "up\n");
    let (mut one, mut two) = (Client::start(&home), Client::start(&home));
    let mut held = one.hold(&job, 5);
    let other = two.hold(&job, 1);
    home.run(&["down"]).ok();
    assert!(!home.path("daemon.json").exists());
    for _ in 0..held.len() {
        let answer = one.hear();
        held.retain(|id| answer["id"] != *id);
        let told = &answer["result"]["structuredContent"];
        assert_eq!(told["jobs"][0]["state"], "running", "{answer}");
        assert!(told["next"].as_str().unwrap().contains("the Longshore daemon is being stopped"), "{answer}");
    }
    assert_eq!(held, Vec::<u64>::new());
    assert_eq!(two.hear()["id"], other[0]);
    two.end();
    assert_eq!(starts(&home), 1, "nobody asked for another daemon");

    std::fs::write(&go, "").unwrap();
    let waited = one.ask_tool("job_wait", json!({ "jobs": [job] }));
    let answer = one.hear();
    assert_eq!(answer["id"], waited);
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["outcome"]["exit_code"], 7, "{answer}");
    assert_eq!(starts(&home), 2);
    one.end();
}

#[test]
fn a_killed_daemon_is_replaced_while_a_call_is_held() {
    let home = Home::new();
    let go = home.scratch("go");
    let job = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    let mut client = Client::start(&home);
    let held = client.hold(&job, 1);
    kill_process(pid_of(&home.daemon()), Signal::KILL).unwrap();
    std::fs::write(&go, "").unwrap();
    let answer = client.hear();
    assert_eq!(answer["id"], held[0]);
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["outcome"]["exit_code"], 7, "{answer}");
    client.end();
}
