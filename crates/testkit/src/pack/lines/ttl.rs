//! Line 11: how long a task lives.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::legacy::Legacy;
use super::super::modern::pause;
use super::super::wire::Exchange;
use super::super::world::{World, not_run};
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(11, BOTH, "ttl/instants", instants, "createdAt stays, lastUpdatedAt moves only with the task"),
    check!(
        11,
        BOTH,
        "ttl/unmoved",
        unmoved,
        "lastUpdatedAt does not move when an answer or a cancellation changes nothing"
    ),
    check!(
        11,
        BOTH,
        "ttl/not-before",
        not_before,
        "a short-lived task is there until its time is over, and then whole, failed or gone"
    ),
    check!(11, BOTH, "ttl/session-not-before", session_not_before, "so is one of a session"),
    check!(
        11,
        BOTH,
        "ttl/while-running",
        while_running,
        "a task that works on is within its lifetime, which grows with it"
    ),
];

/// Lifetime that is asked for, and the longest that a check waits for.
const SHORT: u64 = 1500;
const WAITED_MAX: i64 = 15_000;
/// Between the server's clock and ours, both read at different moments of the same exchange.
const SLACK: i64 = 250;

async fn instants(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 0.5, "label": "ttl"})).await?;
    let first = client.get(&id).await?.result()?.clone();
    let mut last = first.clone();
    while last["status"] == "working" {
        let read = client.get(&id).await?;
        let task = read.result()?.clone();
        read.ensure(task["createdAt"] == first["createdAt"], &format!("it was created at {}", first["createdAt"]))?;
        let (before, now) = (shape::instant(&last["lastUpdatedAt"]), shape::instant(&task["lastUpdatedAt"]));
        read.ensure(before <= now, "lastUpdatedAt went back")?;
        let same = as_if_unread(&task) == as_if_unread(&last);
        read.ensure(!same || before == now, "lastUpdatedAt moved by reading")?;
        last = task;
        pause().await;
    }
    let again = client.get(&id).await?;
    again.ensure(*again.result()? == last, "an ended task changed by reading")
}

async fn unmoved(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 0, "label": "ttl"})).await?;
    let before = client.until_status(&id, "completed").await?;
    client.cancel(&id).await?;
    client.answer(&id, json!({"nobody-asked-this": {"action": "cancel"}})).await?;
    let after = client.get(&id).await?;
    let same = after.result()?["lastUpdatedAt"] == before.result()?["lastUpdatedAt"];
    after.ensure(same, &format!("it was {} before", before.result()?["lastUpdatedAt"]))
}

/// A task without the members that may change with time alone.
fn as_if_unread(task: &Value) -> Value {
    let mut task = task.clone();
    if let Some(members) = task.as_object_mut() {
        for member in ["lastUpdatedAt", "ttlMs", "pollIntervalMs", "_meta"] {
            members.remove(member);
        }
    }
    task
}

/// Milliseconds since 1970 when a task may go; `None` when it stays.
fn end_of(task: &Value, ttl: &str) -> Result<Option<i64>> {
    let created = shape::instant(&task["createdAt"]).context("an instant")?;
    Ok(task[ttl].as_i64().map(|ttl| created + ttl))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn short_lived(world: &World, seconds: f64) -> Result<(Legacy, String)> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("slow_compute", json!({"seconds": seconds, "label": "ttl"}), Some(SHORT)).await?;
    Ok((session, id))
}

/// When the task goes, if that is soon enough to wait for.
fn soon(task: &Value, ttl: &str) -> Result<i64> {
    match end_of(task, ttl)? {
        Some(end) if end - now() <= WAITED_MAX => Ok(end),
        _ => Err(not_run(format!("needs a server that grants short lifetimes; this one grants {}", task[ttl]))),
    }
}

/// Reads a task that has completed until its time is over: it is there before, and afterwards whole, failed or gone.
async fn lives_until(end: i64, read: impl AsyncFn() -> Result<Exchange>) -> Result<()> {
    loop {
        let told = read().await?;
        let early = now() < end - SLACK;
        match told.result() {
            Ok(task) if task["status"] == "completed" => {}
            Ok(task) => told.ensure(task["status"] == "failed" && !early, "it is not as it was")?,
            Err(_) => told.error(-32602).and_then(|_| told.ensure(!early, "it went before its time was over"))?,
        }
        if now() > end + SLACK {
            return Ok(());
        }
        pause().await;
    }
}

async fn not_before(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 0, "label": "ttl"})).await?;
    let end = soon(client.until_status(&id, "completed").await?.result()?, "ttlMs")?;
    lives_until(end, async || client.call("tasks/get", json!({"taskId": id})).await).await
}

async fn session_not_before(world: &World) -> Result<()> {
    let (session, id) = short_lived(world, 0.0).await?;
    let end = soon(session.until_status(&id, "completed").await?.result()?, "ttl")?;
    lives_until(end, async || session.call("tasks/get", json!({"taskId": id})).await).await
}

async fn while_running(world: &World) -> Result<()> {
    let (session, id) = short_lived(world, 3.0).await?;
    loop {
        let read = session.get(&id).await?;
        let task = read.result()?;
        match task["status"].as_str() {
            Some("working") => {
                let end = end_of(task, "ttl")?;
                read.ensure(end.is_none_or(|end| end + SLACK >= now()), "it works on after its time was over")?;
            }
            Some("completed") => return Ok(()),
            _ => {
                let over = end_of(task, "ttl")?.is_some_and(|end| end <= now());
                ensure!(over, "it ended as {} before its time was over", task["status"]);
                return Ok(());
            }
        }
        pause().await;
    }
}
