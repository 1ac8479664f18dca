//! What changes, told to whoever listens, on both transports.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use insta::assert_json_snapshot;
use longshore_domain::Principal;
use longshore_engine::ops::Caller;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::kit::{Client, Kit, LIMIT, modern_meta};
use crate::peer::{Peer, TRANSPORTS, Transport, declaring_meta, post, router, run};
use crate::redact::redact;

/// The stream of one listen.
enum Listener {
    Stdio(Client),
    Http { streams: bool, body: Body, text: String },
}

impl Listener {
    async fn begin(kit: &Kit, transport: Transport, mut params: Value, meta: Value) -> Self {
        params["_meta"] = meta;
        match transport {
            Transport::Stdio => {
                let mut client = Client::connect(&kit.server, Principal::agent("owner"));
                client
                    .say(&json!({ "jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params }))
                    .await;
                Self::Stdio(client)
            }
            Transport::Http => {
                let response = router(kit, "owner").oneshot(post("subscriptions/listen", 7, &params)).await.unwrap();
                let streams = response.headers()["content-type"] == "text/event-stream";
                Self::Http { streams, body: response.into_body(), text: String::new() }
            }
        }
    }

    /// The next message; null at the end.
    async fn hear(&mut self) -> Value {
        match self {
            Self::Stdio(client) => client.hear().await,
            Self::Http { body, text, .. } => loop {
                if let Some((event, rest)) = text.split_once("\n\n") {
                    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
                    *text = rest.to_owned();
                    match data {
                        Some(data) => return serde_json::from_str(&data).unwrap(),
                        None => continue,
                    }
                }
                match tokio::time::timeout(LIMIT, body.frame()).await.unwrap() {
                    Some(frame) => *text += std::str::from_utf8(frame.unwrap().data_ref().unwrap()).unwrap(),
                    None => return serde_json::from_str(text).unwrap_or(Value::Null),
                }
            },
        }
    }

    async fn until(&mut self, status: &str) -> Value {
        loop {
            let heard = self.hear().await;
            assert_eq!(heard["method"], "notifications/tasks", "{heard}");
            if heard["params"]["status"] == status {
                return heard;
            }
        }
    }
}

async fn hasty() -> Kit {
    Kit::with(|settings| settings.grace = Duration::ZERO).await
}

async fn begun(kit: &Kit, peer: &mut Peer, line: &str) -> String {
    let handle = peer.declaring("tools/call", run(kit, line, &json!({}))).await;
    handle["taskId"].as_str().unwrap_or_else(|| panic!("{handle}")).to_owned()
}

#[tokio::test]
async fn tasks_are_told_at_the_beginning_and_at_each_change() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let mut other = Peer::new(&kit, transport, "other").await;
        let id = begun(&kit, &mut peer, &gate.line()).await;
        kit.runs(&id).await;
        let foreign = begun(&kit, &mut other, "sleep 1000").await;
        let wanted = json!({ "notifications": {
            "taskIds": [id, "j_unknown", foreign, id],
            "resourceSubscriptions": [format!("longshore://jobs/{id}"), "file:///etc/passwd"],
            "toolsListChanged": true,
        } });
        let mut listener = Listener::begin(&kit, transport, wanted, declaring_meta()).await;
        assert!(matches!(listener, Listener::Stdio(_) | Listener::Http { streams: true, .. }));
        let acknowledged = listener.hear().await;
        let snapshot = listener.hear().await;
        gate.open().await;
        let completed = listener.until("completed").await;
        let updated = listener.hear().await;
        assert_json_snapshot!("listen", redact(&json!([acknowledged, snapshot, updated])));
        let mut task = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        let mut told = completed["params"].clone();
        for (value, members) in [(&mut task, ["resultType", "_meta"]), (&mut told, ["_meta", "_meta"])] {
            members.iter().for_each(|member| drop(value.as_object_mut().unwrap().remove(*member)));
        }
        assert_eq!(told, task);
        other.declaring("tasks/cancel", json!({ "taskId": foreign })).await;
        // Nothing is told of what belongs to somebody else: the next message is the end.
        kit.engine.drain();
        let mut end = vec![listener.hear().await];
        if matches!(transport, Transport::Stdio) {
            assert_eq!(end[0]["method"], "notifications/cancelled");
            assert_eq!(end[0]["params"]["requestId"], 7);
            end.push(listener.hear().await);
        }
        assert_json_snapshot!("listen_end", end.last());
    }
}

#[tokio::test]
async fn the_list_of_resources_is_told_of_when_it_changes() {
    for transport in TRANSPORTS {
        let kit = Kit::new().await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let mut other = Peer::new(&kit, transport, "other").await;
        let wanted = json!({ "notifications": { "resourcesListChanged": true, "promptsListChanged": true } });
        let mut listener = Listener::begin(&kit, transport, wanted, modern_meta()).await;
        let acknowledged = listener.hear().await;
        other.declaring("tools/call", run(&kit, "true", &json!({}))).await;
        let ended = peer.plain("tools/call", run(&kit, "true", &json!({}))).await;
        let came = listener.hear().await;
        let job = ended["structuredContent"]["job"].as_str().unwrap_or_else(|| panic!("{ended}"));
        kit.engine.remove(&Caller::owner(), job).await.unwrap();
        let went = listener.hear().await;
        assert_eq!(came, went);
        assert_json_snapshot!("listen_list", json!([acknowledged, came]));
        // Its end and the job of somebody else are no news: the next message is the end.
        kit.engine.drain();
        assert_ne!(listener.hear().await["method"], came["method"]);
    }
}

#[tokio::test]
async fn listening_for_tasks_must_be_declared() {
    for transport in TRANSPORTS {
        let kit = Kit::new().await;
        let wanted = json!({ "notifications": { "taskIds": [] } });
        let mut listener = Listener::begin(&kit, transport, wanted, modern_meta()).await;
        assert_json_snapshot!("listen_undeclared", listener.hear().await);
        let mut listener = Listener::begin(&kit, transport, json!({}), declaring_meta()).await;
        assert_eq!(listener.hear().await["error"]["code"], -32602);
        let many = json!({ "notifications": { "resourceSubscriptions": vec!["x"; 10_001] } });
        let mut listener = Listener::begin(&kit, transport, many, modern_meta()).await;
        assert_json_snapshot!("listen_too_much", listener.hear().await["error"]);
        let nothing = json!({ "notifications": { "toolsListChanged": true } });
        let mut listener = Listener::begin(&kit, transport, nothing, modern_meta()).await;
        assert_eq!(listener.hear().await["params"]["notifications"], json!({}));
    }
}

#[tokio::test]
async fn a_listen_ends_when_its_client_gives_it_up() {
    let kit = hasty().await;
    let mut peer = Peer::new(&kit, Transport::Stdio, "owner").await;
    let id = begun(&kit, &mut peer, "sleep 1000").await;
    kit.runs(&id).await;
    let wanted = json!({ "notifications": { "taskIds": [id] }, "_meta": declaring_meta() });
    let mut client = Client::connect(&kit.server, Principal::agent("owner"));
    for number in 0..40 {
        let name = format!("listen {number}");
        client.say(&json!({ "jsonrpc": "2.0", "id": name, "method": "subscriptions/listen", "params": wanted })).await;
        let acknowledged = client.hear().await;
        assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], json!(name));
        assert_eq!(client.hear().await["params"]["status"], "working");
        let cancel = json!({ "requestId": name });
        client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancel })).await;
        client.request("tasks/get", json!({ "taskId": id, "_meta": declaring_meta() })).await;
    }
    peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
    client.end().await;
    assert_eq!(client.hear().await, Value::Null);
}

#[tokio::test]
async fn the_listens_of_a_connection_have_a_bound() {
    let kit = Kit::new().await;
    let mut client = Client::connect(&kit.server, Principal::agent("owner"));
    for _ in 0..16 {
        client.ask("subscriptions/listen", json!({ "notifications": {}, "_meta": modern_meta() })).await;
        assert_eq!(client.hear().await["method"], "notifications/subscriptions/acknowledged");
    }
    let refused = client.request("subscriptions/listen", json!({ "notifications": {}, "_meta": modern_meta() })).await;
    assert_json_snapshot!("too_many_listens", refused["error"]);
}

#[tokio::test]
async fn one_caller_over_http_leaves_room_for_others() {
    let kit = Kit::new().await;
    let params = json!({ "notifications": {}, "_meta": modern_meta() });
    let begin = |name: &str| router(&kit, name).oneshot(post("subscriptions/listen", 7, &params));
    let mut open = vec![];
    for _ in 0..256 {
        open.push(begin("owner").await.unwrap());
    }
    assert!(open.iter().all(|response| response.status() == 200));
    let refused = begin("owner").await.unwrap();
    assert_eq!(refused.status(), 429);
    let refused = refused.into_body().collect().await.unwrap().to_bytes();
    let refused: Value = serde_json::from_slice(&refused).unwrap();
    assert_eq!((&refused["id"], &refused["error"]["data"]["code"]), (&json!(7), &json!("rate_limited")));
    assert_eq!(begin("other").await.unwrap().status(), 200);
    open.pop();
    assert_eq!(begin("owner").await.unwrap().status(), 200);
}
