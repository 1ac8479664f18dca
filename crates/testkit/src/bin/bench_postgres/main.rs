//! The figures of many nodes over PostgreSQL, all on one server of their own. Each prints lines with its goals; the exit
//! code is 1 when one is missed. `bench/postgres` builds what they need and runs them.

mod claims;
mod database;
mod http;
mod jobs;
mod neighbour;
mod node;
mod ours;
mod peers;
mod plain;
mod rescue;
mod sizes;
mod start;
mod statistics;
mod wakeups;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use database::Databases;

/// Measures many nodes over PostgreSQL.
#[derive(Parser)]
struct Options {
    /// Figures to measure, in this order; all of them if none is named
    figures: Vec<Figure>,
    /// The program under test
    #[arg(long)]
    binary: PathBuf,
    /// Where the peers are installed
    #[arg(long)]
    peers: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Figure {
    /// Whole no-op jobs per second against a loop in SQL
    Jobs,
    /// The same against other queues over PostgreSQL
    Peers,
    /// Enqueueing with wake-ups of other nodes against without
    Wakeups,
    /// From a submission to the start of its command
    Start,
    /// Jobs of a node that died, and processes that did
    Rescue,
    /// What a claim costs behind many finished jobs
    Claims,
    /// Tables and indexes under a steady load with retention
    Sizes,
    /// Starts beside a long line of somebody else's jobs
    Neighbour,
}

fn main() -> Result<ExitCode> {
    let mut options = Options::parse();
    options.binary = options.binary.canonicalize().context("the program under test")?;
    let figures = if options.figures.is_empty() { Figure::value_variants() } else { &options.figures };
    let databases = Databases::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut met = true;
    for figure in figures {
        let measured = runtime.block_on(measure(*figure, &databases, &options));
        met &= measured.unwrap_or_else(|error| {
            say(&format!("{figure:?}: not measured: {error:#}"));
            false
        });
    }
    databases.end();
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(figure: Figure, databases: &Databases, options: &Options) -> Result<bool> {
    match figure {
        Figure::Jobs => jobs::measure(databases).await,
        Figure::Peers => peers::measure(databases, &options.peers).await,
        Figure::Wakeups => wakeups::measure(databases).await,
        Figure::Claims => claims::measure(databases).await,
        Figure::Sizes => sizes::measure(databases).await,
        Figure::Start => start::measure(databases, &options.binary),
        Figure::Rescue => rescue::measure(databases, &options.binary).await,
        Figure::Neighbour => neighbour::measure(databases, &options.binary).await,
    }
}

/// Whether a goal is met, as it is printed.
fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
