//! Streams of lines.

use longshore_domain::Principal;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, job_of, modern_meta};

#[tokio::test]
async fn an_odd_first_line_ends_nothing() {
    let kit = Kit::new().await;
    for first in
        ["hello?", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, r#"{"longshore":{"bridge":"x"}}"#]
    {
        let mut client = Client::connect(&kit.server, Principal::agent("owner"));
        client.say_raw(first.as_bytes()).await;
        client.ask("ping", json!({})).await;
        let mut heard = client.hear().await;
        if heard.get("error").is_some() {
            heard = client.hear().await;
        }
        assert_eq!(heard, json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        let run = client.tool("run", json!({ "command": ["true"] })).await;
        assert_eq!(
            run["structuredContent"]["message"],
            "`cwd`: is missing: this connection has no directory of its own"
        );
    }
}

#[tokio::test]
async fn requests_are_answered_as_they_are_done_and_can_be_given_up() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let wait = json!({ "name": "job_wait", "arguments": { "jobs": [job], "wait_s": 30 } });
    let given_up = client.ask("tools/call", wait.clone()).await;
    let kept = client.ask("tools/call", wait).await;
    client.request("tools/list", json!({})).await;
    let cancel = json!({ "requestId": given_up, "reason": "time-out" });
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel })).await;
    client.request("ping", json!({})).await;
    gate.open().await;
    let answer = client.hear().await;
    assert_eq!(answer["id"], kept);
    assert_eq!(answer["result"]["structuredContent"]["jobs"][0]["outcome"]["status"], "succeeded");
}

#[tokio::test]
async fn ids_come_back_as_they_were_written() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    for id in [json!("7"), json!(7), json!(-1), json!("ü\u{1f980}"), json!(1e300)] {
        client.say(&json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })).await;
        assert_eq!(client.hear().await["id"], id);
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_rest_goes_on() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    client.say_raw(&vec![b'x'; longshore_mcp::MESSAGE_BYTES_MAX + 1]).await;
    let refused = client.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32600)));
    let long = json!({ "x": "x".repeat(longshore_mcp::MESSAGE_BYTES_MAX) });
    let refused = client.request("ping", long).await;
    assert_eq!(refused["error"]["code"], -32600);
    client.request("ping", json!({})).await;
}

#[tokio::test]
async fn the_end_of_input_answers_what_is_ready_and_leaves_jobs_alone() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    client.ask("tools/call", json!({ "name": "job_wait", "arguments": { "jobs": [job], "wait_s": 30 } })).await;
    let list = client.ask("tools/call", json!({ "name": "job_list", "arguments": {} })).await;
    client.end().await;
    assert_eq!(client.hear().await["id"], list);
    assert_eq!(client.hear().await, Value::Null);
    client.served.await.unwrap().unwrap();
    let mut later = kit.legacy().await;
    gate.open().await;
    let waited = later.tool("job_wait", json!({ "jobs": [job] })).await;
    assert_eq!(waited["structuredContent"]["jobs"][0]["outcome"]["status"], "succeeded");
}

#[tokio::test]
async fn progress_is_sent_to_whom_asks_for_it_and_never_after_the_answer() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let line = format!("echo 10%; {}", gate.line());
    let call = json!({
        "name": "run",
        "arguments": { "command": line, "shell": true },
        "_meta": { "progressToken": "p" },
    });
    let id = client.ask("tools/call", call).await;
    let told = client.hear().await;
    assert_eq!(told["method"], "notifications/progress", "{told}");
    assert_eq!(told["params"]["progressToken"], "p");
    assert_eq!((&told["params"]["progress"], &told["params"]["total"]), (&json!(10.0), &json!(100)));
    assert!(told["params"]["message"].as_str().unwrap().ends_with("· 10%"), "{told}");
    gate.open().await;
    let answer = client.hear().await;
    assert_eq!(answer["id"], id);
    client.end().await;
    assert_eq!(client.hear().await, Value::Null);
}

#[tokio::test]
async fn an_engine_that_drains_answers_every_hold_and_says_goodbye() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let calls = [
        json!({ "name": "job_wait", "arguments": { "jobs": [job], "wait_s": 30 } }),
        json!({ "name": "job_wait", "arguments": { "jobs": [job], "wait_s": 30, "any": true } }),
        json!({ "name": "run", "arguments": { "command": gate.line(), "shell": true, "key": "gated" } }),
        json!({ "name": "job_read", "arguments": { "job": job, "cursor": "1.5", "wait_s": 30 } }),
    ];
    let mut asked = vec![];
    for call in calls {
        asked.push(client.ask("tools/call", call).await);
    }
    // Requests are begun in their order: once this is answered, those are held.
    client.request("ping", json!({})).await;
    kit.engine.drain();
    for _ in 0..asked.len() {
        let answer = client.hear().await;
        asked.retain(|id| answer["id"] != *id);
        let structured = &answer["result"]["structuredContent"];
        let told = if structured["jobs"].is_array() { &structured["jobs"][0] } else { structured };
        assert_eq!(told["job"], json!(job), "{answer}");
        assert_ne!(told["state"], json!("finished"), "{answer}");
        let next = structured["next"].as_str().unwrap();
        assert!(next.contains("is being stopped and its jobs go on") && next.contains("call job_"), "{next}");
    }
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(client.hear().await, json!({ "longshore": "goodbye" }));
    assert_eq!(client.hear().await, Value::Null);
    client.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_engine_that_drains_does_not_wait_for_who_never_said_a_word() {
    let kit = Kit::new().await;
    let mut silent = Client::connect(&kit.server, Principal::agent("owner"));
    kit.engine.drain();
    assert_eq!(silent.hear().await, Value::Null);
    silent.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_hangs_does_not_keep_an_engine_from_draining() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let job = job_of(&client.tool("run", json!({ "command": ["echo", "a"] })).await);
    let _hung = kit.hang_output(&job).await;
    let id = client.ask("tools/call", json!({ "name": "job_read", "arguments": { "job": job } })).await;
    client.request("ping", json!({})).await;
    kit.engine.drain();
    let answer = client.hear().await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(id), &json!(-32603)), "{answer}");
    assert_eq!(client.hear().await, json!({ "longshore": "goodbye" }));
}

#[tokio::test]
async fn eras_may_be_mixed_on_one_connection() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let modern = client.request("resources/list", json!({ "_meta": modern_meta() })).await;
    assert_eq!(modern["result"]["resultType"], "complete");
    let legacy = client.request("resources/list", json!({})).await;
    assert_eq!(legacy["result"], json!({ "resources": [] }));
}
