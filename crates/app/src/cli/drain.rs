//! `longshore drain`: has a node take no more jobs.

use clap::Parser;
use ureq::http::Method;

use super::{Outcome, term};
use crate::client::{Client, LEG, escape};
use crate::http::wire::{DrainBody, NodeBody};

/// Have a node take no more jobs; what it runs goes on
///
/// It stays so across restarts, until `longshore drain --off`.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Name or id of the node; this one if absent
    #[arg(default_value = "self")]
    node: String,
    /// Take jobs again
    #[arg(long)]
    off: bool,
    /// Return when it runs nothing any more
    #[arg(long, conflicts_with = "off")]
    wait: bool,
    /// Print the node as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let path = format!("/api/v1/nodes/{}", escape(&args.node));
    let body = DrainBody { draining: !args.off };
    let mut node: NodeBody = client.send(&Method::PUT, &format!("{path}/draining"), &body)?;
    while args.wait && node.running > 0 {
        node = client.get(&format!("{path}/idle?wait_s={}", LEG.as_secs()))?;
    }
    let name = term::harmless(&node.name);
    match (args.json, args.off) {
        (true, _) => term::json(&node)?,
        (false, true) => term::out(&format!("node {name} takes jobs again"))?,
        (false, false) => term::out(&format!("node {name} takes no more jobs and runs {}", node.running))?,
    }
    Ok(0)
}
