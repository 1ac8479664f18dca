//! Line 15: JSON as nasty as it may be, and lines that are none.

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};

use super::super::message::{PLACE, spelled};
use super::super::modern::{Ask, Modern, pause};
use super::super::wire::{Exchange, short};
use super::super::world::World;
use super::super::{BOTH, Check, HTTP, STDIO, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(
        15,
        BOTH,
        "json/echo",
        echo,
        "arguments come back byte for byte: order, big numbers, escapes, unknown members"
    ),
    check!(15, BOTH, "json/ids", ids, "an id comes back as it was, whatever number or text it is"),
    check!(15, BOTH, "json/unknown-members", unknown_members, "members that nobody knows do not disturb a request"),
    check!(15, BOTH, "json/depth", depth, "very deep JSON is answered or refused, and the server is well afterwards"),
    check!(
        15,
        STDIO,
        "json/broken-lines",
        broken_lines,
        "a line that is no JSON is answered with -32700, and the next one is served"
    ),
    check!(15, STDIO, "json/first-line", first_line, "a notification or a broken line may be the first one"),
    check!(
        15,
        HTTP,
        "json/broken-body",
        broken_body,
        "a body that is no JSON is refused, and so is an array of requests"
    ),
];

/// Arguments whose bytes a typed model does not keep.
pub(super) const NASTY: &[&str] = &[
    r#"{"z":1,"a":2,"m":3}"#,
    r#"{"whole":1.0,"exponent":1E3,"negative":-0,"small":1e-7}"#,
    r#"{"big":12345678901234567890123,"precise":0.1000000000000000055511151231257827}"#,
    r#"{"escapes":"\u0041\/\b\f\n\r\t\"\\","pair":"\ud83d\ude00","plain":"😀é"}"#,
    r#"{"empty":"","":{"":[]},"null":null,"nested":[[[{}]]]}"#,
    r#"{ "spaces" :  [ 1 , 2 ] ,"tail":true }"#,
    r#"{"_meta":{"unknown/key":[1.50]},"$ref":"http://127.0.0.1:1/x","__proto__":{"a":1}}"#,
    r#"{"line separators":"\u2028\u2029","control":"\u0000\u001f","last":"\uffff"}"#,
];

/// Levels of nesting that no honest request has.
const LEVELS: usize = 20_000;

async fn echo(world: &World) -> Result<()> {
    let client = world.client_with(&["echo"]).await?;
    for arguments in NASTY {
        let told = client.tool_raw("echo", arguments).await?;
        told.judge(came_back(&told, arguments))?;
    }
    Ok(())
}

/// Whether an answer of `echo` has the bytes that were sent.
pub(super) fn came_back(told: &Exchange, arguments: &str) -> Result<()> {
    let result = told.result()?;
    let found = match result.get("structuredContent") {
        Some(_) => shape::raw_at(told.text(), &["result", "structuredContent"])?,
        None => result["content"][0]["text"].as_str().unwrap_or_default().to_owned(),
    };
    ensure!(found == arguments, "sent {arguments} and got back {found}");
    Ok(())
}

async fn ids(world: &World) -> Result<()> {
    let client = world.client().await?;
    let ids = [
        r#""""#,
        r#""1""#,
        "0",
        "-1",
        "9007199254740993",
        "-9223372036854775808",
        "9223372036854775807",
        r#""größe 😀""#,
        r#""quote \" and \\ back""#,
    ];
    for raw in ids {
        let id: Value = serde_json::from_str(raw)?;
        let found = client.ask(Ask::new("server/discover", json!({})).declares(json!({})).id(id)).await?;
        found.result()?;
        let back = shape::raw_at(found.text(), &["id"])?;
        let same: Value = serde_json::from_str(&back)?;
        found.ensure(same == serde_json::from_str::<Value>(raw)?, &format!("the id {raw} came back as {back}"))?;
    }
    Ok(())
}

async fn unknown_members(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let params = json!({
        "name": "slow_compute", "arguments": {"seconds": 0, "label": "x"},
        "com.example/unknown": {"deep": [1, {"er": null}]}, "_meta": {"com.example/unknown": 1, "traceparent": "00-x"},
    });
    let made = client.call("tools/call", params).await?;
    let id = made.judge(shape::created(made.result()?))?;
    let read = client.call("tasks/get", json!({"taskId": id, "unknown": [], "_meta": {"unknown": {}}})).await?;
    read.judge(shape::detailed(read.result()?))
}

async fn depth(world: &World) -> Result<()> {
    let client = world.client_with(&["greet"]).await?;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let middle = if open == "[" { "" } else { "1" };
        let nested = format!("{}{middle}{}", open.repeat(LEVELS), close.repeat(LEVELS));
        let arguments = format!("{{\"name\":\"Ada\",\"deep\":{nested}}}");
        // A server may refuse it with any error, also one without an id, or hang up on it.
        let ask = Ask::new("tools/call", json!({"name": "greet", "arguments": PLACE})).declares(json!({}));
        let id = json!("deep");
        drop(client.line.send(Some(&id), spelled(&ask.message(&id), &arguments), &ask.all_headers()).await);
        client
            .is_well()
            .await
            .map_err(|error| anyhow!("after {LEVELS} levels of {open}: {}", short(&error.to_string())))?;
    }
    world.journal.take_complaints();
    Ok(())
}

async fn broken(world: &World, client: &Modern, line: &str) -> Result<()> {
    world.journal.take_strays();
    client.line.send(None, line.to_owned(), &[]).await?;
    client.is_well().await.map_err(|error| anyhow!("after the line `{}`: {error}", short(line)))?;
    let deadline = tokio::time::Instant::now() + world.options.patience();
    loop {
        if let Some(told) = world.journal.take_strays().first() {
            ensure!(told.value["error"]["code"] == -32700, "`{}` was answered with {}", short(line), short(&told.text));
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < deadline, "`{}` was not answered", short(line));
        pause().await;
    }
}

async fn broken_lines(world: &World) -> Result<()> {
    let client = world.client().await?;
    for line in ["{", "not json", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"", "\u{1}"] {
        broken(world, &client, line).await?;
    }
    Ok(())
}

async fn first_line(world: &World) -> Result<()> {
    let client = world.client().await?;
    client.notify("notifications/cancelled", json!({"requestId": "never sent"})).await?;
    client.is_well().await?;
    let client = world.client().await?;
    client.line.send(None, "not json".to_owned(), &[]).await?;
    client.is_well().await?;
    let client = world.client().await?;
    client.line.send(None, String::new(), &[]).await?;
    client.is_well().await
}

async fn broken_body(world: &World) -> Result<()> {
    let client = world.client().await?;
    let ask = Ask::new("tools/list", json!({}));
    let one = ask.message(&json!("one"));
    for body in ["{".to_owned(), String::new(), "[]".to_owned(), json!([one]).to_string(), "7".to_owned()] {
        let open = client.line.send(None, body.clone(), &ask.all_headers()).await?;
        let refused = open.status.is_some_and(|status| (400..500).contains(&status));
        ensure!(refused, "the body `{}` was answered with HTTP {:?}", short(&body), open.status);
    }
    client.is_well().await
}
