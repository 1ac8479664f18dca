//! Line 9: a task of somebody else is as unknown as one that never was.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::legacy::{self, Legacy};
use super::super::modern::{Modern, accept};
use super::super::stream::Subscription;
use super::super::world::{World, not_run};
use super::super::{Check, HTTP, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        9,
        HTTP,
        "owners/same-as-unknown",
        same_as_unknown,
        "get, update and cancel of another's task answer as for an unknown id"
    ),
    check!(9, HTTP, "owners/untouched", untouched, "what another tries leaves the task as it was"),
    check!(9, HTTP, "owners/listen", listen, "another's task is never granted nor told"),
    check!(9, HTTP, "owners/session", session, "another's session neither reads nor lists nor cancels it"),
    check!(9, HTTP, "owners/keys", keys, "the same key of two owners gives two tasks"),
];

/// As long as the ids of the server, and not one of them.
fn unknown_like(id: &str) -> String {
    let turned: String = id.chars().rev().collect();
    if turned == id { format!("{id}x") } else { turned }
}

/// Work that is there until it is cancelled.
fn lasting(label: &str) -> Value {
    json!({"seconds": 60, "label": label})
}

async fn tried(client: &Modern, method: &str, id: &str) -> Result<(String, Option<u16>)> {
    let mut params = json!({"taskId": id});
    if method == "tasks/update" {
        params["inputResponses"] = json!({"confirm": accept("stolen")});
    }
    let told = client.call(method, params).await?;
    told.error(-32602)?;
    Ok((told.text().to_owned(), told.status))
}

async fn same_as_unknown(world: &World) -> Result<()> {
    let thief = world.somebody_else()?;
    let owner = world.client_with(&["slow_compute"]).await?;
    let id = owner.task("slow_compute", lasting("mine")).await?;
    let unknown = unknown_like(&id);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let (foreign, foreign_status) = tried(&thief, method, &id).await?;
        let (missing, missing_status) = tried(&thief, method, &unknown).await?;
        ensure!(foreign_status == missing_status, "{method}: HTTP {foreign_status:?} and {missing_status:?}");
        shape::same_but_for_id((&foreign, &id), (&missing, &unknown))?;
    }
    owner.cancel(&id).await
}

async fn untouched(world: &World) -> Result<()> {
    let thief = world.somebody_else()?;
    let owner = world.client_with(&["confirm_delete"]).await?;
    let id = owner.task("confirm_delete", json!({"filename": "mine.txt"})).await?;
    let keys = owner.questions(&id, 1).await?;
    let before = owner.get(&id).await?;
    thief
        .call("tasks/update", json!({"taskId": id, "inputResponses": {&keys[0]: accept("x")}}))
        .await?
        .error(-32602)?;
    thief.call("tasks/cancel", json!({"taskId": id})).await?.error(-32602)?;
    let after = owner.get(&id).await?;
    after.judge(shape::same_task(before.text(), after.text()))?;
    owner.cancel(&id).await
}

async fn listen(world: &World) -> Result<()> {
    let thief = world.somebody_else()?;
    let owner = world.client_with(&["slow_compute"]).await?;
    let id = owner.task("slow_compute", lasting("mine")).await?;
    let own = thief.task("slow_compute", lasting("theirs")).await?;
    let mut subscription = Subscription::open(&thief, json!("thief"), &[&id, &own]).await?;
    ensure!(subscription.grants == [json!(own)], "granted {}", json!(subscription.grants));
    owner.cancel(&id).await?;
    owner.until_status(&id, "cancelled").await?;
    world.somebody_else()?.cancel(&own).await?;
    loop {
        let view = subscription.task().await?;
        ensure!(view["taskId"] == own.as_str(), "another's task was told: {view}");
        if view["status"] == "cancelled" {
            return Ok(());
        }
    }
}

async fn session(world: &World) -> Result<()> {
    let line = world.line_of_somebody_else()?;
    world.client_with(&["slow_compute"]).await?;
    let owner = world.session_with_tasks().await?;
    let thief = Legacy::open(line, legacy::VERSION, json!({"elicitation": {}})).await?;
    let id = owner.task("slow_compute", lasting("mine"), None).await?;
    let unknown = unknown_like(&id);
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let foreign = thief.call(method, json!({"taskId": id})).await?;
        let missing = thief.call(method, json!({"taskId": unknown})).await?;
        foreign.error(-32602)?;
        foreign.judge(shape::same_but_for_id((foreign.text(), &id), (missing.text(), &unknown)))?;
    }
    if thief.hello["capabilities"]["tasks"]["list"].is_object() {
        let listed = thief.call("tasks/list", json!({})).await?;
        let tasks = listed.result()?["tasks"].as_array().cloned().unwrap_or_default();
        listed.ensure(tasks.iter().all(|task| task["taskId"] != id.as_str()), "another's task is listed")?;
    }
    owner.call("tasks/cancel", json!({"taskId": id})).await.map(|_| ())
}

async fn keys(world: &World) -> Result<()> {
    let other = world.somebody_else()?;
    let Some(name) = world.options.key_meta.as_deref() else { return Err(not_run("needs --key-meta")) };
    let owner = world.client_with(&["slow_compute"]).await?;
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let arguments = json!({"seconds": 30, "label": "owners"});
    let meta: Value = json!({name: format!("{:x}", u64::from_ne_bytes(bytes))});
    let params = json!({"name": "slow_compute", "arguments": arguments, "_meta": meta});
    let mut ids = vec![];
    for client in [&owner, &other] {
        let made = client.call("tools/call", params.clone()).await?;
        ids.push(made.judge(shape::created(made.result()?))?);
    }
    ensure!(ids[0] != ids[1], "two owners share the task {}", ids[0]);
    owner.cancel(&ids[0]).await?;
    other.cancel(&ids[1]).await
}
