//! Line 3: requests about tasks that cannot be served, each with its own error.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::modern::{Ask, Modern};
use super::super::world::{World, undeclaring};
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        3,
        BOTH,
        "errors/undeclared",
        undeclared,
        "get, update and cancel without declaring tasks are -32021 with what is missing"
    ),
    check!(3, BOTH, "errors/unknown-id", unknown_id, "get, update and cancel of an unknown id are -32602"),
    check!(3, BOTH, "errors/missing-id", missing_id, "get, update and cancel without an id are -32602"),
    check!(3, BOTH, "errors/odd-id", odd_id, "an id that is no string is -32602"),
    check!(3, BOTH, "errors/update-without-answers", without_answers, "an update without `inputResponses` is -32602"),
    check!(
        3,
        BOTH,
        "errors/session",
        session,
        "get, result and cancel of an unknown or missing id are -32602 in a session"
    ),
];

const METHODS: &[&str] = &["tasks/get", "tasks/update", "tasks/cancel"];

fn params(method: &str, id: &Value) -> Value {
    let mut params = json!({"taskId": id});
    if method == "tasks/update" {
        params["inputResponses"] = json!({});
    }
    params
}

async fn each_is_invalid(client: &Modern, change: impl Fn(&mut Value)) -> Result<()> {
    for method in METHODS {
        let mut params = params(method, &json!("unknown"));
        change(&mut params);
        let told = client.call(method, params).await?;
        told.error(-32602)?;
    }
    Ok(())
}

async fn undeclared(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 30, "label": "errors"})).await?;
    for (_, capabilities) in undeclaring() {
        for id in [json!(id), json!("unknown")] {
            for method in METHODS {
                let told = client.ask(Ask::new(method, params(method, &id)).declares(capabilities.clone())).await?;
                told.judge(shape::missing_tasks(told.any_error()?))?;
            }
        }
    }
    client.until_status(&id, "working").await?;
    client.cancel(&id).await
}

async fn unknown_id(world: &World) -> Result<()> {
    let client = world.client().await?;
    let unknown = ["unknown", "00000000-0000-4000-8000-000000000000", " ", "../tasks", "größe", &"x".repeat(2000)];
    for id in unknown {
        each_is_invalid(&client, |params| params["taskId"] = json!(id)).await?;
    }
    client.is_well().await
}

async fn missing_id(world: &World) -> Result<()> {
    let client = world.client().await?;
    each_is_invalid(&client, |params| drop(params.as_object_mut().and_then(|members| members.remove("taskId")))).await
}

async fn odd_id(world: &World) -> Result<()> {
    let client = world.client().await?;
    for id in [json!(7), json!(null), json!({}), json!(["unknown"]), json!(true)] {
        each_is_invalid(&client, |params| params["taskId"] = id.clone()).await?;
    }
    client.is_well().await
}

async fn without_answers(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let id = client.task("confirm_delete", json!({"filename": "errors.txt"})).await?;
    client.call("tasks/update", json!({"taskId": id})).await?.error(-32602)?;
    client.until_status(&id, "input_required").await?;
    client.cancel(&id).await
}

async fn session(world: &World) -> Result<()> {
    let session = world.session_with_tasks().await?;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        session.call(method, json!({"taskId": "unknown"})).await?.error(-32602)?;
        session.call(method, json!({})).await?.error(-32602)?;
    }
    Ok(())
}
