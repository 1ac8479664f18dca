//! The bridge as a client starts it, while daemons come and go.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

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
    /// Starts a bridge and says nothing yet.
    fn silent(home: &Home) -> Self {
        Self::by(home.command(&["mcp"]))
    }

    fn by(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut bridge = command.spawn().unwrap();
        let (stdin, stdout) = (bridge.stdin.take(), BufReader::new(bridge.stdout.take().unwrap()));
        Self { bridge, stdin, stdout, next_id: 1 }
    }

    /// Starts a bridge and shakes hands.
    fn start(home: &Home) -> Self {
        Self::start_at(home, "2025-06-18")
    }

    fn start_at(home: &Home, version: &str) -> Self {
        let mut client = Self::silent(home);
        client.shake_hands(version);
        client
    }

    /// One of a chat of its own.
    fn of_chat(home: &Home, chat: &str) -> Self {
        let mut command = home.command(&["mcp"]);
        command.env("LONGSHORE_CONVERSATION", chat);
        let mut client = Self::by(command);
        client.shake_hands("2025-06-18");
        client
    }

    fn shake_hands(&mut self, version: &str) {
        let who = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": who });
        let answer = self.request("initialize", params);
        assert_eq!(answer["result"]["serverInfo"]["name"], "longshore", "{answer}");
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        id
    }

    /// The next line; anything but protocol on standard output is a failure.
    /// The next message, past what tells of the list of resources.
    fn hear(&mut self) -> Value {
        loop {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            let heard: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
            if heard["method"] != "notifications/resources/list_changed" {
                return heard;
            }
        }
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

    /// What a tool that succeeds answers.
    fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.request("tools/call", json!({ "name": name, "arguments": arguments }));
        assert_eq!(answer["result"]["isError"], false, "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// All that a job prints, read piece by piece while it runs.
    fn follow(&mut self, job: &Value) -> String {
        let (mut printed, mut cursor) = (String::new(), json!("1.0"));
        loop {
            let read = self.tool("job_read", json!({ "job": job, "cursor": cursor, "wait_s": 20 }));
            let piece = read["output"].as_str().unwrap_or_default();
            assert_eq!(read.get("omitted").and_then(|omitted| omitted.get("bytes_before")), None, "{read}");
            if piece.is_empty() && read["state"] == "finished" {
                return printed;
            }
            printed += piece;
            cursor = read["cursor"].clone();
        }
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
fn a_call_that_is_too_long_is_answered_under_its_own_id_and_changes_nothing() {
    let home = Home::new();
    let mut client = Client::start(&home);
    let arguments = json!({ "command": ["echo", "x".repeat(10 << 20)], "cwd": "/" });
    let params = json!({ "name": "run", "arguments": arguments });
    // The id stands last, as some clients write it, or first.
    let last = format!(r#"{{"method":"tools/call","params":{params},"jsonrpc":"2.0","id":"last"}}"#);
    let first = format!(r#"{{"id":"first","jsonrpc":"2.0","method":"tools/call","params":{params}}}"#);
    for (id, line) in [("last", last), ("first", first)] {
        writeln!(client.stdin.as_mut().unwrap(), "{line}").unwrap();
        let answer = client.hear();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32600)), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("write large input to a file"), "{answer}");
        assert_eq!(client.request("ping", json!({}))["result"], json!({}));
    }
    let listed = client.request("tools/call", json!({ "name": "job_list", "arguments": {} }));
    assert_eq!(listed["result"]["structuredContent"]["jobs"], json!([]), "{listed}");
    client.end();
}

#[test]
fn two_clients_of_two_chats_read_what_their_own_jobs_print_and_nothing_else() {
    let home = Home::new();
    home.daemon();
    let talk = |chat: &'static str| {
        let mut client = Client::of_chat(&home, chat);
        let line = |job: usize| format!("for i in $(seq 400); do echo {chat} {job} $i; done");
        let begin = |job| json!({ "command": [line(job)], "shell": true, "cwd": "/", "background": true });
        let jobs: Vec<Value> = (0..3).map(|job| client.tool("run", begin(job))["job"].clone()).collect();
        for (job, id) in jobs.iter().enumerate() {
            let expected: String = (1..=400).map(|i| format!("{chat} {job} {i}\n")).collect();
            assert_eq!(client.follow(id), expected);
        }
        let listed = client.tool("job_list", json!({}));
        let listed: Vec<&Value> = listed["jobs"].as_array().unwrap().iter().map(|job| &job["job"]).collect();
        assert!(listed.len() == 3 && jobs.iter().all(|job| listed.contains(&job)), "{listed:?}");
        client.end();
    };
    std::thread::scope(|scope| {
        let others = scope.spawn(|| talk("one"));
        talk("other");
        others.join().unwrap();
    });
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
    kill(&home);
    std::fs::write(&go, "").unwrap();
    let answer = client.hear();
    assert_eq!(answer["id"], held[0]);
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["outcome"]["exit_code"], 7, "{answer}");
    client.end();
}

fn kill(home: &Home) {
    kill_process(pid_of(&home.daemon()), Signal::KILL).unwrap();
}

#[test]
fn a_subscription_goes_on_when_the_daemon_is_killed() {
    let home = Home::new();
    let go = home.scratch("go");
    let job = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&job), "up\n");
    let mut client = Client::start(&home);
    let uri = format!("longshore://jobs/{job}");
    client.request("resources/subscribe", json!({ "uri": uri }));
    kill(&home);
    // The client asks for nothing, and another daemon is there: the job may have changed meanwhile.
    let updated = json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    assert_eq!(client.hear(), updated);
    assert_eq!(starts(&home), 2);
    std::fs::write(&go, "").unwrap();
    // Whoever reads at every update sees the end.
    let (mut text, mut told) = (String::new(), false);
    while !text.contains("finished") {
        if !told {
            assert_eq!(client.hear(), updated);
        }
        let read = client.ask("resources/read", json!({ "uri": uri }));
        let mut answer = client.hear();
        told = answer == updated;
        while answer == updated {
            answer = client.hear();
        }
        assert_eq!(answer["id"], read);
        text = answer["result"]["contents"][0]["text"].as_str().unwrap().to_owned();
    }
    client.end();
}

fn declaring() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": { "extensions": { "io.modelcontextprotocol/tasks": {} } },
    })
}

#[test]
fn a_listen_goes_on_when_the_daemon_is_killed_and_ends_when_it_is_stopped() {
    let home = Home::new();
    let go = home.scratch("go");
    let job = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&job), "up\n");
    // What a command prints is there before its start is stored.
    while home.run(&["show", "--json", &job]).ok().json()["state"] != "running" {}
    let mut client = Client::silent(&home);
    let uri = format!("longshore://jobs/{job}");
    let filter = json!({ "taskIds": [job], "resourceSubscriptions": [uri] });
    let id = client.ask("subscriptions/listen", json!({ "notifications": filter, "_meta": declaring() }));
    let subscription = json!({ "io.modelcontextprotocol/subscriptionId": id });
    let acknowledged = client.hear();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], filter);
    let snapshot = client.hear();
    assert_eq!(
        (&snapshot["method"], &snapshot["params"]["status"]),
        (&json!("notifications/tasks"), &json!("working"))
    );
    kill(&home);
    // No second acknowledgement: what may have changed, and the task as it stands.
    let updated = client.hear();
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"], json!({ "_meta": subscription, "uri": uri }));
    let mut again = client.hear();
    // The hints go by the clock.
    again["params"]["pollIntervalMs"] = snapshot["params"]["pollIntervalMs"].clone();
    assert_eq!(again, snapshot);
    std::fs::write(&go, "").unwrap();
    let mut heard = vec![];
    while heard.last() != Some(&json!("completed")) {
        let told = client.hear();
        assert_eq!(told["params"]["_meta"], subscription, "{told}");
        if told["method"] == "notifications/tasks" {
            heard.push(told["params"]["status"].clone());
        }
    }
    home.run(&["down"]).ok();
    let mut end = client.hear();
    while end["method"] == "notifications/resources/updated" {
        end = client.hear();
    }
    assert_eq!((&end["method"], &end["params"]["requestId"]), (&json!("notifications/cancelled"), &json!(id)));
    let end = client.hear();
    assert_eq!(
        (&end["id"], &end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"]),
        (&json!(id), &json!(id))
    );
    client.end();
    assert_eq!(starts(&home), 2, "nobody asked for another daemon");
}

#[test]
fn a_batch_is_answered_wholly_when_the_daemon_is_killed_before_or_amidst() {
    let home = Home::new();
    let go = home.scratch("go");
    let job = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    let mut client = Client::start_at(&home, "2025-03-26");
    let message = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let tool = |id: u64, name: &str, arguments: Value| {
        message(id, "tools/call", json!({ "name": name, "arguments": arguments }))
    };
    let batch = |first: u64| {
        json!([
            tool(first, "job_wait", json!({ "jobs": [job], "wait_s": 40 })),
            message(first + 1, "ping", json!({})),
            { "jsonrpc": "2.0", "method": "notifications/roots/list_changed" },
            tool(first + 2, "run", json!({ "command": ["true"], "cwd": "/", "key": format!("batch {first}") })),
            message(first + 3, "no/such/method", json!({})),
            tool(first + 4, "job_wait", json!({ "jobs": [job], "wait_s": 40 })),
        ])
    };
    // Amidst: it is taken, and some of it is answered.
    client.say(&batch(100));
    client.request("ping", json!({}));
    kill(&home);
    // Before: nobody is there who could take it.
    client.say(&batch(200));
    client.request("ping", json!({}));
    std::fs::write(&go, "").unwrap();
    let mut answers = BTreeMap::new();
    for _ in 0..2 {
        let heard = client.hear();
        let array = heard.as_array().unwrap();
        assert_eq!(array.len(), 5, "{heard}");
        answers.extend(array.iter().map(|answer| (answer["id"].as_u64().unwrap(), answer.clone())));
    }
    client.request("ping", json!({}));
    let ids: Vec<u64> = answers.keys().copied().collect();
    assert_eq!(ids, [100, 101, 102, 103, 104, 200, 201, 202, 203, 204]);
    for (id, answer) in &answers {
        let says =
            |words: &str| assert!(answer["result"]["content"][0]["text"].to_string().contains(words), "{answer}");
        match id % 100 {
            1 => assert_eq!(answer["result"], json!({})),
            2 => says("succeeded"),
            3 => assert_eq!(answer["error"]["code"], -32601),
            _ => says("exit code 7"),
        }
    }
    client.end();
}
