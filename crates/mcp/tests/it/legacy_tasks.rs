//! Tasks of 2025-11-25.

use std::time::Duration;

use insta::assert_json_snapshot;
use longshore_domain::Principal;
use longshore_engine::ops::Caller;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, LIMIT};
use crate::redact::redact;

fn task_call(line: &str, more: &Value) -> Value {
    let mut arguments = json!({ "command": line, "shell": true, "name": "work" });
    for (name, value) in more.as_object().unwrap() {
        arguments[name] = value.clone();
    }
    json!({ "name": "run", "arguments": arguments, "task": { "ttl": 60_000 } })
}

async fn begun(client: &mut Client, line: &str) -> String {
    let answer = client.request("tools/call", task_call(line, &json!({}))).await;
    answer["result"]["task"]["taskId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn ask(client: &mut Client, method: &str, id: &str) -> Value {
    let mut answer = client.request(method, json!({ "taskId": id })).await;
    let member = if answer.get("error").is_some() { "error" } else { "result" };
    answer[member].take()
}

#[tokio::test]
async fn a_task_lives_by_get_and_ends_by_result() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let mut client = kit.legacy().await;
    let mut handle = client.request("tools/call", task_call(&gate.line(), &json!({}))).await["result"].take();
    let id = handle["task"]["taskId"].as_str().unwrap().to_owned();
    assert!(handle["task"]["statusMessage"].take().as_str().unwrap().contains(": work"));
    kit.runs(&id).await;
    let working = ask(&mut client, "tasks/get", &id).await;
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    client.request("ping", json!({})).await;
    gate.open().await;
    let result = client.hear().await;
    assert_eq!(result["id"], waiting);
    let completed = ask(&mut client, "tasks/get", &id).await;
    assert_json_snapshot!("legacy_life", redact(&json!([handle, working, result["result"], completed])));
    assert_eq!(ask(&mut client, "tasks/result", &id).await, result["result"]);
}

#[tokio::test]
async fn failures_are_failed_and_keep_their_result() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let id = begun(&mut client, "echo bad; exit 3").await;
    let result = ask(&mut client, "tasks/result", &id).await;
    let failed = ask(&mut client, "tasks/get", &id).await;
    let call = json!({ "name": "run", "arguments": { "command": ["/no/such/program"] }, "task": {} });
    let handle = client.request("tools/call", call).await;
    let id = handle["result"]["task"]["taskId"].as_str().unwrap().to_owned();
    let error = ask(&mut client, "tasks/result", &id).await;
    let refused = json!({ "name": "run", "arguments": { "command": [] }, "task": {} });
    let refused = client.request("tools/call", refused).await["error"].take();
    assert_json_snapshot!("legacy_failures", redact(&json!([result, failed, error, refused])));
}

#[tokio::test]
async fn a_cancelled_task_is_so_at_once_and_for_ever() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let id = begun(&mut client, "trap 'echo late; exit 0' TERM; echo here; while :; do sleep 0.05; done").await;
    kit.speaks(&id).await;
    let cancelled = ask(&mut client, "tasks/cancel", &id).await;
    assert_eq!(cancelled["status"], "cancelled");
    let again = ask(&mut client, "tasks/cancel", &id).await;
    assert_eq!(again["code"], -32602);
    let job = kit.engine.find(&Caller::owner().principal, &id).await.unwrap();
    assert!(kit.engine.wait_one(job, LIMIT).await.unwrap().is_finished());
    assert_eq!(ask(&mut client, "tasks/get", &id).await["status"], "cancelled");
    assert_eq!(ask(&mut client, "tasks/cancel", &id).await, again);
    let result = ask(&mut client, "tasks/result", &id).await;
    assert_eq!(result["_meta"]["io.modelcontextprotocol/related-task"], json!({ "taskId": id }));
}

#[tokio::test]
async fn only_2025_11_25_has_them_and_only_for_tools_that_are_slow() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let quick = client.request("tools/call", json!({ "name": "job_list", "arguments": {}, "task": {} })).await;
    let odd = client.request("tools/call", json!({ "name": "run", "arguments": {}, "task": true })).await;
    let unknown = ask(&mut client, "tasks/get", "j_unknown").await;
    let cursor = client.request("tasks/list", json!({ "cursor": "x" })).await;
    assert_json_snapshot!("legacy_refusals", [&quick["error"], &odd["error"], &unknown, &cursor["error"]]);
    let mut older = kit.bridge("older").await;
    let answer = older.shake_hands("2025-06-18").await;
    assert!(answer["result"]["capabilities"].get("tasks").is_none());
    let tools = older.request("tools/list", json!({})).await;
    assert!(tools["result"]["tools"][0].get("execution").is_none());
    let result = older.request("tools/call", task_call("true", &json!({}))).await;
    assert_eq!(result["result"]["structuredContent"]["outcome"]["status"], "succeeded");
    for method in ["tasks/get", "tasks/result", "tasks/list", "tasks/cancel"] {
        assert_eq!(ask(&mut older, method, "j_unknown").await["code"], -32601);
    }
}

#[tokio::test]
async fn the_extension_does_nothing_in_a_legacy_session() {
    let kit = Kit::with(|settings| settings.grace = Duration::ZERO).await;
    let mut client = kit.bridge("b").await;
    let extension = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let info = json!({ "name": "test", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": extension, "clientInfo": info });
    client.request("initialize", params).await;
    let result = client.tool("run", json!({ "command": ["true"] })).await;
    assert_eq!(result["structuredContent"]["outcome"]["status"], "succeeded");
    assert!(result.get("resultType").is_none());
}

#[tokio::test]
async fn the_list_shows_all_of_the_callers_tasks_and_nobody_elses() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let mut made = vec![];
    for number in 0..51 {
        let more = json!({ "start_in_s": 1000, "key": format!("k{number}") });
        let answer = client.request("tools/call", task_call("true", &more)).await;
        made.insert(0, answer["result"]["task"]["taskId"].clone());
    }
    let ids = |page: &Value| -> Vec<Value> {
        page["tasks"].as_array().unwrap().iter().map(|task| task["taskId"].clone()).collect()
    };
    let first = client.request("tasks/list", json!({})).await["result"].take();
    let cursor = first["nextCursor"].clone();
    let second = client.request("tasks/list", json!({ "cursor": cursor })).await["result"].take();
    assert_eq!([ids(&first), ids(&second)].concat(), made);
    assert!(second.get("nextCursor").is_none());
    let mut other = Client::connect(&kit.server, Principal::agent("other"));
    other.shake_hands("2025-11-25").await;
    assert_eq!(other.request("tasks/list", json!({})).await["result"], json!({ "tasks": [] }));
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let foreign = ask(&mut other, method, made[0].as_str().unwrap()).await;
        assert_eq!(foreign, ask(&mut other, method, "j_unknown").await);
        assert_eq!(foreign["code"], -32602);
    }
}

#[tokio::test]
async fn leaving_a_result_stops_nothing() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let mut client = kit.legacy().await;
    let id = begun(&mut client, &gate.line()).await;
    kit.runs(&id).await;
    let given_up = client.ask("tasks/result", json!({ "taskId": id })).await;
    let cancel = json!({ "requestId": given_up });
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel })).await;
    client.ask("tasks/result", json!({ "taskId": id })).await;
    client.end().await;
    assert_eq!(client.hear().await, Value::Null);
    let kit = kit.reopen(|_| {}).await;
    let mut client = kit.legacy().await;
    assert_eq!(ask(&mut client, "tasks/get", &id).await["status"], "working");
    gate.open().await;
    let result = ask(&mut client, "tasks/result", &id).await;
    assert_eq!(result["structuredContent"]["output"], "here\nthrough\n");
}
