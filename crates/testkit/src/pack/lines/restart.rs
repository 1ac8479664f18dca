//! Line 6: a restart with a task in each state.

use anyhow::{Result, ensure};
use serde_json::json;

use super::super::modern::{Modern, accept};
use super::super::world::{Transport, World, hook};
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(6, BOTH, "restart/ended", ended, "completed, failed and cancelled tasks are the same afterwards"),
    check!(6, BOTH, "restart/working", working, "a working task can be polled on, and ends"),
    check!(
        6,
        BOTH,
        "restart/asking",
        asking,
        "a question is the same afterwards, byte for byte, and its answer counts"
    ),
    check!(
        6,
        BOTH,
        "restart/half-answered",
        half_answered,
        "an answer from before the restart need not be given again"
    ),
    check!(6, BOTH, "restart/session", session, "tasks of a session outlive it and the restart"),
];

async fn client(world: &World, tools: &[&str]) -> Result<Modern> {
    if world.transport == Transport::Http {
        hook(world.options.stop.as_deref(), "--stop")?;
        hook(world.options.start.as_deref(), "--start")?;
    }
    world.client_with(tools).await
}

async fn ended(world: &World) -> Result<()> {
    let tools = ["slow_compute", "failing_job", "protocol_error_job", "confirm_delete"];
    let client = client(world, &tools).await?;
    let mut tasks = vec![];
    for (tool, arguments) in [
        ("slow_compute", json!({"seconds": 0, "label": "ended"})),
        ("failing_job", json!({})),
        ("protocol_error_job", json!({})),
        ("confirm_delete", json!({"filename": "restart.txt"})),
    ] {
        let id = client.task(tool, arguments).await?;
        if tool == "confirm_delete" {
            client.cancel(&id).await?;
        }
        tasks.push((client.until_ended(&id).await?, id));
    }
    let client = world.restart().await?;
    for (before, id) in tasks {
        let after = client.get(&id).await?;
        after.judge(shape::same_task(before.text(), after.text()))?;
    }
    Ok(())
}

async fn working(world: &World) -> Result<()> {
    let client = client(world, &["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 3, "label": "restart"})).await?;
    let before = client.until_status(&id, "working").await?;
    let client = world.restart().await?;
    let end = client.until_settled(&id).await?;
    end.ensure(end.result()?["createdAt"] == before.result()?["createdAt"], "it is another task of that id")
}

async fn ends_well(client: &Modern, id: &str) -> Result<()> {
    let end = client.until_settled(id).await?;
    end.ensure(end.result()?["status"] == "completed", "it was answered, and did not complete")
}

async fn asking(world: &World) -> Result<()> {
    let client = client(world, &["confirm_delete"]).await?;
    let id = client.task("confirm_delete", json!({"filename": "restart.txt"})).await?;
    let keys = client.questions(&id, 1).await?;
    let before = shape::raw_questions(client.get(&id).await?.text())?;
    let client = world.restart().await?;
    client.questions(&id, 1).await?;
    let after = client.get(&id).await?;
    let found = shape::raw_questions(after.text())?;
    after.ensure(found == before, &format!("the question was {before:?} before"))?;
    client.answer(&id, json!({&keys[0]: accept("yes")})).await?;
    ends_well(&client, &id).await
}

async fn half_answered(world: &World) -> Result<()> {
    let client = client(world, &["multi_input"]).await?;
    let id = client.task("multi_input", json!({})).await?;
    let keys = client.questions(&id, 2).await?;
    client.answer(&id, json!({&keys[0]: accept("before")})).await?;
    client.until(&id, |task| task["inputRequests"].get(&keys[0]).is_none()).await?;
    let client = world.restart().await?;
    let left = client.questions(&id, 1).await?;
    ensure!(left == keys[1..], "the questions {left:?} are open, and {} was answered before", keys[0]);
    client.answer(&id, json!({&keys[1]: accept("after")})).await?;
    let end = client.until_status(&id, "completed").await?;
    let said = end.result()?["result"].to_string();
    end.ensure(said.contains("before") && said.contains("after"), "the result does not show both answers")
}

async fn session(world: &World) -> Result<()> {
    client(world, &["slow_compute"]).await?;
    let before = world.session_with_tasks().await?;
    let id = before.task("slow_compute", json!({"seconds": 0, "label": "session"}), None).await?;
    before.until_status(&id, "completed").await?;
    world.restart().await?;
    let after = world.session_with_tasks().await?;
    after.until_status(&id, "completed").await?;
    let result = after.call("tasks/result", json!({"taskId": id})).await?;
    result.ensure(result.result()?["content"].is_array(), "the result is gone")
}
