//! A client of 2026-07-28: each request carries its version and what its client can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::message::{Era, PLACE, spelled};
use super::shape;
use super::wire::{Exchange, Line, Open};

pub(crate) const VERSION: &str = "2026-07-28";
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";
/// Legs of one call that a client's driver goes before it gives up.
pub(crate) const LEGS: usize = 10;
/// Between two looks at a task.
const PAUSE: Duration = Duration::from_millis(25);

/// What a client that can take tasks and be asked declares.
pub(crate) fn declaring() -> Value {
    json!({"elicitation": {}, "extensions": {TASKS: {}}})
}

/// The tool that works for some seconds, and the one that stands for it where commands are run.
pub(crate) const WORK: &str = "slow_compute";
pub(crate) const COMMAND: &str = "run";

/// The same call of a server that runs commands.
pub(crate) fn as_command(mut params: Value) -> Value {
    if params["name"] == WORK {
        let (seconds, label) = (params["arguments"]["seconds"].to_string(), params["arguments"]["label"].take());
        params["name"] = json!(COMMAND);
        params["arguments"] = json!({"command": ["sleep", seconds], "cwd": "/", "name": label});
    }
    params
}

/// A request before it is sent, and the HTTP headers that differ from the right ones.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) capabilities: Value,
    pub(crate) id: Option<Value>,
    pub(crate) headers: Vec<(String, Option<String>)>,
}

impl Ask {
    pub(crate) fn new(method: &str, params: Value) -> Ask {
        Ask { method: method.to_owned(), params, capabilities: declaring(), id: None, headers: vec![] }
    }

    /// Declares this instead of tasks and elicitation.
    pub(crate) fn declares(mut self, capabilities: Value) -> Ask {
        self.capabilities = capabilities;
        self
    }

    pub(crate) fn id(mut self, id: Value) -> Ask {
        self.id = Some(id);
        self
    }

    /// Sends this header, or leaves it out.
    pub(crate) fn header(mut self, name: &str, value: Option<&str>) -> Ask {
        self.headers.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    /// The message, with `_meta` beside whatever `params._meta` already holds.
    pub(crate) fn message(&self, id: &Value) -> Value {
        let mut params = self.params.clone();
        let own = params.get("_meta").cloned();
        let mut meta = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "mcp-pack", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": self.capabilities,
        });
        for (name, value) in own.as_ref().and_then(Value::as_object).into_iter().flatten() {
            meta[name] = value.clone();
        }
        params["_meta"] = meta;
        json!({"jsonrpc": "2.0", "id": id, "method": self.method, "params": params})
    }

    /// The headers that HTTP wants beside `message`, and then those that this request changes.
    pub(crate) fn all_headers(&self) -> Vec<(String, Option<String>)> {
        let name = match self.method.as_str() {
            "tools/call" | "prompts/get" => self.params["name"].as_str(),
            "resources/read" => self.params["uri"].as_str(),
            "tasks/get" | "tasks/update" | "tasks/cancel" => self.params["taskId"].as_str(),
            _ => None,
        };
        let mut headers = vec![
            ("MCP-Protocol-Version".to_owned(), Some(VERSION.to_owned())),
            ("Mcp-Method".to_owned(), Some(self.method.clone())),
            ("Mcp-Name".to_owned(), name.map(header_value)),
        ];
        headers.extend(self.headers.iter().cloned());
        headers
    }
}

/// A header's value: as it is where that is safe, else in the base64 form.
pub(crate) fn header_value(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && text.trim() == text;
    if plain && !text.starts_with("=?") { text.to_owned() } else { encoded(text) }
}

/// The base64 form of a header's value.
pub(crate) fn encoded(text: &str) -> String {
    format!("=?base64?{}?=", BASE64_STANDARD.encode(text))
}

/// A client and its numbers.
#[derive(Clone)]
pub(crate) struct Modern {
    pub(crate) line: Line,
    next: Arc<AtomicI64>,
}

impl Modern {
    pub(crate) fn new(line: Line) -> Modern {
        Modern { line, next: Arc::new(AtomicI64::new(1)) }
    }

    /// An id that was not used yet: numbers and strings in turn, since both must come back as they were.
    fn fresh_id(&self) -> Value {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        if number % 2 == 0 { json!(number) } else { json!(format!("r-{number}")) }
    }

    /// Sends and does not wait.
    pub(crate) async fn open(&self, ask: &Ask) -> Result<(Open, Value)> {
        let mut ask = ask.clone();
        if self.line.commands {
            ask.params = as_command(ask.params);
        }
        let id = ask.id.clone().unwrap_or_else(|| self.fresh_id());
        let open = self.line.send(Some(&id), ask.message(&id).to_string(), &ask.all_headers()).await?;
        Ok((open, id))
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Result<Exchange> {
        let (open, id) = self.open(&ask).await?;
        self.line.finish(open, &id, Era::Modern).await
    }

    /// Asks as a client that declares tasks and elicitation.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<Exchange> {
        self.ask(Ask::new(method, params)).await
    }

    /// Asks as a client that declares nothing.
    pub(crate) async fn undeclared(&self, method: &str, params: Value) -> Result<Exchange> {
        self.ask(Ask::new(method, params).declares(json!({}))).await
    }

    pub(crate) async fn notify(&self, method: &str, params: Value) -> Result<Open> {
        let ask = Ask::new(method, params);
        let mut message = ask.message(&Value::Null);
        message.as_object_mut().map(|members| members.remove("id"));
        self.line.send(None, message.to_string(), &ask.all_headers()).await
    }

    /// Calls a tool as a client that declares this, and goes on from leg to leg as drivers do, with an answer to whatever
    /// is asked; what stands at the end.
    pub(crate) async fn through(&self, tool: &str, arguments: Value, capabilities: &Value) -> Result<Exchange> {
        let call = json!({"name": tool, "arguments": arguments});
        let mut params = call.clone();
        for _ in 0..LEGS {
            let told = self.ask(Ask::new("tools/call", params).declares(capabilities.clone())).await?;
            let Ok(result) = told.result() else { return Ok(told) };
            if result["resultType"] != "input_required" {
                return Ok(told);
            }
            params = call.clone();
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
            if let Some(asked) = result["inputRequests"].as_object() {
                params["inputResponses"] = asked.keys().map(|key| (key.clone(), accept("Grace"))).collect();
            }
        }
        bail!("`{tool}` has neither result nor error after {LEGS} legs, and a client's driver has given up by now")
    }

    /// Calls a tool with these bytes as its arguments, as a client that declares nothing.
    pub(crate) async fn tool_raw(&self, tool: &str, arguments: &str) -> Result<Exchange> {
        let ask = Ask::new("tools/call", json!({"name": tool, "arguments": PLACE})).declares(json!({}));
        let id = self.fresh_id();
        let open = self.line.send(Some(&id), spelled(&ask.message(&id), arguments), &ask.all_headers()).await?;
        self.line.finish(open, &id, Era::Modern).await
    }

    /// Calls a tool that must answer with a task; its id.
    pub(crate) async fn task(&self, tool: &str, arguments: Value) -> Result<String> {
        let made = self.call("tools/call", json!({"name": tool, "arguments": arguments})).await?;
        let id = made.judge(shape::created(made.result()?))?;
        made.ensure(made.before.is_empty(), "something came before the handle")?;
        Ok(id)
    }

    /// Reads a task and checks its shape.
    pub(crate) async fn get(&self, id: &str) -> Result<Exchange> {
        let read = self.call("tasks/get", json!({"taskId": id})).await?;
        read.judge(shape::detailed(read.result()?))?;
        read.ensure(read.result()?["taskId"] == id, "`taskId` is another one")?;
        read.ensure(read.before.is_empty(), "something came before the task")?;
        Ok(read)
    }

    /// Reads a task until it is as wanted; a task that ends otherwise is a fault.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Result<Exchange> {
        let deadline = tokio::time::Instant::now() + self.line.patience;
        loop {
            let read = self.get(id).await?;
            let task = read.result()?;
            if wanted(task) {
                return Ok(read);
            }
            let over = shape::ENDS.contains(&task["status"].as_str().unwrap_or_default());
            read.ensure(!over, "the task ended otherwise than expected")?;
            read.ensure(tokio::time::Instant::now() < deadline, "the task did not get there in time")?;
            pause().await;
        }
    }

    pub(crate) async fn until_status(&self, id: &str, status: &str) -> Result<Exchange> {
        self.until(id, |task| task["status"] == status).await
    }

    pub(crate) async fn until_ended(&self, id: &str) -> Result<Exchange> {
        self.until(id, |task| shape::ENDS.contains(&task["status"].as_str().unwrap_or_default())).await
    }

    /// Reads a task that nobody cancels until it has ended, says of what, and stays so.
    pub(crate) async fn until_settled(&self, id: &str) -> Result<Exchange> {
        let end = self.until_ended(id).await?;
        end.judge(shape::told_end(end.result()?))?;
        let again = self.get(id).await?;
        again.judge(shape::same_task(end.text(), again.text()))?;
        Ok(end)
    }

    /// Waits until this many questions are open; their keys.
    pub(crate) async fn questions(&self, id: &str, count: usize) -> Result<Vec<String>> {
        let read =
            self.until(id, |task| task["inputRequests"].as_object().is_some_and(|map| map.len() >= count)).await?;
        Ok(read.result()?["inputRequests"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect())
    }

    /// Answers; the acknowledgement must be empty.
    pub(crate) async fn answer(&self, id: &str, responses: Value) -> Result<()> {
        let told = self.call("tasks/update", json!({"taskId": id, "inputResponses": responses})).await?;
        told.judge(shape::acknowledgement(told.result()?))
    }

    /// Cancels; the acknowledgement must be empty.
    pub(crate) async fn cancel(&self, id: &str) -> Result<()> {
        let told = self.call("tasks/cancel", json!({"taskId": id})).await?;
        told.judge(shape::acknowledgement(told.result()?))
    }

    /// The server still answers.
    pub(crate) async fn is_well(&self) -> Result<()> {
        let found = self.undeclared("server/discover", json!({})).await?;
        ensure!(found.result()?["supportedVersions"].is_array(), "`server/discover` names no versions");
        Ok(())
    }
}

/// An answer that fits the questions of the fixture's tools.
pub(crate) fn accept(word: &str) -> Value {
    json!({"action": "accept", "content": {"confirm": true, "value": word, "name": word, "answer": word}})
}

pub(crate) async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_names_travel_as_base64() {
        let cases = [("greet", "greet"), ("größe", "=?base64?Z3LDtsOfZQ==?="), ("=?x", "=?base64?PT94?=")];
        for (text, value) in cases {
            assert_eq!(header_value(text), value);
        }
    }
}
