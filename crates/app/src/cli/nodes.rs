//! `longshore nodes`: which nodes share the store.

use clap::Parser;
use longshore_domain::Timestamp;
use longshore_domain::time::format_length;
use longshore_engine::Clock;

use super::{Outcome, term};
use crate::client::Client;
use crate::http::wire::{NodeBody, NodesBody};

/// List the nodes that share the store
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Print each node as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let now = Clock::system().now();
    let nodes: NodesBody = client.get("/api/v1/nodes")?;
    if !args.json {
        term::out(&row("NAME", "STATE", "RUNNING", "SEEN", "VERSION", "LABELS"))?;
    }
    for node in &nodes.nodes {
        match args.json {
            true => term::json(node)?,
            false => term::out(&line(node, now))?,
        }
    }
    Ok(0)
}

fn row(name: &str, state: &str, running: &str, seen: &str, version: &str, labels: &str) -> String {
    format!("{name:<20}  {state:<8}  {running:>9}  {seen:>10}  {version:<10}  {labels}").trim_end().to_owned()
}

fn line(node: &NodeBody, now: Timestamp) -> String {
    let state = match (node.alive, node.draining) {
        (false, _) => "gone",
        (true, true) => "draining",
        (true, false) => "ready",
    };
    let seen = node.seen_at.parse::<Timestamp>().map(|at| now.since(at)).unwrap_or_default();
    let running = format!("{} of {}", node.running, node.capacity);
    let seen = format!("{} ago", format_length(seen));
    let name = term::harmless(&node.name);
    row(&name, state, &running, &seen, &node.version, &node.labels.join(" "))
}
