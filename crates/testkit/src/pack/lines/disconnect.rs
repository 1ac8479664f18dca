//! Line 12: who hangs up, and what that means.

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::modern::Ask;
use super::super::stream::Subscription;
use super::super::world::World;
use super::super::{BOTH, Check, HTTP, STDIO, check};

pub(super) const CHECKS: &[Check] = &[
    check!(12, BOTH, "disconnect/after-handle", after_handle, "a task goes on when the one who asked for it has gone"),
    check!(12, HTTP, "disconnect/listener", listener, "a task goes on when its listener hangs up"),
    check!(12, BOTH, "disconnect/plain-call", plain_call, "giving up a plain call leaves the server well"),
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

async fn plain_call(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let params = json!({"name": "slow_compute", "arguments": {"seconds": 2, "label": "given up"}});
    let ask = Ask::new("tools/call", params).declares(json!({})).id(json!("given-up"));
    if client.line.is_http() {
        // Hangs up before the answer's headers or after them, whichever comes first.
        drop(tokio::time::timeout(std::time::Duration::from_millis(300), client.open(&ask)).await);
    } else {
        let given_up = client.open(&ask).await?;
        client.notify("notifications/cancelled", json!({"requestId": "given-up"})).await?;
        client.is_well().await?;
        drop(given_up);
    }
    client.is_well().await
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
