//! Line 4: pushed states of tasks.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::super::modern::{Ask, accept};
use super::super::stream::{Subscription, as_notified};
use super::super::wire::short;
use super::super::world::{Transport, World, hook, not_run, shell, undeclaring};
use super::super::{BOTH, Check, STDIO, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(4, BOTH, "listen/undeclared", undeclared, "`taskIds` without declaring tasks is -32021"),
    check!(
        4,
        BOTH,
        "listen/acknowledgement",
        acknowledgement,
        "the acknowledgement comes first and grants only ids that exist"
    ),
    check!(4, BOTH, "listen/snapshot", snapshot, "each granted task is told at once, as tasks/get tells it"),
    check!(4, BOTH, "listen/changes", changes, "each change up to the end is told, as tasks/get tells it"),
    check!(4, BOTH, "listen/questions", questions, "questions and their disappearance are told"),
    check!(4, BOTH, "listen/two-at-once", two_at_once, "subscriptions 7 and \"7\" are two, each with its own tasks"),
    check!(
        4,
        STDIO,
        "listen/cancelled-by-client",
        cancelled_by_client,
        "notifications/cancelled ends a subscription and nothing else"
    ),
    check!(
        4,
        BOTH,
        "listen/goodbye",
        goodbye,
        "a server that stops ends its subscriptions with the empty result, and over stdio takes them back too"
    ),
];

async fn undeclared(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 30, "label": "listen"})).await?;
    for (_, capabilities) in undeclaring() {
        let ask = Ask::new("subscriptions/listen", json!({"notifications": {"taskIds": [id]}})).declares(capabilities);
        let (mut open, _) = client.open(&ask).await?;
        let Some(first) = open.next(client.line.patience).await? else { bail!("the stream ended without a word") };
        let error = &first.value["error"];
        if error["code"] == -32601 {
            return Err(not_run("needs `subscriptions/listen`, which the server does not have"));
        }
        ensure!(error.is_object(), "no refusal came first: {}", short(&first.text));
        shape::missing_tasks(error)?;
    }
    world.beside(&client).await?.cancel(&id).await
}

async fn acknowledgement(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let task = client.task("slow_compute", json!({"seconds": 30, "label": "listen"})).await?;
    for id in [json!(4001), json!("listen-a")] {
        let subscription = Subscription::open(&client, id, &["unknown", &task]).await?;
        ensure!(subscription.grants == [json!(task)], "granted {} for the task {task}", json!(subscription.grants));
    }
    let none = Subscription::open(&client, json!("listen-none"), &["unknown"]).await?;
    ensure!(none.grants.is_empty(), "granted {} for an unknown id", json!(none.grants));
    drop(none);
    world.beside(&client).await?.cancel(&task).await
}

async fn snapshot(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute", "confirm_delete"]).await?;
    let ended = client.task("slow_compute", json!({"seconds": 0, "label": "ended"})).await?;
    let asking = client.task("confirm_delete", json!({"filename": "listen.txt"})).await?;
    client.until_status(&ended, "completed").await?;
    client.questions(&asking, 1).await?;
    let mut subscription = Subscription::granted(&client, json!(4002), &[&ended, &asking]).await?;
    let mut told = [subscription.task().await?, subscription.task().await?];
    told.sort_by_key(|view| view["taskId"] != ended.as_str());
    let reader = world.beside(&client).await?;
    for (view, id) in told.iter().zip([&ended, &asking]) {
        same(view, reader.get(id).await?.result()?)?;
    }
    reader.cancel(&asking).await
}

fn same(told: &Value, read: &Value) -> Result<()> {
    let read = as_notified(read);
    ensure!(*told == read, "told {} and read {}", short(&told.to_string()), short(&read.to_string()));
    Ok(())
}

async fn changes(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute", "protocol_error_job"]).await?;
    for (tool, arguments, status) in [
        ("slow_compute", json!({"seconds": 1, "label": "listen"}), "completed"),
        ("protocol_error_job", json!({}), "failed"),
        ("failing_job", json!({}), "completed"),
    ] {
        let id = client.task(tool, arguments).await?;
        let mut subscription = Subscription::granted(&client, json!(format!("listen-{tool}")), &[&id]).await?;
        let seen = subscription.until(&id, |view| view["status"] == status).await?;
        let last = seen.last().cloned().unwrap_or_default();
        same(&last, world.beside(&client).await?.get(&id).await?.result()?)?;
        let repeated = seen.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(repeated.is_none(), "the same state was told twice: {}", json!(seen));
    }
    Ok(())
}

async fn questions(world: &World) -> Result<()> {
    let client = world.client_with(&["multi_input"]).await?;
    let id = client.task("multi_input", json!({})).await?;
    let mut subscription = Subscription::granted(&client, json!(4003), &[&id]).await?;
    let open = |count: usize| {
        move |view: &Value| view["inputRequests"].as_object().is_some_and(|questions| questions.len() == count)
    };
    let asked = subscription.until(&id, open(2)).await?;
    let asked = &asked.last().cloned().unwrap_or_default()["inputRequests"];
    let keys: Vec<String> = asked.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let other = world.beside(&client).await?;
    other.answer(&id, json!({&keys[0]: accept("one")})).await?;
    let left = subscription.until(&id, open(1)).await?;
    let left = &left.last().cloned().unwrap_or_default()["inputRequests"];
    ensure!(left[&keys[1]] == asked[&keys[1]], "the question that is left changed: {left}");
    other.answer(&id, json!({&keys[1]: accept("two")})).await?;
    subscription.until(&id, |view| view["status"] == "completed").await.map(|_| ())
}

async fn two_at_once(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let one = client.task("confirm_delete", json!({"filename": "one.txt"})).await?;
    let other = client.task("confirm_delete", json!({"filename": "other.txt"})).await?;
    let mut number = Subscription::granted(&client, json!(7), &[&one]).await?;
    let mut text = Subscription::granted(&client, json!("7"), &[&other]).await?;
    let third = world.beside(&client).await?;
    third.cancel(&one).await?;
    third.cancel(&other).await?;
    for (subscription, id) in [(&mut number, &one), (&mut text, &other)] {
        loop {
            let view = subscription.task().await?;
            ensure!(view["taskId"] == id.as_str(), "a state of another subscription's task: {view}");
            if view["status"] == "cancelled" {
                break;
            }
        }
    }
    Ok(())
}

async fn cancelled_by_client(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let id = client.task("confirm_delete", json!({"filename": "listen.txt"})).await?;
    client.questions(&id, 1).await?;
    let mut given_up = Subscription::granted(&client, json!(4004), &[&id]).await?;
    given_up.until(&id, |view| view["status"] == "input_required").await?;
    client.notify("notifications/cancelled", json!({"requestId": 4004})).await?;
    // A later request is answered after the cancellation was read, and the second subscription sees the change.
    client.is_well().await?;
    let mut kept = Subscription::granted(&client, json!(4005), &[&id]).await?;
    kept.until(&id, |view| view["status"] == "input_required").await?;
    client.answer(&id, json!({&client.questions(&id, 1).await?[0]: accept("yes")})).await?;
    kept.until(&id, |view| view["status"] == "completed").await?;
    let ended = given_up.next_if_any();
    ensure!(ended.is_none(), "a cancelled subscription still tells: {}", ended.unwrap_or_default());
    Ok(())
}

async fn goodbye(world: &World) -> Result<()> {
    if world.transport == Transport::Http {
        hook(world.options.stop.as_deref(), "--stop")?;
        hook(world.options.start.as_deref(), "--start")?;
    }
    let client = world.client_with(&["confirm_delete"]).await?;
    let id = client.task("confirm_delete", json!({"filename": "goodbye.txt"})).await?;
    let mut subscription = Subscription::granted(&client, json!(4006), &[&id]).await?;
    match (world.transport, &world.options.stop) {
        (Transport::Http, Some(stop)) => drop(shell(stop).await?),
        _ => drop(world.end_child().await?),
    }
    let farewell = async {
        while subscription.next().await?.is_some() {}
        anyhow::Ok(())
    }
    .await;
    if world.transport == Transport::Http {
        shell(hook(world.options.start.as_deref(), "--start")?).await?;
        return farewell;
    }
    let cancelled = world.journal.take_cancelled();
    farewell.and_then(|()| {
        ensure!(cancelled.contains(&json!(4006)), "no notifications/cancelled came for the subscription");
        Ok(())
    })
}
