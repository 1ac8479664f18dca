//! What a check has at hand: connections as either owner, the tools that the server offers, and the hooks.

use std::fmt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::http::Http;
use super::journal::Journal;
use super::legacy::{self, Legacy};
use super::modern::{self, Modern, declaring};
use super::options::Options;
use super::stdio::Pipe;
use super::wire::{Exchange, Line, Wire};

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Http,
    Stdio,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Stdio => "stdio",
        }
    }
}

/// A check could not be run; says what it needs.
#[derive(Debug)]
pub(crate) struct NotRun(pub(crate) String);

impl fmt::Display for NotRun {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for NotRun {}

/// Ends a check that lacks something, without a verdict.
pub(crate) fn not_run(needs: impl Into<String>) -> anyhow::Error {
    anyhow!(NotRun(needs.into()))
}

/// Everything around one check.
pub(crate) struct World {
    pub(crate) transport: Transport,
    pub(crate) options: Arc<Options>,
    pub(crate) journal: Journal,
    tools: OnceCell<Vec<Value>>,
    child: Mutex<Option<Arc<Pipe>>>,
}

impl World {
    pub(crate) fn new(transport: Transport, options: Arc<Options>) -> World {
        let child = Mutex::new(None);
        World { transport, options, journal: Journal::default(), tools: OnceCell::new(), child }
    }

    fn line(&self, wire: Wire) -> Line {
        let (patience, commands) = (self.options.patience(), self.options.commands);
        Line { wire, journal: self.journal.clone(), patience, commands }
    }

    /// A connection to an endpoint, as whom these headers say.
    pub(crate) fn endpoint(&self, url: &str, headers: Vec<(String, String)>) -> Result<Line> {
        Ok(self.line(Wire::Http(Http::new(url, headers)?)))
    }

    /// A connection to a process of its own, which has these variables too; the one before it ends first.
    pub(crate) async fn spawn(&self, command: &str, variables: &[(&str, String)]) -> Result<Line> {
        self.end_child().await?;
        let pipe = Arc::new(Pipe::start(command, variables, &self.journal)?);
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&pipe));
        Ok(self.line(Wire::Stdio(pipe)))
    }

    fn server(&self) -> Result<&str> {
        self.options.server(self.transport).context("a URL or a command")
    }

    /// A new connection of the first owner. On stdio that is a new process, and the one before it ends first.
    pub(crate) async fn open(&self) -> Result<Line> {
        match self.transport {
            Transport::Http => self.endpoint(self.server()?, self.options.owner()?),
            Transport::Stdio => self.spawn(self.server()?, &[]).await,
        }
    }

    /// Ends the process of this check, if it has one; whether it went by itself when its input ended.
    pub(crate) async fn end_child(&self) -> Result<bool> {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        match child {
            Some(child) => child.close().await,
            None => Ok(true),
        }
    }

    pub(crate) async fn client(&self) -> Result<Modern> {
        Ok(Modern::new(self.open().await?))
    }

    /// A second connection of the same owner beside `client`; on stdio there is only the one.
    pub(crate) async fn beside(&self, client: &Modern) -> Result<Modern> {
        match self.transport {
            Transport::Http => self.client().await,
            Transport::Stdio => Ok(client.clone()),
        }
    }

    /// A connection of somebody else. On stdio there is nobody else: it has one owner, the local user.
    pub(crate) fn somebody_else(&self) -> Result<Modern> {
        Ok(Modern::new(self.line_of_somebody_else()?))
    }

    pub(crate) fn line_of_somebody_else(&self) -> Result<Line> {
        let headers = self.options.second_owner()?;
        if headers.is_empty() {
            return Err(not_run("needs --second-header"));
        }
        self.endpoint(self.server()?, headers)
    }

    /// A session of 2025-11-25 that can be asked.
    pub(crate) async fn session(&self) -> Result<Legacy> {
        self.session_as(legacy::VERSION, json!({"elicitation": {}})).await
    }

    pub(crate) async fn session_as(&self, version: &str, capabilities: Value) -> Result<Legacy> {
        Legacy::open(self.open().await?, version, capabilities).await
    }

    /// A session with core tasks; a server without them does not claim them, and so does not fail.
    pub(crate) async fn session_with_tasks(&self) -> Result<Legacy> {
        let session = self.session().await?;
        if session.has_tasks() {
            return Ok(session);
        }
        Err(not_run("needs the capability `tasks` of 2025-11-25, which the server does not have"))
    }

    /// The declaration of a tool; without it the check is not run.
    pub(crate) async fn tool(&self, client: &Modern, name: &str) -> Result<Value> {
        let tools = self.tools.get_or_try_init(|| listed(client)).await?;
        let name = if self.options.commands && name == modern::WORK { modern::COMMAND } else { name };
        let found = tools.iter().find(|tool| tool["name"] == name);
        found.cloned().ok_or_else(|| not_run(format!("needs the tool `{name}`")))
    }

    pub(crate) async fn tools<'a>(&'a self, client: &Modern) -> Result<&'a Vec<Value>> {
        self.tools.get_or_try_init(|| listed(client)).await
    }

    /// A client whose server offers these tools.
    pub(crate) async fn client_with(&self, tools: &[&str]) -> Result<Modern> {
        let client = self.client().await?;
        for tool in tools {
            self.tool(&client, tool).await?;
        }
        Ok(client)
    }

    /// Stops the server in good order and starts it again; a client of the new one.
    pub(crate) async fn restart(&self) -> Result<Modern> {
        match self.transport {
            Transport::Http => {
                let stop = hook(self.options.stop.as_deref(), "--stop")?;
                let start = hook(self.options.start.as_deref(), "--start")?;
                shell(stop).await?;
                shell(start).await?;
            }
            Transport::Stdio => {
                self.end_child().await?;
                if let (Some(stop), Some(start)) = (&self.options.stop, &self.options.start) {
                    shell(stop).await?;
                    shell(start).await?;
                }
            }
        }
        self.client().await
    }

    /// Whether the server can be killed and started again.
    pub(crate) fn can_kill(&self) -> Result<()> {
        if self.transport == Transport::Http {
            hook(self.options.kill.as_deref(), "--kill")?;
            hook(self.options.start.as_deref(), "--start")?;
        }
        Ok(())
    }

    /// `kill -9` and a new start; a client of the new one.
    pub(crate) async fn kill(&self) -> Result<Modern> {
        self.can_kill()?;
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(child) = child {
            child.kill().await?;
        }
        if let (Some(kill), Some(start)) = (&self.options.kill, &self.options.start) {
            shell(kill).await?;
            shell(start).await?;
        }
        self.client().await
    }
}

async fn listed(client: &Modern) -> Result<Vec<Value>> {
    all_tools(async |params| client.call("tools/list", params).await).await
}

/// The tools of every page that `list` brings.
pub(crate) async fn all_tools(list: impl AsyncFn(Value) -> Result<Exchange>) -> Result<Vec<Value>> {
    let mut tools = vec![];
    let mut cursor = Value::Null;
    loop {
        let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
        let page = list(params).await?;
        let found = page.result()?["tools"].as_array().ok_or_else(|| page.fault("`tools` is no array"))?;
        tools.extend(found.iter().cloned());
        cursor = page.result()?["nextCursor"].clone();
        if cursor.is_null() {
            return Ok(tools);
        }
    }
}

/// A hook that a check cannot do without.
pub(crate) fn hook<'a>(command: Option<&'a str>, option: &str) -> Result<&'a str> {
    command.ok_or_else(|| not_run(format!("needs {option}")))
}

/// Runs a hook to its end; what it printed.
pub(crate) async fn shell(command: &str) -> Result<String> {
    let output =
        Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await?;
    ensure!(output.status.success(), "the hook `{command}` ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What clients that do not declare tasks look like: none of these may ever see one.
pub(crate) fn undeclaring() -> Vec<(&'static str, Value)> {
    let mut other = declaring();
    other["extensions"] = json!({"io.modelcontextprotocol/ui": {}});
    vec![
        ("nothing", json!({})),
        ("empty extensions", json!({"extensions": {}})),
        ("another extension", other),
        (
            "the capability of 2025-11-25",
            json!({"tasks": {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}}),
        ),
        ("an experiment", json!({"experimental": {super::modern::TASKS: {}}})),
    ]
}
