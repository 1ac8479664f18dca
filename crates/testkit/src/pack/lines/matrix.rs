//! Line 13: a tool's own failure and a protocol error are two things, and each generation shows them its own way.

use anyhow::Result;
use serde_json::{Value, json};

use super::super::legacy::RELATED;
use super::super::world::World;
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(13, BOTH, "matrix/quick-tool", quick_tool, "a quick tool answers at once, though tasks are declared"),
    check!(13, BOTH, "matrix/tool-failure", tool_failure, "isError is a completed task with the result in it"),
    check!(13, BOTH, "matrix/protocol-error", protocol_error, "a JSON-RPC error is a failed task with the error in it"),
    check!(13, BOTH, "matrix/failure-says-why", failure_says_why, "a failed task has a `statusMessage`"),
    check!(13, BOTH, "matrix/task-only", task_only, "a tool that can only be a task is -32021 without the declaration"),
    check!(
        13,
        BOTH,
        "matrix/questions-first",
        questions_first,
        "questions before the task are over before its handle is given"
    ),
    check!(13, BOTH, "matrix/unknown-tool", unknown_tool, "an unknown tool is an error and no task"),
    check!(
        13,
        BOTH,
        "matrix/session-success",
        session_success,
        "in a session tasks/result is the result of the call, and names its task"
    ),
    check!(
        13,
        BOTH,
        "matrix/session-tool-failure",
        session_tool_failure,
        "in a session isError is a failed task whose result is kept"
    ),
    check!(
        13,
        BOTH,
        "matrix/session-protocol-error",
        session_protocol_error,
        "in a session tasks/result of a protocol error is that error"
    ),
    check!(13, BOTH, "matrix/session-list", session_list, "in a session every task that can be read is listed"),
];

async fn quick_tool(world: &World) -> Result<()> {
    let client = world.client_with(&["greet"]).await?;
    let greeted = client.call("tools/call", json!({"name": "greet", "arguments": {"name": "Ada"}})).await?;
    greeted.judge(shape::call_result(greeted.result()?))?;
    greeted.ensure(greeted.result()?["content"].to_string().contains("Ada"), "it greets somebody else")
}

async fn tool_failure(world: &World) -> Result<()> {
    let client = world.client_with(&["failing_job"]).await?;
    let id = client.task("failing_job", json!({})).await?;
    let end = client.until_ended(&id).await?;
    end.ensure(end.result()?["status"] == "completed", "isError was taken for a protocol error")?;
    end.ensure(end.result()?["result"]["isError"] == true, "`isError` was lost")
}

async fn protocol_error(world: &World) -> Result<()> {
    let client = world.client_with(&["protocol_error_job"]).await?;
    let id = client.task("protocol_error_job", json!({})).await?;
    let end = client.until_ended(&id).await?;
    end.ensure(end.result()?["status"] == "failed", "a protocol error was taken for a result")?;
    let plain = client.through("protocol_error_job", json!({}), &json!({})).await?;
    let same = plain.any_error()?["code"] == end.result()?["error"]["code"];
    plain.ensure(same, "as a plain call the error has another code than in the task")
}

async fn failure_says_why(world: &World) -> Result<()> {
    let client = world.client_with(&["protocol_error_job"]).await?;
    let id = client.task("protocol_error_job", json!({})).await?;
    let end = client.until_status(&id, "failed").await?;
    let why = end.result()?["statusMessage"].as_str().is_some_and(|text| !text.is_empty());
    end.ensure(why, "no `statusMessage`")
}

async fn task_only(world: &World) -> Result<()> {
    let client = world.client_with(&["failing_job"]).await?;
    let told = client.undeclared("tools/call", json!({"name": "failing_job", "arguments": {}})).await?;
    told.judge(shape::missing_tasks(told.any_error()?))
}

async fn questions_first(world: &World) -> Result<()> {
    let client = world.client_with(&["test_tool_with_task"]).await?;
    let params = json!({"name": "test_tool_with_task", "arguments": {}});
    let asked = client.call("tools/call", params.clone()).await?;
    let questions = asked.result()?;
    asked.ensure(questions["resultType"] == "input_required", "no question came first")?;
    asked.ensure(questions.get("taskId").is_none(), "a question and a task at once")?;
    let (key, _) = questions["inputRequests"]
        .as_object()
        .and_then(|requests| requests.iter().next())
        .ok_or_else(|| asked.fault("`inputRequests` is empty"))?;
    let mut retry = params;
    retry["inputResponses"] = json!({key: {"action": "accept", "content": {"name": "Grace"}}});
    if let Some(state) = questions.get("requestState") {
        retry["requestState"] = state.clone();
    }
    let made = client.call("tools/call", retry).await?;
    let id = made.judge(shape::created(made.result()?))?;
    let end = client.until_status(&id, "completed").await?;
    end.ensure(end.result()?["result"]["content"].to_string().contains("Grace"), "the answer did not reach the task")
}

async fn unknown_tool(world: &World) -> Result<()> {
    let client = world.client().await?;
    let told = client.call("tools/call", json!({"name": "no_such_tool", "arguments": {}})).await?;
    told.any_error().map(|_| ())
}

async fn session_success(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    let arguments = json!({"seconds": 0.5, "label": "session"});
    let id = session.task("slow_compute", arguments.clone(), None).await?;
    let result = session.call("tasks/result", json!({"taskId": id})).await?;
    session.until_status(&id, "completed").await?;
    let plain = session.call("tools/call", json!({"name": "slow_compute", "arguments": arguments})).await?;
    let content = |result: &Value| result["content"].clone();
    result.ensure(content(result.result()?) == content(plain.result()?), "not what the plain call returns")?;
    result.ensure(result.result()?["_meta"][RELATED]["taskId"] == id.as_str(), "the result does not name its task")
}

async fn session_tool_failure(world: &World) -> Result<()> {
    world.client_with(&["failing_job"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("failing_job", json!({}), None).await?;
    let result = session.call("tasks/result", json!({"taskId": id})).await?;
    result.ensure(result.result()?["isError"] == true, "`isError` was lost")?;
    session.until_status(&id, "failed").await.map(|_| ())
}

async fn session_protocol_error(world: &World) -> Result<()> {
    let client = world.client_with(&["protocol_error_job"]).await?;
    let plain = client.through("protocol_error_job", json!({}), &json!({})).await?.any_error()?.clone();
    let session = world.session_with_tasks().await?;
    let id = session.task("protocol_error_job", json!({}), None).await?;
    let result = session.call("tasks/result", json!({"taskId": id})).await?;
    result.ensure(result.any_error()?["code"] == plain["code"], &format!("the error of the plain call is {plain}"))?;
    session.until_status(&id, "failed").await.map(|_| ())
}

async fn session_list(world: &World) -> Result<()> {
    world.client_with(&["slow_compute"]).await?;
    let session = world.session_with_tasks().await?;
    if !session.hello["capabilities"]["tasks"]["list"].is_object() {
        return session.call("tasks/list", json!({})).await?.error(-32601).map(|_| ());
    }
    let mut made = vec![];
    for number in 0..3 {
        made.push(session.task("slow_compute", json!({"seconds": 0, "label": format!("list {number}")}), None).await?);
    }
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let page = session.call("tasks/list", params).await?;
        for task in page.result()?["tasks"].as_array().ok_or_else(|| page.fault("`tasks` is no array"))? {
            let id = page.judge(shape::legacy_task(task, None))?;
            made.retain(|other| *other != id);
        }
        cursor = page.result()?["nextCursor"].clone();
        if cursor.is_null() || made.is_empty() {
            return page.ensure(made.is_empty(), &format!("{made:?} can be read and are not listed"));
        }
    }
}
