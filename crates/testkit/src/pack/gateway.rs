//! A gateway under test, started in front of the pack's own upstream.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::legacy::{self, Legacy};
use super::message::Era;
use super::modern::{self, Modern};
use super::upstream::Fault;
use super::wire::{Exchange, Line};
use super::world::{Transport, World, all_tools};

/// The variable that tells a gateway by which command line its upstream is started.
pub(crate) const UPSTREAM: &str = "MCP_PACK_UPSTREAM";

/// A gateway that somebody can be connected to. Over HTTP it runs; dropping it ends it.
pub(crate) struct Gateway {
    /// What starts it over stdio, or where it is over HTTP.
    pub(crate) place: String,
    pub(crate) upstream: String,
    _process: Option<Process>,
}

/// A gateway over HTTP. Its input and output stay open while it serves.
struct Process {
    _child: Child,
    _output: Lines<BufReader<ChildStdout>>,
}

impl Gateway {
    /// # Errors
    /// It does not start, or over HTTP does not print its URL.
    pub(crate) async fn start(world: &World, fault: Fault) -> Result<Gateway> {
        let command = world.options.gateway(world.transport).context("a gateway")?;
        let pack = std::env::current_exe()?.display().to_string().replace('\'', r"'\''");
        let upstream = format!("'{pack}' --upstream {}", fault.name());
        if world.transport == Transport::Stdio {
            return Ok(Gateway { place: command.to_owned(), upstream, _process: None });
        }
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .env(UPSTREAM, &upstream)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let told = tokio::time::timeout(world.options.patience(), output.next_line()).await;
        let place = told.context("the gateway does not say where it is")??.context("the gateway did not start")?;
        Ok(Gateway { place, upstream, _process: Some(Process { _child: child, _output: output }) })
    }

    async fn line(&self, world: &World) -> Result<Line> {
        match world.transport {
            Transport::Http => world.endpoint(&self.place, world.options.owner()?),
            Transport::Stdio => world.spawn(&self.place, &[(UPSTREAM, self.upstream.clone())]).await,
        }
    }

    /// A plain client of it, in the newest era that it speaks.
    pub(crate) async fn client(&self, world: &World) -> Result<Plain> {
        let modern = Modern::new(self.line(world).await?);
        if speaks(&modern).await {
            return Ok(Plain::Modern(modern));
        }
        // Whatever it said to a request that it does not know.
        drop(world.journal.take_complaints());
        Ok(Plain::Legacy(Legacy::open(self.line(world).await?, legacy::VERSION, json!({})).await?))
    }
}

/// A client that declares nothing.
pub(crate) enum Plain {
    Modern(Modern),
    Legacy(Legacy),
}

impl Plain {
    pub(crate) fn era(&self) -> Era {
        match self {
            Plain::Modern(_) => Era::Modern,
            Plain::Legacy(_) => Era::Legacy,
        }
    }

    /// Calls a tool whose `arguments` are these bytes.
    pub(crate) async fn tool(&self, name: &str, arguments: &str) -> Result<Exchange> {
        match self {
            Plain::Modern(client) => client.tool_raw(name, arguments).await,
            Plain::Legacy(session) => session.tool_raw(name, arguments).await,
        }
    }

    /// Every tool that it lists, on however many pages.
    pub(crate) async fn tools(&self) -> Result<Vec<Value>> {
        match self {
            Plain::Legacy(session) => all_tools(async |params| session.call("tools/list", params).await).await,
            Plain::Modern(client) => {
                all_tools(async |params| {
                    let page = client.undeclared("tools/list", params).await?;
                    page.judge(hints(page.result()?))?;
                    Ok(page)
                })
                .await
            }
        }
    }
}

/// Without them strict clients refuse a list.
fn hints(result: &Value) -> Result<()> {
    ensure!(result["ttlMs"].is_u64(), "`ttlMs` is {}", result["ttlMs"]);
    let scope = &result["cacheScope"];
    ensure!(*scope == "public" || *scope == "private", "`cacheScope` is {scope}");
    Ok(())
}

/// Whether it has requests that stand for themselves. One that knows sessions only may refuse, hang up or say nothing.
async fn speaks(client: &Modern) -> bool {
    let Ok(told) = client.undeclared("server/discover", json!({})).await else { return false };
    let versions = told.result().ok().and_then(|found| found["supportedVersions"].as_array());
    versions.is_some_and(|versions| versions.iter().any(|version| version == modern::VERSION))
}
