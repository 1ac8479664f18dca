//! Line 12: who hangs up, and what that means.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::modern::{Ask, Modern};
use super::super::stream::Subscription;
use super::super::world::{World, hook};
use super::super::{BOTH, Check, HTTP, STDIO, check, shape};
use super::kill::fresh_key;

/// A client hangs up after this long.
const HANG_UP: Duration = Duration::from_millis(300);
/// Longer than what is given up would take.
const SILENCE: Duration = Duration::from_millis(2_500);

pub(super) const CHECKS: &[Check] = &[
    check!(12, BOTH, "disconnect/after-handle", after_handle, "a task goes on when the one who asked for it has gone"),
    check!(12, HTTP, "disconnect/listener", listener, "a task goes on when its listener hangs up"),
    check!(12, BOTH, "disconnect/plain-call", plain_call, "a plain call that is given up is answered no more"),
    check!(12, BOTH, "disconnect/plain-work", plain_work, "its work goes on, and is found by its key"),
    check!(
        12,
        HTTP,
        "disconnect/session-result",
        session_result,
        "hanging up on tasks/result cancels nothing, and it can be asked again"
    ),
    check!(
        12,
        HTTP,
        "disconnect/session-stream",
        session_stream,
        "a question whose stream was dropped is asked again on the next one"
    ),
    check!(
        12,
        STDIO,
        "disconnect/end-of-input",
        end_of_input,
        "a process whose input ends exits by itself: before its first line, and in the middle of work"
    ),
];

async fn after_handle(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 1, "label": "disconnect"})).await?;
    drop(client);
    world.client().await?.until_status(&id, "completed").await.map(|_| ())
}

async fn listener(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 1, "label": "disconnect"})).await?;
    let subscription = Subscription::granted(&client, json!(1200), &[&id]).await?;
    drop(subscription);
    client.until_status(&id, "completed").await.map(|_| ())
}

/// Calls without tasks and gives the call up while it is worked on.
async fn give_up(client: &Modern, params: Value) -> Result<()> {
    let ask = Ask::new("tools/call", params).declares(json!({})).id(json!("given-up"));
    if client.line.is_http() {
        // Hangs up before the answer's headers or after them, whichever comes first.
        drop(tokio::time::timeout(HANG_UP, client.open(&ask)).await);
        return Ok(());
    }
    let (mut given_up, _) = client.open(&ask).await?;
    let told = tokio::time::timeout(HANG_UP, given_up.next(client.line.patience)).await;
    ensure!(told.is_err(), "the work was over before the call was given up: {told:?}");
    client.notify("notifications/cancelled", json!({"requestId": "given-up"})).await?;
    let told = tokio::time::timeout(SILENCE, given_up.next(client.line.patience)).await;
    ensure!(told.is_err(), "a request that was given up got {told:?}");
    Ok(())
}

async fn plain_call(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let arguments = json!({"seconds": 1, "label": "given up"});
    give_up(&client, json!({"name": "slow_compute", "arguments": arguments})).await?;
    client.is_well().await
}

async fn plain_work(world: &World) -> Result<()> {
    let name = hook(world.options.key_meta.as_deref(), "--key-meta")?;
    let client = world.client_with(&["slow_compute"]).await?;
    let arguments = json!({"seconds": 3, "label": "given up"});
    let params = json!({"name": "slow_compute", "arguments": arguments, "_meta": {name: fresh_key()?}});
    give_up(&client, params.clone()).await?;
    let given_up = jiff::Timestamp::now().as_millisecond();
    let found = client.call("tools/call", params).await?;
    let id = found.judge(shape::created(found.result()?))?;
    let created = shape::instant(&found.result()?["createdAt"]).context("an instant")?;
    found.ensure(created <= given_up, "the work began only when the call was repeated")?;
    client.until_status(&id, "completed").await.map(|_| ())
}

async fn session_result(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("slow_compute", json!({"seconds": 1, "label": "session"}), None).await?;
    let asking = session.send("tasks/result", json!({"taskId": id}));
    drop(tokio::time::timeout(std::time::Duration::from_millis(200), asking).await);
    let result = session.call("tasks/result", json!({"taskId": id})).await?;
    result.ensure(result.result()?["content"].is_array(), "no result of the call")?;
    session.until_status(&id, "completed").await.map(|_| ())
}

async fn session_stream(world: &World) -> Result<()> {
    world.client_with(&["confirm_delete"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("confirm_delete", json!({"filename": "dropped.txt"}), None).await?;
    session.until_status(&id, "input_required").await?;
    let (mut dropped, _) = session.send("tasks/result", json!({"taskId": id})).await?;
    while dropped.next(session.line.patience).await?.is_some_and(|message| !message.is_request()) {}
    drop(dropped);
    let answer = super::super::modern::accept("yes");
    let result = session.call_answering("tasks/result", json!({"taskId": id}), answer).await?;
    result.ensure(result.result()?["content"].is_array(), "no result of the call")
}

async fn end_of_input(world: &World) -> Result<()> {
    drop(world.open().await?);
    ensure!(world.end_child().await?, "the process had to be killed before its first line");
    let client = world.client_with(&["slow_compute"]).await?;
    client.task("slow_compute", json!({"seconds": 60, "label": "end of input"})).await?;
    ensure!(world.end_child().await?, "the process had to be killed in the middle of work");
    Ok(())
}
