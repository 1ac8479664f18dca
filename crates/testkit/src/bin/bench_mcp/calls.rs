//! What a quick tool call costs: `echo` through the whole daemon (token, limits, Host and Origin, both eras of the
//! protocol) against `echo` of a server written with rmcp that does nothing else. Both get the same bytes, but for the
//! address, in turns of one run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::client::{Ask, Connection, Era};
use crate::daemon::{Daemon, cpu};
use crate::{say, verdict};

const CLIENTS: [usize; 3] = [1, 8, 64];
const TEXT: &str = "The quick brown fox jumps over the lazy dog.";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program under test, built with the feature `fixture`.
    #[arg(long)]
    binary: PathBuf,
    /// The server written with rmcp.
    #[arg(long)]
    rmcp: PathBuf,
    /// Turns of each side; the median counts.
    #[arg(long, default_value_t = 9)]
    turns: usize,
    /// Seconds of one turn.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

pub(crate) async fn measure(options: Options) -> Result<bool> {
    let daemon = Daemon::start(&options.binary)?;
    let rmcp = Rmcp::start(&options.rmcp)?;
    let side = |address, pid| Side { address, token: &daemon.token, pid };
    let sides = [side(&*daemon.address, daemon.pid), side(&*rmcp.address, rmcp.child.id())];
    let mut all_met = true;
    for era in [Era::Legacy, Era::Modern] {
        let ask = Ask::tool(era, "echo", &json!({ "text": TEXT }));
        for side in sides {
            check(&mut Connection::open(side.address, side.token).await?, &ask).await?;
        }
        for clients in CLIENTS {
            all_met &= compare(&options, &sides, era, clients).await?;
        }
    }
    Ok(all_met)
}

/// Both must answer the same.
async fn check(connection: &mut Connection, ask: &Ask) -> Result<()> {
    let answer: Value = serde_json::from_str(connection.ask(ask, TEXT).await?)?;
    anyhow::ensure!(answer["result"]["structuredContent"] == json!({ "text": TEXT }), "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().context("a text")?;
    anyhow::ensure!(serde_json::from_str::<Value>(text)? == json!({ "text": TEXT }), "{answer}");
    Ok(())
}

/// A server.
#[derive(Clone, Copy)]
struct Side<'a> {
    address: &'a str,
    token: &'a str,
    pid: u32,
}

/// One turn of one side.
#[derive(Clone, Copy)]
struct Turn {
    p50: f64,
    rate: f64,
    /// Microseconds of processor time that the server took for one call. No goal: it says why.
    cpu: f64,
}

async fn compare(options: &Options, sides: &[Side<'_>; 2], era: Era, clients: usize) -> Result<bool> {
    let length = Duration::from_secs_f64(options.seconds);
    let mut turns = [vec![], vec![]];
    for side in sides {
        turn(*side, era, clients, length / 3).await?;
    }
    for round in 0..options.turns {
        // Whoever comes first in one round comes last in the next.
        for side in [round % 2, 1 - round % 2] {
            turns[side].push(turn(sides[side], era, clients, length).await?);
        }
    }
    let of = |side: usize, part: fn(&Turn) -> f64| median(turns[side].iter().map(part).collect());
    let ratio = |part: fn(&Turn) -> f64| {
        median(turns[0].iter().zip(&turns[1]).map(|(ours, theirs)| part(ours) / part(theirs)).collect())
    };
    let (p50, rate) = (ratio(|turn| turn.p50), ratio(|turn| turn.rate));
    let met = p50 <= 1.0 && rate >= 1.0;
    say(&format!(
        "calls, {}, {clients} clients: ours p50 {:.0} us, {:.0}/s, {:.1} us of processor each; rmcp p50 {:.0} us, {:.0}/s, \
         {:.1} us; p50 ratio {p50:.2}, rate ratio {rate:.2}; goal: p50 ratio <= 1, rate ratio >= 1: {}",
        era.version(),
        of(0, |turn| turn.p50),
        of(0, |turn| turn.rate),
        of(0, |turn| turn.cpu),
        of(1, |turn| turn.p50),
        of(1, |turn| turn.rate),
        of(1, |turn| turn.cpu),
        verdict(met)
    ));
    Ok(met)
}

async fn turn(side: Side<'_>, era: Era, clients: usize, length: Duration) -> Result<Turn> {
    let mut connections = vec![];
    for _ in 0..clients {
        connections.push(Connection::open(side.address, side.token).await?);
    }
    let used = cpu(side.pid)?;
    let start = Instant::now();
    let callers = connections.into_iter().map(|mut connection| {
        tokio::task::spawn_local(async move {
            let ask = Ask::tool(era, "echo", &json!({ "text": TEXT }));
            let mut waits = vec![];
            while start.elapsed() < length {
                let begun = Instant::now();
                connection.ask(&ask, TEXT).await?;
                waits.push(begun.elapsed());
            }
            anyhow::Ok(waits)
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut waits = vec![];
    for caller in callers {
        waits.extend(caller.await??);
    }
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    let cpu = (cpu(side.pid)? - used).as_secs_f64() * 1e6 / waits.len() as f64;
    Ok(Turn { cpu, p50: median(waits.iter().map(|wait| wait.as_secs_f64() * 1e6).collect()), rate })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The other server; its end of input ends it.
struct Rmcp {
    child: Child,
    address: String,
}

impl Rmcp {
    fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/mcp"));
        Ok(Self { address: address.with_context(|| format!("an address in {line}"))?.to_owned(), child })
    }
}

impl Drop for Rmcp {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
