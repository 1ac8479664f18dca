//! What the command line says: whom to check, as whom, and with which hooks.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use super::upstream::Fault;
use super::world::Transport;

/// Checks how an MCP server does tasks, both generations, from outside.
///
/// Drives the tools of the official conformance fixture. A line that needs a tool or a hook that is not there is
/// reported as not run, never as passed.
#[derive(Parser, Debug)]
pub struct Options {
    /// Endpoint over HTTP, as `http://host:port/path`.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// Command that serves on its standard input and output; run by `sh -c`.
    #[arg(long)]
    pub(crate) command: Option<String>,
    /// A header of every HTTP request, as `Name: value`; may be repeated.
    #[arg(long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// The same for a second owner, who must not see what the first one has.
    #[arg(long = "second-header", value_name = "HEADER")]
    pub(crate) second_headers: Vec<String>,
    /// Only checks whose id begins so; may be repeated.
    #[arg(long = "scenario", value_name = "PREFIX")]
    pub(crate) scenarios: Vec<String>,
    /// Not those whose id begins so; may be repeated.
    #[arg(long = "except", value_name = "PREFIX")]
    pub(crate) except: Vec<String>,
    /// Lists the checks and ends.
    #[arg(long)]
    pub(crate) list: bool,
    /// Also writes the report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Ids that are known to fail, one in a line; one that no longer fails is a failure too.
    #[arg(long, value_name = "FILE")]
    pub(crate) expected_failures: Option<PathBuf>,
    /// Shell command that kills the server at once (`kill -9`), without any goodbye.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) kill: Option<String>,
    /// Shell command that stops the server in good order.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) stop: Option<String>,
    /// Shell command that starts the server again; returns when it serves.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) start: Option<String>,
    /// Shell command that prints a number which changes with every write to the server's store.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) writes: Option<String>,
    /// Key of `params._meta` that carries an idempotency key.
    #[arg(long, value_name = "NAME")]
    pub(crate) key_meta: Option<String>,
    /// Shell command that drives the reference client and prints its findings; see tests/pack/README.md.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) reference_client: Option<String>,
    /// Shell command of a gateway on its standard input and output, in front of the server that `MCP_PACK_UPSTREAM` starts.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) gateway: Option<String>,
    /// The same over HTTP: prints its URL once it serves, and ends with its input.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) gateway_http: Option<String>,
    /// Checks nothing and is the server behind a gateway, on standard input and output, with these tools beside sound ones.
    #[arg(long, value_name = "FAULT")]
    pub(crate) upstream: Option<Fault>,
    /// Tasks of the poll storm.
    #[arg(long, default_value_t = 1000)]
    pub(crate) storm: usize,
    /// Cancellations that race with the end of their task.
    #[arg(long, default_value_t = 100)]
    pub(crate) races: usize,
    /// Rounds of `kill -9`.
    #[arg(long, default_value_t = 10)]
    pub(crate) kills: usize,
    /// Seconds of work that outlive one leg of a continued call.
    #[arg(long, default_value_t = 3.0)]
    pub(crate) beyond_leg: f64,
    /// Seconds of work that outlive every leg of a continued call, so that the last one names the job.
    #[arg(long)]
    pub(crate) beyond_legs: Option<f64>,
    /// Seconds after which the state of a continued call is too old.
    #[arg(long)]
    pub(crate) state_lifetime: Option<f64>,
    /// Member of `params._meta`, as `name=value`, by which a call makes the server die between the commit of its task and
    /// the answer.
    #[arg(long, value_name = "MEMBER")]
    pub(crate) crash_meta: Option<String>,
    /// The server has no `slow_compute`: the tool `run` with `sleep` stands for it.
    #[arg(long)]
    pub(crate) commands: bool,
    /// A check that could not be run is a failure too.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Seconds until silence counts as a failure.
    #[arg(long, default_value_t = 30)]
    pub(crate) timeout: u64,
}

impl Options {
    /// How long silence may last.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Whether the check with this id is asked for.
    pub(crate) fn wants(&self, id: &str) -> bool {
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| id.starts_with(prefix.as_str()));
        (self.scenarios.is_empty() || begins(&self.scenarios)) && !begins(&self.except)
    }

    pub(crate) fn owner(&self) -> Result<Vec<(String, String)>> {
        self.headers.iter().map(|line| header(line)).collect()
    }

    pub(crate) fn second_owner(&self) -> Result<Vec<(String, String)>> {
        self.second_headers.iter().map(|line| header(line)).collect()
    }

    /// Where the server under test is found over this transport: its URL or command.
    pub(crate) fn server(&self, transport: Transport) -> Option<&str> {
        match transport {
            Transport::Http => self.url.as_deref(),
            Transport::Stdio => self.command.as_deref(),
        }
    }

    /// What starts the gateway under test over this transport.
    pub(crate) fn gateway(&self, transport: Transport) -> Option<&str> {
        match transport {
            Transport::Http => self.gateway_http.as_deref(),
            Transport::Stdio => self.gateway.as_deref(),
        }
    }

    /// Whether there is anything to check over this transport.
    pub(crate) fn is_given(&self, transport: Transport) -> bool {
        self.server(transport).is_some() || self.gateway(transport).is_some()
    }

    pub(crate) fn complete(&self) -> Result<()> {
        let any = [Transport::Http, Transport::Stdio].into_iter().any(|transport| self.is_given(transport));
        ensure!(self.list || any, "give --url, --command, --gateway or --gateway-http");
        Ok(())
    }
}

fn header(line: &str) -> Result<(String, String)> {
    let (name, value) = line.split_once(':').with_context(|| format!("`{line}` is no header: write `Name: value`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
