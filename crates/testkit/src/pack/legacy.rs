//! A client of a session that `initialize` opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::message::{Era, Message, PLACE, spelled};
use super::modern::{as_command, pause};
use super::shape;
use super::wire::{Exchange, Line, Open};

/// The version with core tasks.
pub(crate) const VERSION: &str = "2025-11-25";
pub(crate) const RELATED: &str = "io.modelcontextprotocol/related-task";

/// A session.
#[derive(Clone)]
pub(crate) struct Legacy {
    pub(crate) line: Line,
    /// What the server answered to `initialize`.
    pub(crate) hello: Value,
    version: String,
    session: Option<String>,
    next: Arc<AtomicI64>,
}

impl Legacy {
    /// Opens a session at this version.
    ///
    /// # Errors
    /// The server refuses, or wants another version.
    pub(crate) async fn open(line: Line, version: &str, capabilities: Value) -> Result<Legacy> {
        let mut opened = Legacy {
            line,
            hello: Value::Null,
            version: version.to_owned(),
            session: None,
            next: Arc::new(AtomicI64::new(1)),
        };
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": {"name": "mcp-pack", "version": env!("CARGO_PKG_VERSION")},
        });
        let id = json!(0);
        let hello = json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": params});
        let open = opened.line.send(Some(&id), hello.to_string(), &[]).await?;
        opened.session = open.header("mcp-session-id").map(str::to_owned);
        let hello = opened.line.finish(open, &id, Era::Legacy).await?;
        hello.ensure(hello.result()?["protocolVersion"] == version, "the server wants another version")?;
        opened.hello = hello.result()?.clone();
        opened.notify("notifications/initialized", json!({})).await?;
        Ok(opened)
    }

    fn headers(&self) -> Vec<(String, Option<String>)> {
        let mut headers = vec![("MCP-Protocol-Version".to_owned(), Some(self.version.clone()))];
        headers.extend(self.session.as_ref().map(|session| ("MCP-Session-Id".to_owned(), Some(session.clone()))));
        headers
    }

    pub(crate) async fn notify(&self, method: &str, params: Value) -> Result<()> {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.line.send(None, message.to_string(), &self.headers()).await?;
        Ok(())
    }

    /// Sends and does not wait.
    pub(crate) async fn send(&self, method: &str, params: Value) -> Result<(Open, Value)> {
        let id = json!(self.next.fetch_add(1, Ordering::SeqCst));
        let params = if self.line.commands { as_command(params) } else { params };
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        Ok((self.line.send(Some(&id), message.to_string(), &self.headers()).await?, id))
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Exchange> {
        let (open, id) = self.send(method, params).await?;
        self.line.finish(open, &id, Era::Legacy).await
    }

    /// Calls a tool with these bytes as its arguments.
    pub(crate) async fn tool_raw(&self, tool: &str, arguments: &str) -> Result<Exchange> {
        let id = json!(self.next.fetch_add(1, Ordering::SeqCst));
        let params = json!({"name": tool, "arguments": PLACE});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let open = self.line.send(Some(&id), spelled(&message, arguments), &self.headers()).await?;
        self.line.finish(open, &id, Era::Legacy).await
    }

    /// Asks, and answers what the server asks back with `answer`; the questions stand in `before`.
    pub(crate) async fn call_answering(&self, method: &str, params: Value, answer: Value) -> Result<Exchange> {
        let (mut open, id) = self.send(method, params).await?;
        let mut before = vec![];
        let mut reply = None;
        while let Some(message) = open.next(self.line.patience).await? {
            self.line.judge(&message, Era::Legacy, &id, open.status);
            if message.is_response() {
                reply = Some(message);
                break;
            }
            if message.is_request() {
                self.respond(&message, &answer).await?;
            }
            before.push(message);
        }
        Ok(Exchange { sent: open.sent.clone(), status: open.status, before, reply })
    }

    async fn respond(&self, question: &Message, answer: &Value) -> Result<()> {
        let response = json!({"jsonrpc": "2.0", "id": question.value["id"], "result": answer});
        self.line.send(None, response.to_string(), &self.headers()).await?;
        Ok(())
    }

    /// Whether the server does tasks in this session.
    pub(crate) fn has_tasks(&self) -> bool {
        self.hello["capabilities"]["tasks"]["requests"]["tools"]["call"].is_object()
    }

    /// Calls a tool as a task that wants to live this long; its id.
    pub(crate) async fn task(&self, tool: &str, arguments: Value, ttl: Option<u64>) -> Result<String> {
        let wish = ttl.map_or(json!({}), |ttl| json!({"ttl": ttl}));
        let params = json!({"name": tool, "arguments": arguments, "task": wish});
        let made = self.call("tools/call", params).await?;
        made.judge(shape::legacy_created(made.result()?))
    }

    pub(crate) async fn get(&self, id: &str) -> Result<Exchange> {
        let read = self.call("tasks/get", json!({"taskId": id})).await?;
        let found = read.judge(shape::legacy_task(read.result()?, None))?;
        read.ensure(found == id, "`taskId` is another one")?;
        Ok(read)
    }

    pub(crate) async fn until_status(&self, id: &str, status: &str) -> Result<Exchange> {
        let deadline = tokio::time::Instant::now() + self.line.patience;
        loop {
            let read = self.get(id).await?;
            let found = read.result()?["status"].as_str().context("a status")?;
            if found == status {
                return Ok(read);
            }
            read.ensure(!shape::ENDS.contains(&found), "the task ended otherwise than expected")?;
            read.ensure(tokio::time::Instant::now() < deadline, "the task did not get there in time")?;
            pause().await;
        }
    }
}
