//! Line 19: many waiting tasks that are polled, which must cost the store nothing.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::super::modern::Modern;
use super::super::world::{World, hook, shell};
use super::super::{BOTH, Check, check};

pub(super) const CHECKS: &[Check] = &[check!(
    19,
    BOTH,
    "storm/polls",
    polls,
    "many waiting tasks, polled again and again: each answers as itself, and nothing is written"
)];

/// Connections at the same time, and how often each task is polled at least.
const POLLERS: usize = 8;
const ROUNDS: usize = 3;

async fn polls(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    let numbers: Vec<usize> = (0..world.options.storm).collect();
    let ids = side_by_side(&numbers, async |number| {
        client.task("confirm_delete", json!({"filename": format!("storm-{number}.txt")})).await
    })
    .await?;
    side_by_side(&ids, async |id| client.until_status(id, "input_required").await.map(|_| ())).await?;
    for _ in 0..ROUNDS {
        poll(&client, &ids).await?;
    }
    let written = match hook(world.options.writes.as_deref(), "--writes") {
        Ok(writes) => without_a_write(world, writes, async || poll(&client, &ids).await).await,
        Err(not_run) => Err(not_run),
    };
    side_by_side(&ids, async |id| client.cancel(id).await).await?;
    written
}

/// What `work` makes of each item, some of them at the same time.
async fn side_by_side<I, T>(items: &[I], work: impl AsyncFn(&I) -> Result<T>) -> Result<Vec<T>> {
    let share = items.len().div_ceil(POLLERS).max(1);
    let one_after_the_other = async |items: &[I]| {
        let mut made = vec![];
        for item in items {
            made.push(work(item).await?);
        }
        anyhow::Ok(made)
    };
    let shares = items.chunks(share).map(one_after_the_other);
    let made = futures_util::future::try_join_all(shares).await?;
    Ok(made.into_iter().flatten().collect())
}

async fn poll(client: &Modern, ids: &[String]) -> Result<()> {
    let waits = async |id: &String| {
        let read = client.get(id).await?;
        read.ensure(read.result()?["status"] == "input_required", "it waits no longer")
    };
    side_by_side(ids, waits).await.map(|_| ())
}

async fn count(writes: &str) -> Result<u64> {
    let told = shell(writes).await?;
    told.trim().parse().with_context(|| format!("`{writes}` printed `{}`, no number", told.trim()))
}

/// A server may write for reasons of its own, as when it removes what has grown old. If polls wrote there would be no
/// round without a write, so one such round is the proof.
async fn without_a_write(world: &World, writes: &str, round: impl AsyncFn() -> Result<()>) -> Result<()> {
    let deadline = tokio::time::Instant::now() + world.options.patience();
    loop {
        let before = count(writes).await?;
        round().await?;
        let after = count(writes).await?;
        if before == after {
            return Ok(());
        }
        let in_time = tokio::time::Instant::now() < deadline;
        ensure!(in_time, "the store was written during every round of polls: {before} became {after} in the last one");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;

    use super::super::super::Options;
    use super::super::super::world::Transport;
    use super::*;

    #[tokio::test]
    async fn polls_that_write_are_found() {
        let options = Options::parse_from(["mcp_pack", "--url", "http://127.0.0.1:1/mcp", "--timeout", "0"]);
        let world = World::new(Transport::Http, Arc::new(options));
        for (writes, passes) in [("echo 7", true), ("date +%s%N", false), ("echo many", false), ("exit 1", false)] {
            let found = without_a_write(&world, writes, async || Ok(())).await;
            assert_eq!(found.is_ok(), passes, "{writes}: {found:?}");
        }
    }
}
