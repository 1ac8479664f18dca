//! Line 18: what HTTP says beside the message.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::modern::{Ask, Modern, VERSION, encoded};
use super::super::wire::{Wire, short};
use super::super::world::{World, not_run};
use super::super::{Check, HTTP, check};

pub(super) const CHECKS: &[Check] = &[
    check!(18, HTTP, "headers/origin", origin, "an Origin that is not allowed is HTTP 403, none is fine"),
    check!(18, HTTP, "headers/host", host, "a foreign Host is refused at a loopback address"),
    check!(18, HTTP, "headers/version", version, "MCP-Protocol-Version must be there and say what the message says"),
    check!(18, HTTP, "headers/unknown-version", unknown_version, "an unknown version is -32022 with the known ones"),
    check!(18, HTTP, "headers/meta", meta, "a modern request without its version or capabilities is HTTP 400"),
    check!(18, HTTP, "headers/method", method, "Mcp-Method must be there and be the method"),
    check!(18, HTTP, "headers/name", name, "Mcp-Name must be there and be the tool, plain or in base64"),
    check!(18, HTTP, "headers/task-name", task_name, "for tasks/get, update and cancel Mcp-Name names no other task"),
    check!(18, HTTP, "headers/parameter", parameter, "Mcp-Param is there exactly when its argument is, and equal"),
    check!(
        18,
        HTTP,
        "headers/accept",
        accept,
        "a client is never sent a form that it does not accept, nor believed one that is not JSON"
    ),
    check!(18, HTTP, "headers/notification", notification, "a notification is HTTP 202 without a body"),
    check!(18, HTTP, "headers/unknown-method", unknown_method, "an unknown method is HTTP 404 with -32601"),
];

async fn refused(client: &Modern, ask: Ask, code: i64) -> Result<()> {
    let told = client.ask(ask).await?;
    told.error(code)?;
    told.ensure(told.status == Some(400), "not HTTP 400")
}

fn list() -> Ask {
    Ask::new("tools/list", json!({}))
}

async fn origin(world: &World) -> Result<()> {
    let client = world.client().await?;
    for origin in ["https://evil.example", "http://127.0.0.1.evil.example", "null"] {
        for method in ["POST", "GET"] {
            let ask = list().header("Origin", Some(origin));
            let body = if method == "POST" { ask.message(&json!(1)).to_string() } else { String::new() };
            let Wire::Http(http) = &client.line.wire else { return Err(not_run("needs HTTP")) };
            let status = http.send(method, &ask.all_headers(), body).await?.status;
            ensure!(status == Some(403), "{method} with the Origin {origin} was answered with HTTP {status:?}");
        }
    }
    client.is_well().await
}

async fn host(world: &World) -> Result<()> {
    let client = world.client().await?;
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
        let ask = list().header("Host", Some(host));
        let open = client.line.send(None, ask.message(&json!(1)).to_string(), &ask.all_headers()).await?;
        let status = open.status.unwrap_or_default();
        ensure!((400..500).contains(&status), "the Host {host} was answered with HTTP {status}");
    }
    client.is_well().await
}

async fn version(world: &World) -> Result<()> {
    let client = world.client().await?;
    for wrong in [None, Some("2025-11-25"), Some("2099-01-01"), Some("")] {
        refused(&client, list().header("MCP-Protocol-Version", wrong), -32020).await?;
    }
    client
        .ask(list().header("MCP-Protocol-Version", None).header("mcp-protocol-version", Some(VERSION)))
        .await?
        .result()?;
    Ok(())
}

async fn unknown_version(world: &World) -> Result<()> {
    let client = world.client().await?;
    let params = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2099-01-01"}});
    let ask = Ask::new("tools/list", params).header("MCP-Protocol-Version", Some("2099-01-01"));
    let told = client.ask(ask).await?;
    let data = &told.error(-32022)?["data"];
    let supported = data["supported"].as_array().is_some_and(|versions| versions.contains(&json!(VERSION)));
    told.ensure(supported && data["requested"] == "2099-01-01", "`error.data` does not say what is known and asked for")
}

async fn meta(world: &World) -> Result<()> {
    let client = world.client().await?;
    let ask = list();
    for missing in ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"] {
        let mut message = ask.message(&json!("meta"));
        message["params"]["_meta"].as_object_mut().map(|meta| meta.remove(missing));
        let open = client.line.send(Some(&json!("meta")), message.to_string(), &ask.all_headers()).await?;
        ensure!(open.status == Some(400), "without `{missing}` HTTP {:?} for {}", open.status, short(&open.sent));
    }
    Ok(())
}

async fn method(world: &World) -> Result<()> {
    let client = world.client().await?;
    for wrong in [None, Some("tools/call"), Some("TOOLS/LIST"), Some("")] {
        refused(&client, list().header("Mcp-Method", wrong), -32020).await?;
    }
    Ok(())
}

async fn name(world: &World) -> Result<()> {
    let client = world.client_with(&["greet"]).await?;
    let ask = || Ask::new("tools/call", json!({"name": "greet", "arguments": {"name": "Ada"}}));
    let wrong = ["slow_compute", "Greet", &encoded("slow_compute"), "=?base64?###?=", "=?BASE64?Z3JlZXQ=?=", ""];
    for wrong in wrong.iter().map(|value| Some(*value)).chain([None]) {
        refused(&client, ask().header("Mcp-Name", wrong), -32020).await?;
    }
    for right in ["greet", &encoded("greet")] {
        client.ask(ask().header("Mcp-Name", Some(right))).await?.result()?;
    }
    Ok(())
}

async fn task_name(world: &World) -> Result<()> {
    let client = world.client_with(&["slow_compute"]).await?;
    let id = client.task("slow_compute", json!({"seconds": 60, "label": "name"})).await?;
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let ask = || Ask::new(method, json!({"taskId": id, "inputResponses": {}}));
        // Clients must send it, but nothing asks a server that does not route by it to refuse those that do not.
        for wrong in ["another", &encoded("another")] {
            refused(&client, ask().header("Mcp-Name", Some(wrong)), -32020).await?;
        }
        client.ask(ask().header("Mcp-Name", Some(&encoded(&id)))).await?.result()?;
    }
    client.until_status(&id, "cancelled").await.map(|_| ())
}

/// The first tool that wants a text argument as a header: its name, the argument and the header.
async fn tool_with_header(world: &World, client: &Modern) -> Result<(String, String, String)> {
    let tools = world.tools(client).await?;
    let found = tools.iter().find_map(|tool| {
        let properties = tool["inputSchema"]["properties"].as_object()?;
        let text = |schema: &&Value| schema["type"] == "string" && schema["x-mcp-header"].is_string();
        let (argument, schema) = properties.iter().find(|(_, schema)| text(schema))?;
        let header = format!("Mcp-Param-{}", schema["x-mcp-header"].as_str()?);
        Some((tool["name"].as_str()?.to_owned(), argument.clone(), header))
    });
    found.ok_or_else(|| not_run("needs a tool with `x-mcp-header` at a text argument"))
}

async fn parameter(world: &World) -> Result<()> {
    let client = world.client().await?;
    let (tool, argument, header) = tool_with_header(world, &client).await?;
    let ask = |value: &str| Ask::new("tools/call", json!({"name": tool, "arguments": {&argument: value}}));
    for wrong in [None, Some("another"), Some(encoded("another").as_str()), Some("=?base64?###?=")] {
        refused(&client, ask("plain").header(&header, wrong), -32020).await?;
    }
    for (value, right) in [("plain", "plain".to_owned()), ("plain", encoded("plain")), ("größe", encoded("größe"))]
    {
        client.ask(ask(value).header(&header, Some(&right))).await?.result()?;
    }
    let absent = Ask::new("tools/call", json!({"name": tool, "arguments": {}})).header(&header, Some("plain"));
    refused(&client, absent, -32020).await
}

async fn accept(world: &World) -> Result<()> {
    let client = world.client().await?;
    for accepted in ["text/plain", "application/json", "text/event-stream"] {
        let ask = list().header("Accept", Some(accepted));
        let open = client.line.send(None, ask.message(&json!(1)).to_string(), &ask.all_headers()).await?;
        let readable = open.header("content-type").is_some_and(|kind| kind.starts_with(accepted));
        ensure!(is_refusal(open.status) || readable, "`Accept: {accepted}` was answered with HTTP {:?}", open.status);
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let ask = list().header("Content-Type", Some(kind));
        let open = client.line.send(None, ask.message(&json!(1)).to_string(), &ask.all_headers()).await?;
        ensure!(is_refusal(open.status), "`Content-Type: {kind}` was answered with HTTP {:?}", open.status);
    }
    Ok(())
}

fn is_refusal(status: Option<u16>) -> bool {
    status.is_some_and(|status| (400..500).contains(&status))
}

async fn notification(world: &World) -> Result<()> {
    let client = world.client().await?;
    let mut told = client.notify("notifications/cancelled", json!({"requestId": "never sent"})).await?;
    ensure!(told.status == Some(202), "a notification was answered with HTTP {:?}", told.status);
    let body = told.next(client.line.patience).await?;
    ensure!(body.is_none(), "a notification was answered with {:?}", body.map(|message| message.text));
    Ok(())
}

async fn unknown_method(world: &World) -> Result<()> {
    let client = world.client().await?;
    for method in ["tasks/none", "no/such/method", "tasks/get/more"] {
        let told = client.call(method, json!({})).await?;
        told.error(-32601)?;
        told.ensure(told.status == Some(404), "not HTTP 404")?;
    }
    Ok(())
}
