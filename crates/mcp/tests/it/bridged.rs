//! A client behind the bridge, which loses its connections to the server.

use std::sync::{Arc, Mutex};

use longshore_domain::Principal;
use longshore_mcp::run_bridge;
use serde_json::{Value, json};
use tokio::io::{duplex, split};
use tokio::task::AbortHandle;

use crate::kit::{Client, Kit, LIST_CHANGED};

/// The connection that the bridge has.
pub(crate) type Current = Arc<Mutex<Option<AbortHandle>>>;

pub(crate) fn bridged(kit: &Kit) -> (Client, Current) {
    let (ours, theirs) = duplex(1 << 16);
    let (hello, server, current) = (kit.hello("b1"), kit.server.clone(), Current::default());
    let connected = Arc::clone(&current);
    let bridge = tokio::spawn(async move {
        let (stdin, stdout) = split(theirs);
        run_bridge(hello, stdin, stdout, || {
            let (near, far) = duplex(1 << 16);
            let served = tokio::spawn(longshore_mcp::stdio::serve(server.clone(), Principal::agent("owner"), far));
            *connected.lock().unwrap() = Some(served.abort_handle());
            async { Ok(near) }
        })
        .await
    });
    (Client::at(ours, bridge), current)
}

async fn answer(client: &mut Client, id: u64) -> Value {
    loop {
        let heard = client.hear().await;
        if heard["id"] == id {
            break heard["result"]["structuredContent"].clone();
        }
    }
}

/// The next message, past what tells that the list of resources may have changed.
async fn hear(client: &mut Client) -> Value {
    loop {
        let heard = client.hear().await;
        if heard["method"] != LIST_CHANGED {
            break heard;
        }
    }
}

async fn run(client: &mut Client, id: u64, arguments: Value) {
    let params = json!({ "name": "run", "arguments": arguments, "_meta": { "progressToken": "p" } });
    client.say(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })).await;
}

#[tokio::test]
async fn an_id_names_a_request_until_it_is_answered() {
    let kit = Kit::new().await;
    let (mut client, current) = bridged(&kit);
    client.shake_hands("2025-11-25").await;
    let mut jobs = vec![];
    for command in [["echo", "a"], ["echo", "a"], ["echo", "b"]] {
        run(&mut client, 7, json!({ "command": command })).await;
        jobs.push(answer(&mut client, 7).await["job"].take());
    }
    let gate = kit.gate();
    run(&mut client, 7, json!({ "command": format!("echo 10%; {}", gate.line()), "shell": true })).await;
    assert_eq!(client.hear().await["method"], "notifications/progress");
    // The job runs and nobody was told of it.
    current.lock().unwrap().take().unwrap().abort();
    gate.open().await;
    let told = answer(&mut client, 7).await;
    assert_eq!((&told["existing"], &told["outcome"]["status"]), (&json!(true), &json!("succeeded")), "{told}");
    jobs.push(told["job"].clone());

    let listed = client.tool("job_list", json!({})).await;
    let mut listed: Vec<Value> =
        listed["structuredContent"]["jobs"].as_array().unwrap().iter().map(|job| job["job"].clone()).collect();
    listed.reverse();
    assert_eq!(listed, jobs, "four requests, four jobs");
}

#[tokio::test]
async fn a_question_whose_daemon_is_lost_is_taken_back_and_asked_anew() {
    let kit = Kit::new().await;
    let (mut client, current) = bridged(&kit);
    client.shake_hands_as("2025-11-25", json!({ "elicitation": {} })).await;
    for line in ["echo one; exit 1", "echo two; exit 2"] {
        client.tool("run", json!({ "command": line, "shell": true })).await;
    }
    let asked = client.ask("prompts/get", json!({ "name": "explain" })).await;
    let first = client.hear().await;
    assert_eq!(first["method"], "elicitation/create");
    current.lock().unwrap().take().unwrap().abort();
    let told = client.hear().await;
    assert_eq!((&told["method"], &told["params"]["requestId"]), (&json!("notifications/cancelled"), &first["id"]));
    let second = hear(&mut client).await;
    assert_eq!((&second["method"], &second["params"]), (&first["method"], &first["params"]));
    client.say(&json!({ "jsonrpc": "2.0", "id": second["id"], "result": { "action": "decline" } })).await;
    assert_eq!(hear(&mut client).await["id"], asked);
}
