//! Line 2: neither generation switches the other one on.

use anyhow::Result;
use serde_json::json;

use super::super::modern::{Ask, TASKS};
use super::super::world::World;
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        2,
        BOTH,
        "crossing/session-with-extension",
        session_with_extension,
        "a 2025-11-25 session that lists the extension gets plain results"
    ),
    check!(2, BOTH, "crossing/older-session", older_session, "a 2025-06-18 session has no tasks at all"),
    check!(
        2,
        BOTH,
        "crossing/modern-task-parameter",
        task_parameter,
        "the `task` parameter means nothing on the modern wire"
    ),
    check!(
        2,
        BOTH,
        "crossing/discover",
        discover,
        "discover advertises the extension and not the capability of 2025-11-25"
    ),
    check!(
        2,
        BOTH,
        "crossing/modern-removed-methods",
        removed_methods,
        "`tasks/list` and `tasks/result` do not exist on the modern wire"
    ),
    check!(2, BOTH, "crossing/session-update", session_update, "`tasks/update` does not exist in a session"),
    check!(2, BOTH, "crossing/session-plain-call", session_plain_call, "a session that sends no `task` gets none"),
];

async fn session_with_extension(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_as("2025-11-25", json!({"elicitation": {}, "extensions": {TASKS: {}}})).await?;
    let params = json!({"name": "slow_compute", "arguments": {"seconds": 0.2, "label": "crossing"}});
    let plain = session.call("tools/call", params).await?;
    plain.ensure(plain.result()?["content"].is_array(), "no plain result")?;
    plain.ensure(plain.result()?.get("taskId").is_none(), "a task of the extension in a session")
}

async fn older_session(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_as("2025-06-18", json!({"elicitation": {}})).await?;
    anyhow::ensure!(session.hello["capabilities"].get("tasks").is_none(), "`tasks` in {}", session.hello);
    let arguments = json!({"seconds": 0.2, "label": "older"});
    let params = json!({"name": "slow_compute", "arguments": arguments, "task": {"ttl": 60000}});
    let plain = session.call("tools/call", params).await?;
    plain.ensure(plain.result()?["content"].is_array(), "no plain result")?;
    let found = session.call("tasks/get", json!({"taskId": "unknown"})).await?;
    found.error(-32601).map(|_| ())
}

async fn task_parameter(world: &World) -> Result<()> {
    let client = world.client_with(&["greet", "slow_compute"]).await?;
    let call = |tool: &str, arguments| json!({"name": tool, "arguments": arguments, "task": {"ttl": 60000}});
    let greet = client.call("tools/call", call("greet", json!({"name": "Ada"}))).await?;
    greet.ensure(greet.result()?["resultType"] == "complete", "`task` made a task of a quick call")?;
    let slow = call("slow_compute", json!({"seconds": 0.2, "label": "x"}));
    let plain = client.ask(Ask::new("tools/call", slow).declares(json!({}))).await?;
    plain.ensure(plain.result()?["content"].is_array(), "`task` was not ignored")?;
    let flat = client.call("tools/call", call("slow_compute", json!({"seconds": 30, "label": "x"}))).await?;
    let id = flat.judge(shape::created(flat.result()?))?;
    client.cancel(&id).await
}

async fn discover(world: &World) -> Result<()> {
    let client = world.client().await?;
    let found = client.undeclared("server/discover", json!({})).await?;
    let capabilities = &found.result()?["capabilities"];
    found.ensure(capabilities["extensions"][TASKS].is_object(), "the extension is not advertised")?;
    found.ensure(capabilities.get("tasks").is_none(), "the capability of 2025-11-25 is advertised")?;
    let versions = found.result()?["supportedVersions"].as_array();
    let modern = versions.is_some_and(|versions| versions.contains(&json!("2026-07-28")));
    found.ensure(modern, "`supportedVersions` lacks 2026-07-28")?;
    found.ensure(
        found.result()?["ttlMs"].is_u64() && found.result()?["cacheScope"].is_string(),
        "cache hints are missing",
    )
}

async fn removed_methods(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 30, "label": "x"})).await?;
    client.call("tasks/list", json!({})).await?.error(-32601)?;
    client.call("tasks/result", json!({"taskId": id})).await?.error(-32601)?;
    client.cancel(&id).await
}

async fn session_update(world: &World) -> Result<()> {
    let session = world.session().await?;
    let told = session.call("tasks/update", json!({"taskId": "unknown", "inputResponses": {}})).await?;
    told.error(-32601).map(|_| ())
}

async fn session_plain_call(world: &World) -> Result<()> {
    world.client_with(&["greet", "slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let params = json!({"name": "slow_compute", "arguments": {"seconds": 0.2, "label": "plain"}});
    let plain = session.call("tools/call", params).await?;
    plain.ensure(plain.result()?["content"].is_array(), "no plain result")?;
    plain.ensure(plain.result()?.get("task").is_none(), "a task that nobody asked for")?;
    let mut quick = json!({"name": "greet", "arguments": {"name": "Ada"}});
    quick["task"] = json!({});
    let refused = session.call("tools/call", quick).await?;
    // A tool that forbids tasks should refuse; one that takes them answers with one.
    match refused.result() {
        Ok(result) => refused.judge(shape::legacy_created(result)).map(|_| ()),
        Err(_) => refused.error(-32601).map(|_| ()),
    }
}
