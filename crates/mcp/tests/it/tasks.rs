//! Tasks of the extension, on both transports.

use std::time::Duration;

use insta::assert_json_snapshot;
use longshore_engine::ops::Caller;
use serde_json::{Value, json};

use crate::kit::{Kit, LIMIT};
use crate::peer::{Peer, TRANSPORTS, Transport, post, router, run};
use crate::redact::redact;

/// A server that makes a task of whatever has not ended at once.
async fn hasty() -> Kit {
    Kit::with(|settings| settings.grace = Duration::ZERO).await
}

/// A server that leaves time for what ends soon.
async fn patient() -> Kit {
    Kit::with(|settings| settings.grace = LIMIT).await
}

fn id_of(task: &Value) -> String {
    task["taskId"].as_str().unwrap_or_else(|| panic!("{task}")).to_owned()
}

async fn ended(kit: &Kit, id: &str) {
    let job = kit.engine.find(&Caller::owner().principal, id).await.unwrap();
    assert!(kit.engine.wait_one(job, LIMIT).await.unwrap().is_finished());
}

#[tokio::test]
async fn a_slow_call_becomes_a_task_whose_result_is_that_of_the_call() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let mut handle = peer.declaring("tools/call", run(&kit, &gate.line(), &json!({}))).await;
        let id = id_of(&handle);
        // It may be claimed or run already.
        assert!(handle["statusMessage"].take().as_str().unwrap().contains(": work"), "{handle}");
        kit.runs(&id).await;
        let working = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        gate.open().await;
        ended(&kit, &id).await;
        let completed = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_json_snapshot!("task_life", redact(&json!([handle, working, completed])));
        let again = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_eq!(completed, again);
    }
}

#[tokio::test]
async fn what_ends_within_the_grace_is_an_ordinary_result() {
    for transport in TRANSPORTS {
        let kit = patient().await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let call = run(&kit, "echo done; exit 3", &json!({ "key": "k" }));
        let declared = peer.declaring("tools/call", call.clone()).await;
        assert_eq!(declared["resultType"], "complete");
        let id = declared["structuredContent"]["job"].as_str().unwrap().to_owned();
        let task = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_eq!((&task["status"], &task["result"]["isError"]), (&json!("completed"), &json!(true)));
        assert_eq!(task["result"], declared);
        let refused = peer.declaring("tools/call", json!({ "name": "run", "arguments": { "command": [] } })).await;
        assert_eq!((&refused["resultType"], &refused["isError"]), (&json!("complete"), &json!(true)));
    }
}

#[tokio::test]
async fn only_a_request_that_declares_tasks_gets_one() {
    for transport in TRANSPORTS {
        let kit = Kit::with(|settings| {
            settings.grace = Duration::ZERO;
            settings.leg = Duration::ZERO;
        })
        .await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let call = run(&kit, &gate.line(), &json!({ "key": "k" }));
        let mut with_legacy_wish = call.clone();
        with_legacy_wish["task"] = json!({ "ttl": 1 });
        let handle = peer.declaring("tools/call", call.clone()).await;
        assert_eq!(handle["resultType"], "task");
        let id = id_of(&handle);
        assert_eq!(peer.plain("tools/call", call.clone()).await["resultType"], "input_required");
        assert_eq!(peer.plain("tools/call", with_legacy_wish).await["resultType"], "input_required");
        // The key gives the same job, and each caller the kind of answer that it can read.
        assert_eq!(id_of(&peer.declaring("tools/call", call).await), id);
        let mut refusals = vec![];
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            refusals.push(peer.plain(method, json!({ "taskId": id })).await);
        }
        for method in ["tasks/list", "tasks/result"] {
            refusals.push(peer.declaring(method, json!({ "taskId": id })).await);
        }
        assert_json_snapshot!("undeclared", refusals);
        assert_eq!(peer.declaring("tasks/get", json!({ "taskId": id })).await["status"], "working");
        gate.open().await;
        ended(&kit, &id).await;
    }
}

#[tokio::test]
async fn tasks_of_others_are_like_unknown_ones() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let mut owner = Peer::new(&kit, transport, "owner").await;
        let mut other = Peer::new(&kit, transport, "other").await;
        let handle = owner.declaring("tools/call", run(&kit, "sleep 1000", &json!({}))).await;
        let id = id_of(&handle);
        let unknown = format!("j_{}", "0".repeat(36));
        let mut answers = vec![];
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            for params in [json!({ "taskId": id }), json!({ "taskId": unknown }), json!({ "taskId": "#1" }), json!({})]
            {
                answers.push(other.declaring(method, params).await);
            }
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_json_snapshot!("unknown_task", answers[0]);
        assert_eq!(owner.declaring("tasks/get", json!({ "taskId": id })).await["status"], "working");
        owner.declaring("tasks/cancel", json!({ "taskId": id })).await;
        ended(&kit, &id).await;
    }
}

#[tokio::test]
async fn cancelling_is_acknowledged_in_every_state_and_ends_the_job() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let id = id_of(&peer.declaring("tools/call", run(&kit, "echo here; sleep 1000", &json!({}))).await);
        kit.runs(&id).await;
        let first = peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
        let second = peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
        ended(&kit, &id).await;
        let third = peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
        let task = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_eq!((&first, &second), (&third, &third));
        assert_json_snapshot!("cancelled_task", redact(&json!([first, task])));
        let done = peer.declaring("tools/call", run(&kit, "true", &json!({ "wait_s": 0 }))).await;
        let id = id_of(&done);
        ended(&kit, &id).await;
        peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
        assert_eq!(peer.declaring("tasks/get", json!({ "taskId": id })).await["status"], "completed");
        let queued = run(&kit, "true", &json!({ "start_in_s": 1000 }));
        let id = id_of(&peer.declaring("tools/call", queued).await);
        peer.declaring("tasks/cancel", json!({ "taskId": id })).await;
        assert_eq!(peer.declaring("tasks/get", json!({ "taskId": id })).await["status"], "cancelled");
    }
}

#[tokio::test]
async fn a_call_that_comes_to_nothing_is_a_failed_task_with_its_reason() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let call = json!({ "name": "run", "arguments": {
            "command": ["/no/such/program"], "cwd": kit.path(), "name": "work", "background": true,
        } });
        let id = id_of(&peer.declaring("tools/call", call).await);
        ended(&kit, &id).await;
        assert_json_snapshot!("failed_task", redact(&peer.declaring("tasks/get", json!({ "taskId": id })).await));
    }
}

#[tokio::test]
async fn tasks_survive_the_end_of_the_server_and_of_whoever_asked() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let id = id_of(&peer.declaring("tools/call", run(&kit, &gate.line(), &json!({}))).await);
        kit.runs(&id).await;
        drop(peer);
        let kit = kit.reopen(|settings| settings.grace = Duration::ZERO).await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        assert_eq!(peer.declaring("tasks/get", json!({ "taskId": id })).await["status"], "working");
        gate.open().await;
        ended(&kit, &id).await;
        let task = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_eq!(task["status"], "completed");
        assert_eq!(task["result"]["structuredContent"]["output"], "here\nthrough\n");
        let kit = kit.reopen(|_| {}).await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        assert_eq!(peer.declaring("tasks/get", json!({ "taskId": id })).await, task);
    }
}

#[tokio::test]
async fn polling_writes_nothing() {
    let kit = hasty().await;
    let mut peer = Peer::new(&kit, Transport::Stdio, "owner").await;
    let id = id_of(&peer.declaring("tools/call", run(&kit, "true", &json!({ "start_in_s": 1000 }))).await);
    let newest = kit.engine.newest_event().await.unwrap();
    let job = kit.engine.find(&Caller::owner().principal, &id).await.unwrap();
    let before = peer.declaring("tasks/get", json!({ "taskId": id })).await;
    for _ in 0..100 {
        let mut task = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        task["pollIntervalMs"] = before["pollIntervalMs"].clone();
        assert_eq!(task, before);
    }
    assert_eq!(kit.engine.newest_event().await.unwrap(), newest);
    assert_eq!(kit.engine.find(&Caller::owner().principal, &id).await.unwrap(), job);
}

#[tokio::test]
async fn the_header_repeats_the_id_of_the_task() {
    use tower::ServiceExt;
    let kit = hasty().await;
    let id = format!("j_{}", "0".repeat(36));
    let params = json!({ "taskId": id, "_meta": crate::peer::declaring_meta() });
    let mut request = post("tasks/get", 1, &params);
    request.headers_mut().insert("mcp-name", "j_other".parse().unwrap());
    assert_eq!(router(&kit, "owner").oneshot(request).await.unwrap().status(), 400);
}
