//! The shapes that the two task generations have on the wire, checked member by member.
//!
//! Sources: the tasks extension 2026-07-28, and core tasks of 2025-11-25.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use serde_json::Value;
use serde_json::value::RawValue;

/// The states that never change again.
pub(crate) const ENDS: &[&str] = &["completed", "failed", "cancelled"];
const STATES: &[&str] = &["working", "input_required", "completed", "failed", "cancelled"];

/// Members that a task has in either generation, and the name that each gives to its lifetime.
const COMMON: &[&str] = &["taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "_meta"];

/// A reply that creates a task under the extension: flat, and without what only reading shows.
pub(crate) fn created(result: &Value) -> Result<String> {
    ensure!(result["resultType"] == "task", "the reply is no task: `resultType` is {}", result["resultType"]);
    only(result, &["resultType", "ttlMs", "pollIntervalMs"])?;
    task(result, "ttlMs", "pollIntervalMs")
}

/// A task as `tasks/get` of the extension shows it.
pub(crate) fn detailed(result: &Value) -> Result<()> {
    ensure!(result["resultType"] == "complete", "`resultType` of a read is {}", result["resultType"]);
    task_view(result)
}

/// A task that has ended says of what: by the content of its result, or by what went wrong.
pub(crate) fn told_end(view: &Value) -> Result<()> {
    match view["status"].as_str().unwrap_or_default() {
        "completed" => {
            let said = view["result"]["content"].as_array().is_some_and(|content| !content.is_empty());
            ensure!(said || view["result"]["structuredContent"].is_object(), "the result of a completed task is empty");
        }
        "failed" => {
            let why = view["error"]["message"].as_str().unwrap_or_default();
            ensure!(!why.trim().is_empty(), "a failed task does not say why");
        }
        status => bail!("the task is {status}, and nobody cancelled it"),
    }
    Ok(())
}

/// The same without `resultType`, as `notifications/tasks` carries it.
pub(crate) fn task_view(view: &Value) -> Result<()> {
    task(view, "ttlMs", "pollIntervalMs")?;
    only(view, &["resultType", "ttlMs", "pollIntervalMs", "inputRequests", "result", "error"])?;
    let status = view["status"].as_str().unwrap_or_default();
    for (member, home) in [("inputRequests", "input_required"), ("result", "completed"), ("error", "failed")] {
        let there = view.get(member).is_some();
        ensure!(
            there == (status == home),
            "`{member}` is {} a task that is {status}",
            if there { "in" } else { "not in" }
        );
    }
    match status {
        "input_required" => questions(&view["inputRequests"]),
        "completed" => call_result(&view["result"]),
        "failed" => {
            ensure!(view["error"]["code"].is_i64(), "`error.code` is no integer");
            ensure!(view["error"]["message"].is_string(), "`error.message` is no string");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Members that may change while the task itself does not.
const LIVE: &[&str] = &["lastUpdatedAt", "ttlMs", "pollIntervalMs", "_meta"];

/// Whether two reads show the same task; its outcome byte for byte.
pub(crate) fn same_task(before: &str, after: &str) -> Result<()> {
    let lasting = |text: &str| -> Result<Value> {
        let mut view: Value = serde_json::from_str(&raw_at(text, &["result"])?)?;
        if let Some(members) = view.as_object_mut() {
            LIVE.iter().for_each(|member| drop(members.remove(*member)));
        }
        Ok(view)
    };
    ensure!(lasting(before)? == lasting(after)?, "it was {before} before");
    for member in ["result", "error"] {
        let outcome = |text: &str| raw_at(text, &["result", member]).ok();
        ensure!(outcome(before) == outcome(after), "`{member}` has other bytes than before: {before}");
    }
    Ok(())
}

/// A call's result inside a completed task: what the reference client demands of it.
pub(crate) fn call_result(result: &Value) -> Result<()> {
    ensure!(result["resultType"] == "complete", "the inlined result has `resultType` {}", result["resultType"]);
    ensure!(result["content"].is_array(), "the inlined result has no `content` array");
    Ok(())
}

/// The acknowledgement of an update or a cancellation: empty.
pub(crate) fn acknowledgement(result: &Value) -> Result<()> {
    ensure!(result["resultType"] == "complete", "`resultType` of the acknowledgement is {}", result["resultType"]);
    let extra =
        result.as_object().into_iter().flatten().find(|(name, _)| !["resultType", "_meta"].contains(&name.as_str()));
    if let Some((name, _)) = extra {
        bail!("the acknowledgement carries `{name}`");
    }
    Ok(())
}

/// A task of 2025-11-25; `wanted` is the state it must be in, if that is known.
pub(crate) fn legacy_task(view: &Value, wanted: Option<&str>) -> Result<String> {
    only(view, &["ttl", "pollInterval"])?;
    let id = task(view, "ttl", "pollInterval")?;
    if let Some(wanted) = wanted {
        ensure!(view["status"] == wanted, "`status` is {} instead of {wanted}", view["status"]);
    }
    Ok(id)
}

/// A task of 2025-11-25 as the reply to a call that asked for one.
pub(crate) fn legacy_created(result: &Value) -> Result<String> {
    let extra = result.as_object().into_iter().flatten().find(|(name, _)| !["task", "_meta"].contains(&name.as_str()));
    if let Some((name, _)) = extra {
        bail!("the reply carries `{name}` beside `task`");
    }
    legacy_task(&result["task"], Some("working"))
}

/// What `-32021` must say: which capability is missing.
pub(crate) fn missing_tasks(error: &Value) -> Result<()> {
    ensure!(error["code"] == -32021, "`error.code` is {} instead of -32021", error["code"]);
    let needed = &error["data"]["requiredCapabilities"]["extensions"]["io.modelcontextprotocol/tasks"];
    ensure!(needed.is_object(), "`error.data.requiredCapabilities` does not name the extension");
    Ok(())
}

/// What `-32021` must say to a client that lacks anything else: which capability is missing.
pub(crate) fn missing_something(error: &Value) -> Result<()> {
    ensure!(error["code"] == -32021, "`error.code` is {} instead of -32021", error["code"]);
    let needed = error["data"]["requiredCapabilities"].as_object();
    ensure!(needed.is_some_and(|needed| !needed.is_empty()), "`error.data.requiredCapabilities` names nothing");
    Ok(())
}

/// Questions: at least one, each a request that a client can answer.
fn questions(requests: &Value) -> Result<()> {
    let Some(requests) = requests.as_object() else { bail!("`inputRequests` is no object") };
    ensure!(!requests.is_empty(), "`inputRequests` is empty");
    let known = ["elicitation/create", "sampling/createMessage", "roots/list"];
    for (key, request) in requests {
        let method = request["method"].as_str().unwrap_or_default();
        ensure!(known.contains(&method), "question `{key}` has the method `{method}`");
        ensure!(method == "roots/list" || request["params"].is_object(), "question `{key}` has no `params`");
        ensure!(request.get("id").is_none() && request.get("jsonrpc").is_none(), "question `{key}` is a whole message");
    }
    Ok(())
}

fn task(view: &Value, ttl: &str, poll: &str) -> Result<String> {
    let id = view["taskId"].as_str().unwrap_or_default();
    ensure!(!id.is_empty(), "there is no `taskId`");
    ensure!(id.bytes().all(|byte| byte.is_ascii_graphic()), "`taskId` cannot be a header's value");
    ensure!(STATES.contains(&view["status"].as_str().unwrap_or_default()), "`status` is {}", view["status"]);
    for member in ["createdAt", "lastUpdatedAt"] {
        instant(&view[member]).ok_or_else(|| anyhow::anyhow!("`{member}` is {}, no instant", view[member]))?;
    }
    let message = view.get("statusMessage");
    ensure!(message.is_none_or(Value::is_string), "`statusMessage` is no string");
    let ttl = view.get(ttl).ok_or_else(|| anyhow::anyhow!("`{ttl}` is missing"))?;
    ensure!(ttl.is_null() || ttl.is_u64(), "the lifetime is {ttl}");
    ensure!(view.get(poll).is_none_or(Value::is_u64), "`{poll}` is {}", view[poll]);
    Ok(id.to_owned())
}

fn only(view: &Value, more: &[&str]) -> Result<()> {
    let members = view.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let mut unknown = members.filter(|name| !COMMON.contains(name) && !more.contains(name));
    unknown.next().map_or(Ok(()), |name| bail!("`{name}` does not belong there"))
}

/// Milliseconds since 1970 of an instant as RFC 3339 writes it.
pub(crate) fn instant(value: &Value) -> Option<i64> {
    value.as_str()?.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// The questions of a reply, each with its bytes as they came.
pub(crate) fn raw_questions(reply: &str) -> Result<BTreeMap<String, String>> {
    let raw = raw_at(reply, &["result", "inputRequests"])?;
    let questions: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&raw)?;
    Ok(questions.into_iter().map(|(key, raw)| (key, raw.get().to_owned())).collect())
}

/// The bytes of one member of a reply as they came.
pub(crate) fn raw_at(text: &str, path: &[&str]) -> Result<String> {
    path.iter().try_fold(text.to_owned(), |text, name| {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text)?;
        let member = members.remove(*name).ok_or_else(|| anyhow::anyhow!("`{name}` is missing"))?;
        Ok(member.get().to_owned())
    })
}

/// Whether two replies are the same but for the task ids in them (and the request ids before them).
pub(crate) fn same_but_for_id(one: (&str, &str), other: (&str, &str)) -> Result<()> {
    let plain = |(reply, id): (&str, &str)| -> Result<String> { Ok(raw_at(reply, &["error"])?.replace(id, "ID")) };
    let (one, other) = (plain(one)?, plain(other)?);
    ensure!(one == other, "the replies differ: {one} and {other}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn task(status: &str, more: &Value) -> Value {
        let mut task = json!({
            "resultType": "complete", "taskId": "t-1", "status": status, "createdAt": "2026-11-20T10:00:00Z",
            "lastUpdatedAt": "2026-11-20T10:00:00.5+00:00", "ttlMs": 1000, "pollIntervalMs": 500,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            task[name] = value.clone();
        }
        task
    }

    /// `good` passes `check`; each of the changes makes it fail.
    fn check_faults(good: &Value, check: fn(&Value) -> Result<()>, faults: &[(&str, Value)]) {
        check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        for (member, value) in faults {
            let mut bad = good.clone();
            match value {
                Value::Null if *member != "null" => {
                    drop(bad.as_object_mut().and_then(|members| members.remove(*member)))
                }
                value => bad[*member] = value.clone(),
            }
            assert!(check(&bad).is_err(), "`{member}` = {value} was not noticed");
        }
    }

    #[test]
    fn an_end_without_words_is_none() {
        let cases = [
            (json!({"status": "completed", "result": {"content": [{"type": "text", "text": "done"}]}}), true),
            (json!({"status": "completed", "result": {"content": [], "structuredContent": {}}}), true),
            (json!({"status": "completed", "result": {"content": []}}), false),
            (json!({"status": "failed", "error": {"code": 1, "message": "lost"}}), true),
            (json!({"status": "failed", "error": {"code": 1, "message": " "}}), false),
            (json!({"status": "cancelled"}), false),
            (json!({"status": "working"}), false),
        ];
        for (view, good) in cases {
            assert_eq!(told_end(&view).is_ok(), good, "{view}");
        }
    }

    #[test]
    fn a_faulty_handle_is_found() {
        let good = task("working", &json!({"resultType": "task"}));
        check_faults(
            &good,
            |view| created(view).map(|_| ()),
            &[
                ("resultType", json!("complete")),
                ("taskId", Value::Null),
                ("taskId", json!("")),
                ("taskId", json!("größe")),
                ("status", json!("queued")),
                ("createdAt", json!("yesterday")),
                ("lastUpdatedAt", Value::Null),
                ("ttlMs", Value::Null),
                ("ttlMs", json!(-1)),
                ("pollIntervalMs", json!(0.5)),
                ("statusMessage", json!(7)),
                ("result", json!({})),
                ("error", json!({})),
                ("inputRequests", json!({})),
                ("requestState", json!("x")),
                ("task", json!({})),
                ("content", json!([])),
            ],
        );
    }

    #[test]
    fn a_faulty_task_is_found() {
        let result = json!({"resultType": "complete", "content": []});
        check_faults(
            &task("completed", &json!({"result": result})),
            detailed,
            &[
                ("resultType", json!("task")),
                ("resultType", Value::Null),
                ("result", Value::Null),
                ("result", json!({"content": []})),
                ("result", json!({"resultType": "complete"})),
                ("error", json!({"code": 1, "message": "x"})),
                ("inputRequests", json!({})),
                ("status", json!("working")),
                ("ttlMs", Value::Null),
            ],
        );
        check_faults(
            &task("failed", &json!({"error": {"code": -32603, "message": "x"}})),
            detailed,
            &[
                ("error", Value::Null),
                ("error", json!({"message": "x"})),
                ("error", json!({"code": -32603})),
                ("result", result.clone()),
            ],
        );
        let question = json!({"method": "elicitation/create", "params": {}});
        check_faults(
            &task("input_required", &json!({"inputRequests": {"k": question}})),
            detailed,
            &[
                ("inputRequests", Value::Null),
                ("inputRequests", json!({})),
                ("inputRequests", json!([])),
                ("inputRequests", json!({"k": {"params": {}}})),
                ("inputRequests", json!({"k": {"method": "elicitation/create"}})),
                ("inputRequests", json!({"k": {"method": "elicitation/create", "params": {}, "id": 1}})),
                ("result", result.clone()),
            ],
        );
        check_faults(&task("cancelled", &json!({})), detailed, &[("result", result), ("error", json!({}))]);
    }

    #[test]
    fn a_faulty_acknowledgement_is_found() {
        check_faults(
            &json!({"resultType": "complete", "_meta": {}}),
            acknowledgement,
            &[
                ("resultType", Value::Null),
                ("resultType", json!("task")),
                ("taskId", json!("t-1")),
                ("status", json!("working")),
            ],
        );
    }

    #[test]
    fn a_faulty_task_of_a_session_is_found() {
        let bare = json!({
            "taskId": "t-1", "status": "working", "createdAt": "2026-11-20T10:00:00Z",
            "lastUpdatedAt": "2026-11-20T10:00:00Z", "ttl": null, "pollInterval": 500,
        });
        check_faults(
            &bare,
            |view| legacy_task(view, Some("working")).map(|_| ()),
            &[
                ("status", json!("completed")),
                ("ttl", Value::Null),
                ("ttl", json!("long")),
                ("ttlMs", json!(1)),
                ("resultType", json!("complete")),
                ("result", json!({})),
            ],
        );
        let nested = json!({"task": bare});
        check_faults(
            &nested,
            |view| legacy_created(view).map(|_| ()),
            &[("task", Value::Null), ("task", json!({})), ("content", json!([])), ("taskId", json!("t-1"))],
        );
    }

    #[test]
    fn a_faulty_refusal_is_found() {
        let needed = json!({"requiredCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}});
        check_faults(
            &json!({"code": -32021, "message": "x", "data": needed}),
            missing_tasks,
            &[
                ("code", json!(-32601)),
                ("data", Value::Null),
                ("data", json!({"requiredCapabilities": {}})),
                ("data", json!({"requiredCapabilities": ["io.modelcontextprotocol/tasks"]})),
            ],
        );
    }

    #[test]
    fn a_refusal_that_does_not_say_what_is_missing_is_found() {
        check_faults(
            &json!({"code": -32021, "message": "x", "data": {"requiredCapabilities": {"elicitation": {}}}}),
            missing_something,
            &[
                ("code", json!(-32602)),
                ("data", Value::Null),
                ("data", json!({"requiredCapabilities": {}})),
                ("data", json!({"requiredCapabilities": "elicitation"})),
            ],
        );
    }

    #[test]
    fn a_task_that_changed_is_found() {
        let read = |task: &Value| json!({"id": 1, "result": task}).to_string();
        let result = json!({"resultType": "complete", "content": []});
        let before = read(&task("completed", &json!({"result": result})));
        let later = task("completed", &json!({"result": result, "lastUpdatedAt": "2026-11-20T11:00:00Z", "ttlMs": 5}));
        assert!(same_task(&before, &read(&later)).is_ok());
        assert!(same_task(&before, &before.replace("\"content\":[]", "\"content\": []")).is_err(), "other bytes");
        assert!(same_task(&before, &read(&task("cancelled", &json!({})))).is_err());
        let message = task("completed", &json!({"result": result, "statusMessage": "changed"}));
        assert!(same_task(&before, &read(&message)).is_err());
    }

    #[test]
    fn a_reply_that_gives_another_owner_away_is_found() {
        let reply = |id: &str, text: &str| {
            json!({"id": 1, "error": {"code": -32602, "message": format!("{text} {id}")}}).to_string()
        };
        let (foreign, missing) = (reply("t-1", "unknown task"), reply("t-2", "unknown task"));
        assert!(same_but_for_id((&foreign, "t-1"), (&missing, "t-2")).is_ok());
        assert!(same_but_for_id((&reply("t-1", "not your task"), "t-1"), (&missing, "t-2")).is_err());
    }

    #[test]
    fn questions_keep_their_bytes() {
        let reply = r#"{"id":1,"result":{"inputRequests":{"k": {"b":1,  "a":2}}}}"#;
        let found = raw_questions(reply).expect("questions");
        assert_eq!(found.get("k").map(String::as_str), Some(r#"{"b":1,  "a":2}"#));
    }
}
