//! Line 1: who does not declare tasks never gets one.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::modern::{Ask, Modern};
use super::super::wire::Exchange;
use super::super::world::{World, undeclaring};
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        1,
        BOTH,
        "undeclared/never-a-task",
        never_a_task,
        "no tool answers a client that does not declare tasks with one"
    ),
    check!(1, BOTH, "undeclared/lookalikes", lookalikes, "what resembles a declaration is none"),
    check!(1, BOTH, "undeclared/after-declared", after_declared, "a declaration ends with its request"),
    check!(1, BOTH, "undeclared/interleaved", interleaved, "requests in flight together keep their own declarations"),
];

/// Calls of the fixture that end by themselves, whatever the caller declares.
const CALLS: &[&str] = &["greet", "slow_compute", "failing_job", "protocol_error_job", "test_tool_with_task"];

fn arguments(tool: &str) -> Value {
    match tool {
        "greet" => json!({"name": "Ada"}),
        "slow_compute" => json!({"seconds": 0.2, "label": "undeclared"}),
        _ => json!({}),
    }
}

/// The answer is no task, and a refusal for want of a capability is a right one.
fn no_task(exchange: &Exchange) -> Result<()> {
    let Ok(result) = exchange.result() else {
        let error = exchange.any_error()?;
        let refusal = if error["code"] == -32021 { shape::missing_something(error) } else { Ok(()) };
        return exchange.judge(refusal);
    };
    exchange.ensure(result["resultType"] != "task", "a task for a client that did not declare tasks")?;
    exchange.ensure(result.get("taskId").is_none(), "a `taskId` for a client that did not declare tasks")?;
    exchange.ensure(result.get("task").is_none(), "a `task` for a client that did not declare tasks")
}

async fn ask_without(client: &Modern, tool: &str, capabilities: Value) -> Result<()> {
    let params = json!({"name": tool, "arguments": arguments(tool)});
    no_task(&client.ask(Ask::new("tools/call", params).declares(capabilities)).await?)
}

async fn never_a_task(world: &World) -> Result<()> {
    let client = world.client_with(CALLS).await?;
    for tool in CALLS {
        for capabilities in [json!({}), json!({"elicitation": {}})] {
            no_task(&client.through(tool, arguments(tool), &capabilities).await?)?;
        }
    }
    Ok(())
}

async fn lookalikes(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    for (_, capabilities) in undeclaring() {
        ask_without(&client, "slow_compute", capabilities).await?;
    }
    Ok(())
}

async fn after_declared(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    for _ in 0..3 {
        let id = client.task("slow_compute", json!({"seconds": 30, "label": "declared"})).await?;
        ask_without(&client, "slow_compute", json!({})).await?;
        client.cancel(&id).await?;
    }
    Ok(())
}

async fn interleaved(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let params = json!({"name": "slow_compute", "arguments": {"seconds": 3, "label": "interleaved"}});
    let mut open = vec![];
    for turn in 0..10 {
        let declares = turn % 2 == 0;
        let ask = Ask::new("tools/call", params.clone());
        let ask = if declares { ask } else { ask.declares(json!({})) };
        // On HTTP the answer's headers are waited for, so those of one turn are asked in their own tasks.
        let client = client.clone();
        open.push((declares, tokio::spawn(async move { client.ask(ask).await })));
    }
    for (declares, answer) in open {
        let answer = answer.await??;
        if declares {
            answer.judge(shape::created(answer.result()?))?;
        } else {
            no_task(&answer)?;
        }
    }
    Ok(())
}
