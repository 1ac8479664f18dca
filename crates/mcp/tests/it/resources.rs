//! Jobs as resources.

use insta::assert_json_snapshot;
use longshore_domain::Principal;
use serde_json::json;

use crate::kit::{Client, Kit, job_of, modern_meta};
use crate::redact::redact;

#[tokio::test]
async fn jobs_are_listed_and_read_as_resources() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let arguments = json!({ "command": ["echo", "hello"], "env": { "TOKEN": "secret" }, "name": "greeting" });
    let job = job_of(&client.tool("run", arguments).await);
    let list = client.request("resources/list", json!({})).await;
    assert_json_snapshot!("resources_list", redact(&list));
    let templates = client.request("resources/templates/list", json!({})).await;
    assert_json_snapshot!("resource_templates", templates);
    let uri = format!("longshore://jobs/{job}");
    let document = client.request("resources/read", json!({ "uri": uri })).await;
    assert!(!document.to_string().contains("secret"));
    assert_json_snapshot!("resource_job", redact(&document));
    let uri = format!("{uri}/output");
    let output = client.request("resources/read", json!({ "uri": uri, "_meta": modern_meta() })).await;
    assert_json_snapshot!("resource_output_modern", redact(&output));
}

#[tokio::test]
async fn binary_and_long_outputs_are_served_as_they_can_be() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let shell = |line: &str| json!({ "command": line, "shell": true });
    let binary = job_of(&client.tool("run", shell(r"printf 'a\000b'")).await);
    let read = client.request("resources/read", json!({ "uri": format!("longshore://jobs/{binary}/output") })).await;
    assert_eq!(read["result"]["contents"][0]["blob"], "YQBi");
    let long = job_of(&client.tool("run", shell("head -c 1048586 /dev/zero | tr '\\000' x")).await);
    let read = client.request("resources/read", json!({ "uri": format!("longshore://jobs/{long}/output") })).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("[the first 10 of 1048586 bytes are left out]\nxxx"), "{}", &text[..100]);
}

#[tokio::test]
async fn unknown_and_foreign_resources_are_alike_and_lists_are_paged() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let mut own = vec![];
    for _ in 0..51 {
        let background = json!({ "command": ["true"], "background": true, "start_in_s": 3600 });
        own.push(job_of(&client.tool("run", background).await));
    }
    let page = client.request("resources/list", json!({})).await;
    assert_eq!(page["result"]["resources"].as_array().unwrap().len(), 50);
    let rest = client.request("resources/list", json!({ "cursor": page["result"]["nextCursor"] })).await;
    assert_eq!(rest["result"]["resources"][0]["name"], own[0].as_str());
    assert!(rest["result"].get("nextCursor").is_none());
    let bad = client.request("resources/list", json!({ "cursor": "x" })).await;
    assert_eq!(bad["error"]["code"], -32602);

    let mut stranger = Client::connect(&kit.server, Principal::agent("stranger"));
    assert_eq!(stranger.request("resources/list", json!({})).await["result"]["resources"], json!([]));
    let unknown = format!("j_{}", "0".repeat(36));
    let mut answers = vec![];
    for uri in [own[0].as_str(), &unknown, "1", "../x", ""] {
        let uri = format!("longshore://jobs/{uri}");
        answers.push(stranger.request("resources/read", json!({ "uri": uri })).await["error"].take());
    }
    answers.push(stranger.request("resources/read", json!({ "uri": "file:///etc/passwd" })).await["error"].take());
    answers.push(stranger.request("resources/read", json!({})).await["error"].take());
    let modern = json!({ "uri": format!("longshore://jobs/{unknown}/output"), "_meta": modern_meta() });
    answers.push(stranger.request("resources/read", modern).await["error"].take());
    assert_json_snapshot!("resource_not_found", redact(&json!(answers)));
    let foreign = stranger.tool("job_read", json!({ "job": own[0] })).await;
    let nobodys = stranger.tool("job_read", json!({ "job": unknown })).await;
    let without_id = |text: String, id: &str| text.replace(id, "<id>");
    assert_eq!(without_id(foreign.to_string(), &own[0]), without_id(nobodys.to_string(), &unknown));
}
