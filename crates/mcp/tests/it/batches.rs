//! Batches, which 2025-03-26 demands to be taken: the same rules over HTTP and behind the bridge.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::bridged::bridged;
use crate::kit::{Client, Kit, modern_meta};
use crate::lasting::{Visitor, message};

/// What is answered over HTTP, with the status.
async fn by_http(visitor: &Visitor<'_>, batch: &Value) -> (u16, Value) {
    let response = visitor.post(batch).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn by_stdio(client: &mut Client, batch: &Value) -> Value {
    client.say(batch).await;
    client.hear().await
}

/// Arrays are answered in any order.
fn sorted(mut answer: Value) -> Value {
    if let Some(answers) = answer.as_array_mut() {
        answers.sort_by_key(|one| one["id"].to_string());
    }
    answer
}

fn pings(count: u32) -> Value {
    (0..count).map(|id| message(id, "ping", json!({}))).collect()
}

#[tokio::test]
async fn a_batch_is_answered_by_the_same_array_over_http_and_behind_the_bridge() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-03-26").await;
    let (mut client, _current) = bridged(&kit);
    client.shake_hands("2025-03-26").await;
    let newer = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    let mixed = json!([
        message(1, "ping", json!({})),
        { "jsonrpc": "2.0", "method": "notifications/initialized" },
        message(2, "tools/call", json!({ "name": "job_list", "arguments": {} })),
        message(3, "initialize", newer),
        7,
        message(4, "tools/list", json!({ "_meta": modern_meta() })),
    ]);
    let only_refused = json!([7, message(3, "initialize", json!({}))]);
    for (batch, status, ids) in [
        (mixed, 200, json!([1, 2, 3, 4, null])),
        (only_refused, 200, json!([3, null])),
        (pings(64), 200, Value::Null),
        (pings(65), 400, Value::Null),
        (json!([]), 400, Value::Null),
    ] {
        let (found, answer) = by_http(&visitor, &batch).await;
        let (one, other) = (sorted(answer), sorted(by_stdio(&mut client, &batch).await));
        assert_eq!((found, &one), (status, &other));
        match one.as_array() {
            Some(answers) if ids.is_null() => assert_eq!(answers.len(), 64),
            Some(answers) => assert_eq!(answers.iter().map(|one| one["id"].clone()).collect::<Value>(), ids),
            None => assert_eq!((one["error"]["code"].clone(), &one["id"]), (json!(-32600), &Value::Null)),
        }
        let refused = one.as_array().into_iter().flatten().filter(|one| one["id"] == 3 || one["id"] == 4);
        assert!(refused.into_iter().all(|one| status != 200 || ids.is_null() || one["error"]["code"] == -32600));
    }
    let notifications = json!([{ "jsonrpc": "2.0", "method": "notifications/initialized" }]);
    assert_eq!(by_http(&visitor, &notifications).await.0, 202);
    client.say(&notifications).await;
    let still = client.request("tasks/list", json!({})).await;
    assert_eq!(still["error"]["code"], -32601, "the handshake of the batch changed nothing");
}

#[tokio::test]
async fn other_versions_have_no_batches() {
    let kit = Kit::new().await;
    let visitor = Visitor::new(&kit, "2025-06-18").await;
    let (mut client, _current) = bridged(&kit);
    client.shake_hands("2025-06-18").await;
    for batch in [pings(1), json!([])] {
        let (status, answer) = by_http(&visitor, &batch).await;
        assert_eq!((status, &answer), (400, &by_stdio(&mut client, &batch).await));
        let told = answer["error"]["message"].as_str().unwrap();
        assert!(told.contains("2025-03-26 only"), "{told}");
    }
}
