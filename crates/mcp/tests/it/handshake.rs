//! How both eras begin, and what every answer of theirs has.

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::kit::{Kit, modern_meta};

#[tokio::test]
async fn initialize_negotiates_the_version() {
    let kit = Kit::new().await;
    let mut versions = vec![];
    for asked in ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2026-07-28", "1999-01-01", ""] {
        let mut client = kit.bridge("b").await;
        let answer = client.shake_hands(asked).await;
        versions.push(json!([asked, answer["result"]["protocolVersion"]]));
        if asked == "2025-11-25" {
            assert_json_snapshot!("initialize", answer);
        }
    }
    assert_json_snapshot!("versions", versions);
}

#[tokio::test]
async fn discover_answers_before_anything_else() {
    let kit = Kit::new().await;
    let mut client = kit.bridge("b").await;
    let answer = client.request("server/discover", json!({ "_meta": modern_meta() })).await;
    assert_json_snapshot!("discover", answer);
}

#[tokio::test]
async fn tools_are_listed_alike_for_both_eras() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let legacy = client.request("tools/list", json!({})).await;
    let mut modern = client.request("tools/list", json!({ "_meta": modern_meta() })).await;
    let mut tools = legacy["result"]["tools"].clone();
    assert_eq!(tools[0].as_object_mut().unwrap().remove("execution"), Some(json!({ "taskSupport": "optional" })));
    assert_eq!(tools, modern["result"]["tools"]);
    assert!(legacy["result"].get("resultType").is_none());
    assert_json_snapshot!("tools_list", legacy);
    modern["result"]["tools"] = json!("the same");
    assert_json_snapshot!("tools_list_modern", modern);
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_refused_by_the_rules_of_their_era() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let with = |key: &str, value: Value| {
        let mut meta = modern_meta();
        meta[format!("io.modelcontextprotocol/{key}")] = value;
        json!({ "_meta": meta })
    };
    let requests = [
        ("ping", json!({})),
        ("ping", json!({ "_meta": modern_meta() })),
        ("server/discover", json!({})),
        ("server/discover", with("protocolVersion", json!("2031-01-01"))),
        ("server/discover", with("clientCapabilities", Value::Null)),
        ("server/discover", with("clientCapabilities", json!([]))),
        ("server/discover", with("protocolVersion", Value::Null)),
        ("server/discover", with("protocolVersion", json!(7))),
        ("initialize", json!({})),
        ("logging/setLevel", json!({ "level": "debug" })),
        ("tasks/list", json!({ "_meta": modern_meta() })),
        ("tasks/result", json!({ "_meta": modern_meta() })),
        ("tasks/update", json!({})),
        ("subscriptions/listen", json!({ "notifications": {} })),
        ("tools/call", json!({ "name": "rm" })),
        ("tools/call", json!({ "name": "rm", "_meta": modern_meta() })),
        ("tools/call", json!({})),
        ("tools/call", json!({ "name": "run", "_meta": { "progressToken": {} } })),
    ];
    let mut exchanges = vec![];
    for (method, params) in requests {
        let answer = client.request(method, params.clone()).await;
        exchanges.push(json!({ "method": method, "params": params, "answer": answer }));
    }
    assert_json_snapshot!("refusals", exchanges);
}

#[tokio::test]
async fn cursors_that_were_never_given_are_refused() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let methods = ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "tasks/list"];
    for (method, era) in methods.iter().flat_map(|method| [(*method, json!({})), (*method, modern_meta())]) {
        if method == "tasks/list" && era != json!({}) {
            continue;
        }
        for cursor in [json!("x"), json!(""), json!(7), json!({})] {
            let refused = client.request(method, json!({ "cursor": cursor, "_meta": era })).await["error"].take();
            let leads_nowhere = "`cursor` leads nowhere: list without one to begin anew";
            assert_eq!(refused, json!({ "code": -32602, "message": leads_nowhere }), "{method} {cursor}");
        }
        let none = client.request(method, json!({ "cursor": null, "_meta": era })).await;
        assert!(none["result"].is_object(), "{none}");
    }
}

#[tokio::test]
async fn errors_are_told_in_the_words_of_the_protocol() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let wrong = [json!(7), json!("x"), json!([])];
    let mut messages = wrong.to_vec();
    for value in &wrong {
        for (method, params) in [
            ("ping", value.clone()),
            ("ping", json!({ "_meta": value })),
            ("completion/complete", json!({ "ref": value, "argument": { "name": "x", "value": "y" } })),
            ("completion/complete", json!({ "ref": { "type": "ref/prompt", "name": "x" }, "argument": value })),
            ("subscriptions/listen", json!({ "notifications": value, "_meta": modern_meta() })),
        ] {
            messages.push(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }));
        }
    }
    let mut told = vec![];
    for message in messages {
        client.say(&message).await;
        let answer = client.hear().await;
        told.extend(answer["error"]["message"].as_str().map(str::to_owned));
    }
    assert_json_snapshot!("words", told);
    for internal in ["struct", "enum", "tuple"] {
        assert!(told.iter().all(|message| !message.contains(internal)), "{told:#?}");
    }
}

#[tokio::test]
async fn after_a_handshake_the_version_alone_makes_a_request_modern() {
    let kit = Kit::new().await;
    let stray = json!({ "_meta": { "io.modelcontextprotocol/clientCapabilities": {} } });
    let mut client = kit.bridge("b1").await;
    assert_eq!(client.request("ping", stray.clone()).await["error"]["code"], -32602);
    client.shake_hands("2025-11-25").await;
    assert_eq!(client.request("ping", stray).await["result"], json!({}));
    let modern = client.request("server/discover", json!({ "_meta": modern_meta() })).await;
    assert_eq!(modern["result"]["resultType"], "complete");
}

#[tokio::test]
async fn malformed_messages_are_answered_and_notifications_are_not() {
    let kit = Kit::new().await;
    let mut client = kit.bridge("b").await;
    let mut answers = vec![];
    for line in ["not json", "[]", r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, r#"{"id":"x","method":"ping"}"#] {
        client.say_raw(line.as_bytes()).await;
        answers.push(json!({ "line": line, "answer": client.hear().await }));
    }
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"no/such"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    ] {
        client.say_raw(line.as_bytes()).await;
    }
    client.say_raw(br#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#).await;
    answers.push(json!({ "line": "ping after notifications", "answer": client.hear().await }));
    assert_json_snapshot!("malformed", answers);
}
