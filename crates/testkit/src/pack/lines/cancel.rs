//! Line 10: cancelling, in every state, and against the end.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::legacy::Legacy;
use super::super::modern::{Modern, accept};
use super::super::world::World;
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(10, BOTH, "cancel/running", running, "a running task settles as cancelled"),
    check!(
        10,
        BOTH,
        "cancel/waiting",
        waiting,
        "a task that waits for an answer settles as cancelled, and a late answer changes nothing"
    ),
    check!(10, BOTH, "cancel/many", many, "of many tasks at once, begun or queued, each settles as cancelled"),
    check!(10, BOTH, "cancel/ended", ended, "an ended task acknowledges and stays as it is"),
    check!(10, BOTH, "cancel/twice", twice, "cancelling twice is acknowledged twice"),
    check!(10, BOTH, "cancel/race", race, "against the end either side wins, once, with a whole task"),
    check!(
        10,
        BOTH,
        "cancel/notification",
        notification,
        "notifications/cancelled for the call that made a task does not cancel it"
    ),
    check!(
        10,
        BOTH,
        "cancel/session-running",
        session_running,
        "in a session the reply is already cancelled, and it stays so"
    ),
    check!(10, BOTH, "cancel/session-waiting", session_waiting, "so is that of a task that waits for an answer"),
    check!(10, BOTH, "cancel/session-race", session_race, "in a session, too, either side wins against the end, once"),
    check!(
        10,
        BOTH,
        "cancel/session-ended",
        session_ended,
        "in a session cancelling an ended task is -32602, and so is cancelling twice"
    ),
];

/// Tasks that are cancelled at the same time.
const MANY: usize = 20;

async fn slow(client: &Modern, seconds: f64) -> Result<String> {
    client.task("slow_compute", json!({"seconds": seconds, "label": "cancel"})).await
}

async fn running(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = slow(&client, 60.0).await?;
    client.until_status(&id, "working").await?;
    client.cancel(&id).await?;
    client.until_status(&id, "cancelled").await.map(|_| ())
}

async fn waiting(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let id = client.task("confirm_delete", json!({"filename": "cancel.txt"})).await?;
    let keys = client.questions(&id, 1).await?;
    client.cancel(&id).await?;
    let before = client.until_status(&id, "cancelled").await?;
    client.answer(&id, json!({&keys[0]: accept("late")})).await?;
    let after = client.get(&id).await?;
    after.judge(shape::same_task(before.text(), after.text()))
}

async fn many(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let mut ids = vec![];
    for _ in 0..MANY {
        ids.push(slow(&client, 60.0).await?);
    }
    for id in &ids {
        client.cancel(id).await?;
    }
    for id in &ids {
        client.until_status(id, "cancelled").await?;
    }
    Ok(())
}

async fn unchanged_by_cancel(client: &Modern, id: &str) -> Result<()> {
    let before = client.until_ended(id).await?;
    client.cancel(id).await?;
    client.cancel(id).await?;
    let after = client.get(id).await?;
    after.judge(shape::same_task(before.text(), after.text()))
}

async fn ended(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute", "failing_job", "protocol_error_job"]).await?;
    for (tool, arguments) in [
        ("slow_compute", json!({"seconds": 0, "label": "ended"})),
        ("failing_job", json!({})),
        ("protocol_error_job", json!({})),
    ] {
        let id = client.task(tool, arguments).await?;
        unchanged_by_cancel(&client, &id).await?;
    }
    Ok(())
}

async fn twice(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = slow(&client, 60.0).await?;
    client.cancel(&id).await?;
    client.cancel(&id).await?;
    client.until_status(&id, "cancelled").await?;
    unchanged_by_cancel(&client, &id).await
}

async fn race(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let mut ends = [0_usize; 2];
    for seed in 0..world.options.races {
        // The work lasts 0 to 9 ms and the cancellation comes 0 to 9 ms later, in every combination.
        let id = slow(&client, (seed % 10) as f64 / 1e3).await?;
        tokio::time::sleep(Duration::from_millis((seed / 10 % 10) as u64)).await;
        client.cancel(&id).await?;
        let end = client.until_ended(&id).await?;
        let status = end.result()?["status"].as_str().unwrap_or_default();
        end.ensure(status != "failed", &format!("seed {seed}: neither side won"))?;
        ends[usize::from(status == "cancelled")] += 1;
        let again = client.get(&id).await?;
        again.judge(shape::same_task(end.text(), again.text()))?;
    }
    ensure!(ends.iter().sum::<usize>() == world.options.races, "{ends:?}");
    Ok(())
}

async fn notification(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let params = json!({"name": "slow_compute", "arguments": {"seconds": 1, "label": "goes on"}});
    let ask = super::super::modern::Ask::new("tools/call", params).id(json!("made-a-task"));
    let made = client.ask(ask).await?;
    let id = made.judge(shape::created(made.result()?))?;
    client.notify("notifications/cancelled", json!({"requestId": "made-a-task"})).await?;
    client.until_status(&id, "completed").await.map(|_| ())
}

async fn session_cancel(session: &Legacy, id: &str) -> Result<Value> {
    let told = session.call("tasks/cancel", json!({"taskId": id})).await?;
    told.judge(shape::legacy_task(told.result()?, Some("cancelled")))?;
    Ok(told.result()?.clone())
}

async fn session_race(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    for seed in 0..world.options.races {
        let seconds = (seed % 10) as f64 / 1e3;
        let id = session.task("slow_compute", json!({"seconds": seconds, "label": "race"}), None).await?;
        tokio::time::sleep(Duration::from_millis((seed / 10 % 10) as u64)).await;
        let told = session.call("tasks/cancel", json!({"taskId": id})).await?;
        let end = match told.result() {
            Ok(task) => told.judge(shape::legacy_task(task, Some("cancelled"))).map(|_| "cancelled")?,
            Err(_) => told.error(-32602).map(|_| "completed")?,
        };
        session.until_status(&id, end).await?;
        let again = session.call("tasks/cancel", json!({"taskId": id})).await?;
        again.error(-32602)?;
        session.until_status(&id, end).await?;
    }
    Ok(())
}

async fn session_running(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("slow_compute", json!({"seconds": 1, "label": "session"}), None).await?;
    session_cancel(&session, &id).await?;
    // The work would have ended by then; what it did must not show.
    let end = tokio::time::Instant::now() + Duration::from_millis(1500);
    while tokio::time::Instant::now() < end {
        let read = session.get(&id).await?;
        read.ensure(read.result()?["status"] == "cancelled", "it did not stay cancelled")?;
        super::super::modern::pause().await;
    }
    Ok(())
}

async fn session_waiting(world: &World) -> Result<()> {
    world.client_with(&["confirm_delete"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("confirm_delete", json!({"filename": "session.txt"}), None).await?;
    session.until_status(&id, "input_required").await?;
    session_cancel(&session, &id).await?;
    session.until_status(&id, "cancelled").await.map(|_| ())
}

async fn session_ended(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("slow_compute", json!({"seconds": 0, "label": "session"}), None).await?;
    session.until_status(&id, "completed").await?;
    session.call("tasks/cancel", json!({"taskId": id})).await?.error(-32602)?;
    session.until_status(&id, "completed").await?;
    let id = session.task("slow_compute", json!({"seconds": 60, "label": "session"}), None).await?;
    session_cancel(&session, &id).await?;
    session.call("tasks/cancel", json!({"taskId": id})).await?.error(-32602).map(|_| ())
}
