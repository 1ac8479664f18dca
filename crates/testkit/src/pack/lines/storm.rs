//! Line 19: many waiting tasks that are polled, which must cost the store nothing.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::modern::Modern;
use super::super::world::{World, hook, shell};
use super::super::{BOTH, Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(19, BOTH, "storm/answers", answers, "many waiting tasks, polled again and again, each answer as itself"),
    check!(19, BOTH, "storm/no-writes", no_writes, "polling them does not write to the store"),
];

/// Connections that poll at the same time, and how often each task is polled.
const POLLERS: usize = 8;
const ROUNDS: usize = 3;

async fn waiting(world: &World) -> Result<(Modern, Vec<String>)> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let mut ids = vec![];
    for number in 0..world.options.storm {
        ids.push(client.task("confirm_delete", json!({"filename": format!("storm-{number}.txt")})).await?);
    }
    for id in &ids {
        client.until_status(id, "input_required").await?;
    }
    Ok((client, ids))
}

async fn poll(client: &Modern, ids: &[String]) -> Result<()> {
    let share = ids.len().div_ceil(POLLERS).max(1);
    let pollers: Vec<_> = ids
        .chunks(share)
        .map(|ids| {
            let (client, ids) = (client.clone(), ids.to_vec());
            tokio::spawn(async move {
                for id in &ids {
                    let read = client.get(id).await?;
                    read.ensure(read.result()?["status"] == "input_required", "it waits no longer")?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for poller in pollers {
        poller.await??;
    }
    Ok(())
}

async fn end(client: &Modern, ids: &[String]) -> Result<()> {
    for id in ids {
        client.cancel(id).await?;
    }
    Ok(())
}

async fn answers(world: &World) -> Result<()> {
    let (client, ids) = waiting(world).await?;
    for _ in 0..ROUNDS {
        poll(&client, &ids).await?;
    }
    end(&client, &ids).await
}

async fn writes(command: &str) -> Result<u64> {
    let told = shell(command).await?;
    told.trim().parse().with_context(|| format!("`{command}` printed `{}`, no number", told.trim()))
}

async fn no_writes(world: &World) -> Result<()> {
    let command = hook(world.options.writes.as_deref(), "--writes")?;
    let (client, ids) = waiting(world).await?;
    poll(&client, &ids).await?;
    let before = writes(command).await?;
    for _ in 0..ROUNDS {
        poll(&client, &ids).await?;
    }
    let after = writes(command).await?;
    end(&client, &ids).await?;
    ensure!(before == after, "the store was written during {} polls: {before} became {after}", ids.len() * ROUNDS);
    Ok(())
}
