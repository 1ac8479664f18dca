//! Calls that come back until their job has ended.

use std::time::Duration;

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::kit::{Kit, LIMIT, job_of};
use crate::peer::{Peer, TRANSPORTS, run};
use crate::redact::redact;

/// A server whose legs end at once.
async fn restless() -> Kit {
    Kit::with(|settings| settings.leg = Duration::ZERO).await
}

fn state_of(answer: &Value) -> Value {
    assert_eq!(answer["resultType"], "input_required", "{answer}");
    answer["requestState"].clone()
}

#[tokio::test]
async fn the_call_comes_back_until_the_job_has_ended() {
    for transport in TRANSPORTS {
        let kit = restless().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let mut call = run(&kit, &gate.line(), &json!({}));
        let first = peer.plain("tools/call", call.clone()).await;
        let mut shown = first.clone();
        shown["requestState"] = json!("<state>");
        assert_json_snapshot!("leg", shown);
        call["requestState"] = state_of(&first);
        call["requestState"] = state_of(&peer.plain("tools/call", call.clone()).await);
        // Else it would be begun anew.
        kit.speaks("1").await;
        // The server may be another one meanwhile.
        let kit = kit.reopen(|settings| settings.leg = LIMIT).await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let (last, ()) = tokio::join!(peer.plain("tools/call", call.clone()), gate.open());
        assert_json_snapshot!("last_leg", redact(&last));
        assert_eq!(kit.engine.list(&longshore_engine::ops::Caller::owner(), all()).await.unwrap().jobs.len(), 1);
        assert_eq!(peer.plain("tools/call", call).await, last);
    }
}

fn all() -> longshore_engine::ops::ListQuery {
    longshore_engine::ops::ListQuery { limit: 10, ..Default::default() }
}

#[tokio::test]
async fn the_eighth_leg_gives_the_handle() {
    for transport in TRANSPORTS {
        let kit = restless().await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let mut call = run(&kit, "true", &json!({ "start_in_s": 1000 }));
        for _ in 1..8 {
            call["requestState"] = state_of(&peer.plain("tools/call", call.clone()).await);
        }
        let handle = peer.plain("tools/call", call).await;
        assert_eq!(
            (&handle["resultType"], &handle["structuredContent"]["state"]),
            (&json!("complete"), &json!("waiting"))
        );
        assert!(handle["structuredContent"]["next"].as_str().unwrap().contains("job_wait"));
    }
}

#[tokio::test]
async fn who_wants_no_wait_gets_the_handle_at_once() {
    let kit = restless().await;
    for transport in TRANSPORTS {
        for more in [json!({ "background": true }), json!({ "wait_s": 0 })] {
            let mut peer = Peer::new(&kit, transport, "owner").await;
            let mut call = run(&kit, "true", &json!({ "start_in_s": 1000 }));
            call["arguments"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            job_of(&peer.plain("tools/call", call).await);
        }
    }
}

#[tokio::test]
async fn a_state_is_of_no_use_to_others_or_for_another_call() {
    for transport in TRANSPORTS {
        let kit = restless().await;
        let mut owner = Peer::new(&kit, transport, "owner").await;
        let mut other = Peer::new(&kit, transport, "other").await;
        let call = run(&kit, "true", &json!({ "start_in_s": 1000 }));
        let state = state_of(&owner.plain("tools/call", call.clone()).await);
        let with = |call: &Value, state: Value| {
            let mut call = call.clone();
            call["requestState"] = state;
            call
        };
        let foreign = other.plain("tools/call", with(&call, state.clone())).await;
        let tampered = json!(format!("{}x", state.as_str().unwrap()));
        let tampered = owner.plain("tools/call", with(&call, tampered)).await;
        let another = run(&kit, "false", &json!({ "start_in_s": 1000 }));
        let another = owner.plain("tools/call", with(&another, state.clone())).await;
        let quick = json!({ "name": "job_list", "arguments": {} });
        let quick = owner.plain("tools/call", with(&quick, state.clone())).await;
        assert_json_snapshot!("refused_states", [foreign, tampered, another, quick]);
        // One who takes tasks from now on gets the task of the same job.
        let task = owner.declaring("tools/call", with(&call, state)).await;
        assert_eq!(task["resultType"], "task", "{task}");
    }
}
