//! Line 5: `kill -9` at any moment. What was acknowledged is there, and a repeated request finds its job by its key.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::super::modern::{Ask, Modern};
use super::super::world::{World, hook, not_run};
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        5,
        BOTH,
        "kill/acknowledged-is-there",
        acknowledged,
        "a handle that was given resolves after kill -9, to one end"
    ),
    check!(
        5,
        BOTH,
        "kill/working-ends",
        working_ends,
        "work that was cut short ends: with its result, or failed saying so"
    ),
    check!(5, BOTH, "kill/ended-stays", ended_stays, "an ended task is the same after kill -9, byte for byte"),
    check!(
        5,
        BOTH,
        "kill/lost-reply",
        lost_reply,
        "a request repeated with its key after a lost reply finds its one job"
    ),
    check!(
        5,
        BOTH,
        "kill/before-the-answer",
        before_the_answer,
        "a server that dies between the commit and the answer has the task, and the key finds it"
    ),
    check!(5, BOTH, "key/one-job", one_job, "the same key and arguments give the same task"),
    check!(5, BOTH, "key/other-arguments", other_arguments, "the same key with other arguments is refused"),
    check!(5, BOTH, "key/together", together, "the same key ten times at once gives one task"),
];

async fn acknowledged(world: &World) -> Result<()> {
    world.can_kill()?;
    let mut client = world.client_with(&["slow_compute"]).await?;
    for round in 0..world.options.kills {
        let id = client.task("slow_compute", json!({"seconds": 0.1, "label": format!("kill {round}")})).await?;
        client = world.kill().await?;
        client.until_settled(&id).await?;
    }
    Ok(())
}

async fn working_ends(world: &World) -> Result<()> {
    world.can_kill()?;
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 3, "label": "cut"})).await?;
    let before = client.until_status(&id, "working").await?;
    let client = world.kill().await?;
    let end = client.until_settled(&id).await?;
    end.ensure(end.result()?["createdAt"] == before.result()?["createdAt"], "it is another task of that id")
}

async fn ended_stays(world: &World) -> Result<()> {
    world.can_kill()?;
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 0, "label": "ended"})).await?;
    let before = client.until_status(&id, "completed").await?;
    let client = world.kill().await?;
    let after = client.get(&id).await?;
    after.judge(shape::same_task(before.text(), after.text()))
}

fn keyed(world: &World, key: &str, label: &str, seconds: f64) -> Result<Value> {
    let name = hook(world.options.key_meta.as_deref(), "--key-meta")?;
    let arguments = json!({"seconds": seconds, "label": label});
    Ok(json!({"name": "slow_compute", "arguments": arguments, "_meta": {name: key}}))
}

/// A key that nobody has used.
pub(super) fn fresh_key() -> Result<String> {
    let mut bytes = [0_u8; 12];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn handle(client: &Modern, params: &Value) -> Result<String> {
    let made = client.call("tools/call", params.clone()).await?;
    made.judge(shape::created(made.result()?))
}

async fn lost_reply(world: &World) -> Result<()> {
    hook(world.options.key_meta.as_deref(), "--key-meta")?;
    world.can_kill()?;
    let mut client = world.client_with(&["slow_compute"]).await?;
    for round in 0..world.options.kills {
        let params = keyed(world, &fresh_key()?, &format!("lost {round}"), 30.0)?;
        let (asking, ask) = (client.clone(), Ask::new("tools/call", params.clone()));
        let reply = tokio::spawn(async move { asking.ask(ask).await });
        // Each round kills a little later, so that some kills come before the commit, some after it, some after the reply.
        for _ in 0..round * 4 {
            tokio::task::yield_now().await;
        }
        if round % 3 == 2 {
            tokio::time::sleep(std::time::Duration::from_millis(round as u64)).await;
        }
        client = world.kill().await?;
        let first = reply.await.ok().and_then(Result::ok).and_then(|exchange| {
            exchange.result().ok().and_then(|result| result["taskId"].as_str().map(str::to_owned))
        });
        let again = handle(&client, &params).await?;
        if let Some(first) = first {
            ensure!(first == again, "round {round}: the key found {again} after {first} was acknowledged");
        }
        ensure!(handle(&client, &params).await? == again, "round {round}: the key found two tasks");
        client.cancel(&again).await?;
    }
    world.journal.take_complaints();
    Ok(())
}

async fn before_the_answer(world: &World) -> Result<()> {
    let crash = hook(world.options.crash_meta.as_deref(), "--crash-meta")?;
    let (name, value) = crash.split_once('=').context("--crash-meta is not `name=value`")?;
    world.can_kill()?;
    let client = world.client_with(&["slow_compute"]).await?;
    let params = keyed(world, &fresh_key()?, "crash", 30.0)?;
    let mut crashing = params.clone();
    crashing["_meta"][name] = json!(value);
    let told = client.call("tools/call", crashing).await;
    let answered = told.as_ref().is_ok_and(|told| told.reply.is_some());
    ensure!(!answered, "the server did not die of `{crash}`: {told:?}");
    let died = jiff::Timestamp::now().as_millisecond();
    world.journal.take_complaints();
    let client = world.kill().await?;
    let id = handle(&client, &params).await?;
    let read = client.get(&id).await?;
    let created = shape::instant(&read.result()?["createdAt"]).context("an instant")?;
    read.ensure(created <= died, "it was made only when the request was repeated")?;
    client.cancel(&id).await
}

async fn one_job(world: &World) -> Result<()> {
    let params = keyed(world, &fresh_key()?, "key", 30.0)?;
    let client = world.client_with(&["slow_compute"]).await?;
    let first = handle(&client, &params).await?;
    let second = handle(&world.beside(&client).await?, &params).await?;
    ensure!(first == second, "two tasks, {first} and {second}, for one key");
    client.cancel(&first).await
}

async fn other_arguments(world: &World) -> Result<()> {
    let key = fresh_key()?;
    let client = world.client_with(&["slow_compute"]).await?;
    let id = handle(&client, &keyed(world, &key, "key", 30.0)?).await?;
    let told = client.call("tools/call", keyed(world, &key, "another", 31.0)?).await?;
    let refused = told.any_error().is_ok() || told.result()?["isError"] == true;
    told.ensure(refused, "the same key with other arguments was served")?;
    client.until_status(&id, "working").await?;
    client.cancel(&id).await
}

async fn together(world: &World) -> Result<()> {
    let params = keyed(world, &fresh_key()?, "together", 30.0)?;
    let client = world.client_with(&["slow_compute"]).await?;
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (client, params) = (client.clone(), params.clone());
            tokio::spawn(async move { handle(&client, &params).await })
        })
        .collect();
    let mut ids = vec![];
    for caller in callers {
        ids.push(caller.await??);
    }
    ids.dedup();
    match ids.as_slice() {
        [id] => client.cancel(id).await,
        [] => Err(not_run("needs a caller")),
        several => anyhow::bail!("{} tasks for one key: {several:?}", several.len()),
    }
}
