//! Prompts, completion, and questions to the client on the way to an answer.

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, job_of, modern_meta};
use crate::redact::redact;

/// Jobs that failed, oldest first.
async fn failures(client: &mut Client) -> Vec<String> {
    let mut jobs = vec![];
    for line in ["echo one; exit 1", "echo two; exit 2"] {
        jobs.push(job_of(&client.tool("run", json!({ "command": line, "shell": true })).await));
    }
    jobs
}

fn declaring(capabilities: Value) -> Value {
    let mut meta = modern_meta();
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    meta
}

#[tokio::test]
async fn prompts_are_listed_and_filled_in() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    assert_json_snapshot!("prompts_list", client.request("prompts/list", json!({})).await);
    let modern = client.request("prompts/list", json!({ "_meta": modern_meta() })).await;
    assert_eq!(modern["result"]["cacheScope"], "public");
    let get = |name: &str, arguments: Value| json!({ "name": name, "arguments": arguments });
    let nothing = client.request("prompts/get", get("explain", json!({}))).await;
    failures(&mut client).await;
    let mut exchanges = vec![json!(["explain without a failure", nothing])];
    for (name, arguments) in [
        ("background", json!({ "command": "cargo build" })),
        ("background", json!({})),
        ("overview", json!({})),
        ("overview", json!({ "since": "yesterday" })),
        ("explain", json!({})),
        ("explain", json!({ "job": "j_no_such" })),
        ("explain", json!({ "job": 7 })),
        ("no such", json!({})),
    ] {
        exchanges.push(json!([name, arguments, client.request("prompts/get", get(name, arguments.clone())).await]));
    }
    assert_json_snapshot!("prompts_get", redact(&json!(exchanges)));
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_the_way() {
    let kit = Kit::new().await;
    let mut client = kit.bridge("b1").await;
    client.shake_hands_as("2025-11-25", json!({ "elicitation": {} })).await;
    let jobs = failures(&mut client).await;
    let id = client.ask("prompts/get", json!({ "name": "explain" })).await;
    let question = client.hear().await;
    let mut shown = question.clone();
    shown["id"] = json!("<question>");
    assert_json_snapshot!("question", redact(&shown));
    client.say(&json!({ "jsonrpc": "2.0", "id": "no such", "result": {} })).await;
    let content = json!({ "action": "accept", "content": { "job": jobs[0] } });
    client.say(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": content })).await;
    let answer = client.hear().await;
    assert_eq!(answer["id"], id);
    assert!(answer.to_string().contains("exit code 1"), "{answer}");
    for (answer, code) in [
        (json!({ "result": { "action": "decline" } }), -32602),
        (json!({ "result": { "action": "shrug" } }), -32603),
        (json!({ "error": { "code": -1, "message": "not now" } }), -32603),
    ] {
        client.ask("prompts/get", json!({ "name": "explain" })).await;
        let mut reply = json!({ "jsonrpc": "2.0", "id": client.hear().await["id"] });
        reply.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        client.say(&reply).await;
        assert_eq!(client.hear().await["error"]["code"], code);
    }
}

#[tokio::test]
async fn a_question_ends_with_its_request_and_their_number_is_bounded() {
    let kit = Kit::new().await;
    let mut client = kit.bridge("b1").await;
    client.shake_hands_as("2025-11-25", json!({ "elicitation": { "form": {} } })).await;
    failures(&mut client).await;
    let explain = json!({ "name": "explain" });
    let id = client.ask("prompts/get", explain.clone()).await;
    let question = client.hear().await;
    let cancel = json!({ "requestId": id });
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel })).await;
    let taken_back = client.hear().await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    for _ in 0..16 {
        client.ask("prompts/get", explain.clone()).await;
        assert_eq!(client.hear().await["method"], "elicitation/create");
    }
    let refused = client.request("prompts/get", explain).await;
    assert_eq!(refused["error"]["code"], -32603);
}

#[tokio::test]
async fn a_modern_client_is_sent_for_answers_and_asked_nothing_undeclared() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let jobs = failures(&mut client).await;
    let get = |capabilities: Value, more: Value| {
        let mut params = json!({ "name": "explain", "_meta": declaring(capabilities) });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    let form = json!({ "elicitation": {} });
    let wanting = client.request("prompts/get", get(form.clone(), json!({}))).await;
    assert_json_snapshot!("input_required", redact(&wanting));
    let accept = json!({ "action": "accept", "content": { "job": jobs[0] } });
    for (answers, done) in [
        (json!({ "job": accept, "unknown": 7 }), true),
        (json!({ "unknown": accept }), false),
        (json!({ "job": 7 }), false),
        (json!({}), false),
    ] {
        let retry = get(form.clone(), json!({ "inputResponses": answers }));
        let answer = client.request("prompts/get", retry).await;
        let expected = if done { "complete" } else { "input_required" };
        assert_eq!(answer["result"]["resultType"], expected, "{answers}");
    }
    let broken = client.request("prompts/get", get(form, json!({ "inputResponses": [] }))).await;
    assert_eq!(broken["error"]["code"], -32602);
    let undeclared = client.request("prompts/get", get(json!({ "elicitation": { "url": {} } }), json!({}))).await;
    assert_eq!(undeclared["result"]["resultType"], "complete");
    assert!(undeclared.to_string().contains("exit code 2"), "the newest: {undeclared}");
}

#[tokio::test]
async fn jobs_are_completed_wherever_one_is_named() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let mut jobs = vec![];
    for number in 0..102 {
        let later =
            json!({ "command": ["true"], "name": format!("Job {number}"), "background": true, "start_in_s": 3600 });
        jobs.push(job_of(&client.tool("run", later).await));
    }
    let params = |reference: Value, argument: &str, value: &str| json!({ "ref": reference, "argument": { "name": argument, "value": value } });
    let template = json!({ "type": "ref/resource", "uri": "longshore://jobs/{id}/output" });
    let prompt = json!({ "type": "ref/prompt", "name": "explain" });
    let all = client.request("completion/complete", params(template.clone(), "id", "")).await["result"].take();
    assert_eq!(all["completion"]["values"].as_array().unwrap().len(), 100);
    assert_eq!(all["completion"]["values"][0], jobs[101].as_str());
    assert_eq!(all["completion"]["hasMore"], true);
    for (reference, argument, typed, found) in [
        (&prompt, "job", "job 10", vec![&jobs[101], &jobs[100], &jobs[10]]),
        (&prompt, "job", jobs[7].as_str(), vec![&jobs[7]]),
        (&template, "id", "nothing begins so", vec![]),
    ] {
        let answer = client.request("completion/complete", params(reference.clone(), argument, typed)).await;
        assert_eq!(answer["result"], json!({ "completion": { "values": found, "hasMore": false } }), "{typed}");
    }
    let background = json!({ "type": "ref/prompt", "name": "background" });
    let empty = client.request("completion/complete", params(background, "command", "ca")).await;
    assert_eq!(empty["result"]["completion"]["values"], json!([]));
    for (reference, argument) in [
        (json!({ "type": "ref/prompt", "name": "no such" }), "job"),
        (json!({ "type": "ref/resource", "uri": "file:///{id}" }), "id"),
        (json!({ "type": "ref/tool", "name": "run" }), "id"),
        (prompt, "jobs"),
    ] {
        let answer = client.request("completion/complete", params(reference, argument, "")).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}
