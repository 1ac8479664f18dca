//! The figures of MCP over HTTP, against the real program. Each prints a line with its goal; the exit code is 1 when
//! one is missed. `bench/mcp` builds what they need and runs them.

mod calls;
mod client;
mod daemon;
mod polls;
mod tasks;
mod transitions;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Measures MCP over HTTP.
#[derive(Parser)]
enum Options {
    /// Durable transitions per second against what the disk allows
    Transitions(transitions::Options),
    /// A quick tool call against the same call of a server written with rmcp
    Calls(calls::Options),
    /// What polled tasks cost
    Polls(polls::Options),
    /// Memory of open tasks
    Tasks(tasks::Options),
}

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let met = runtime.block_on(local.run_until(async {
        match Options::parse() {
            Options::Transitions(options) => transitions::measure(options).await,
            Options::Calls(options) => calls::measure(options).await,
            Options::Polls(options) => polls::measure(options).await,
            Options::Tasks(options) => tasks::measure(options).await,
        }
    }))?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether a goal is met, as it is printed.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
