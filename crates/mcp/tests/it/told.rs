//! What legacy clients are told beside answers, and the log messages of modern requests.

use longshore_domain::Principal;
use longshore_engine::ops::Caller;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, job_of, modern_meta};

/// The answer to a request, past what is told meanwhile.
async fn answer(client: &mut Client, method: &str, params: Value) -> Value {
    let id = client.ask(method, params).await;
    loop {
        let heard = client.hear().await;
        if heard["id"] == id {
            return heard;
        }
    }
}

#[tokio::test]
async fn changes_of_a_watched_job_are_told_until_it_is_not_watched() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let uri = format!("longshore://jobs/{job}");
    for uri in [uri.clone(), format!("{uri}/output")] {
        let done = answer(&mut client, "resources/subscribe", json!({ "uri": uri })).await;
        assert_eq!(done["result"], json!({}));
    }
    let done = answer(&mut client, "resources/unsubscribe", json!({ "uri": format!("{uri}/output") })).await;
    assert_eq!(done["result"], json!({}));
    gate.open().await;
    let told = client.hear().await;
    assert_eq!(
        told,
        json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } })
    );
    for unknown in ["longshore://jobs/j_no_such", "file:///etc/passwd", ""] {
        let refused = answer(&mut client, "resources/subscribe", json!({ "uri": unknown })).await;
        assert_eq!(refused["error"]["code"], -32002, "{unknown}");
    }
    let modern = answer(&mut client, "resources/subscribe", json!({ "uri": uri, "_meta": modern_meta() })).await;
    assert_eq!(modern["error"]["code"], -32601);
}

#[tokio::test]
async fn jobs_that_come_and_go_change_the_list_of_resources_of_their_owner() {
    let kit = Kit::new().await;
    let mut other = Client::connect(&kit.server, Principal::agent("other"));
    other.say(&json!({ "longshore": kit.hello("b2") })).await;
    let shaken = other.shake_hands("2025-11-25").await;
    assert_eq!(shaken["result"]["capabilities"]["resources"]["listChanged"], true);
    let mut client = kit.legacy().await;
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/resources/list_changed" });
    let job = job_of(&client.tool("run", json!({ "command": ["true"] })).await);
    kit.engine.remove(&Caller::owner(), &job).await.unwrap();
    assert_eq!(client.hear_any().await, changed);
    // Nothing was told to somebody else, whom only the next change concerns.
    let ping = other.ask("ping", json!({})).await;
    assert_eq!(other.hear_any().await["id"], ping);
    let foreign = other.ask("tools/call", json!({ "name": "run", "arguments": { "command": ["true"] } })).await;
    let mut heard = [other.hear_any().await, other.hear_any().await];
    heard.sort_by_key(|heard| heard["id"].is_null());
    assert_eq!((&heard[0]["id"], &heard[1]), (&json!(foreign), &changed));
}

#[tokio::test]
async fn the_end_of_jobs_of_the_conversation_is_logged_from_the_level_on() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let set = client.request("logging/setLevel", json!({ "level": "warning" })).await;
    assert_eq!(set["result"], json!({}));
    let bad = client.request("logging/setLevel", json!({ "level": "loud" })).await;
    assert_eq!(bad["error"]["code"], -32602);
    let mut ended = vec![];
    for line in ["true", "exit 3"] {
        client.ask("tools/call", json!({ "name": "run", "arguments": { "command": line, "shell": true } })).await;
        ended.push(client.hear().await);
    }
    // The log message may come before or after the answer to the call that waited for the same end.
    let last = client.hear().await;
    let message = [&ended[1], &last].into_iter().find(|message| message["method"] == "notifications/message").unwrap();
    let answer = [&ended[1], &last].into_iter().find(|message| message["id"].is_number()).unwrap();
    let params = &message["params"];
    assert_eq!((&params["level"], &params["logger"]), (&json!("warning"), &json!("longshore.jobs")));
    assert_eq!(params["data"]["job"], job_of(&answer["result"]));
    assert!(params["data"]["message"].as_str().unwrap().contains("exit code 3"), "{params}");
}

#[tokio::test]
async fn a_modern_wait_logs_ends_if_the_request_says_so() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let waiting = client.waiting_job(&kit, &gate).await;
    let done = job_of(&client.tool("run", json!({ "command": ["false"] })).await);
    let wait = |level: Value| {
        let mut meta = modern_meta();
        meta["io.modelcontextprotocol/logLevel"] = level;
        json!({ "name": "job_wait", "arguments": { "jobs": [waiting, done], "wait_s": 30 }, "_meta": meta })
    };
    let bad = client.request("tools/call", wait(json!("loud"))).await;
    assert_eq!(bad["error"]["code"], -32602);
    client.ask("tools/call", wait(json!("info"))).await;
    let told = client.hear().await;
    assert_eq!((&told["method"], &told["params"]["data"]["job"]), (&json!("notifications/message"), &json!(done)));
    gate.open().await;
    assert_eq!(client.hear().await["result"]["resultType"], "complete");
}
