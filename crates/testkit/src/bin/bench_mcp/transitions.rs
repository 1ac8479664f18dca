//! Durable transitions per second: each call is one `run` that is accepted into a paused queue, or one `job_cancel`.
//! Compared with what the disk allows the same number of callers in the same run.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::client::{Ask, Connection, Era};
use crate::daemon::Daemon;
use crate::{say, verdict};

/// Least share of what the disk allows.
const GOAL: f64 = 0.05;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// Callers, each with a connection of its own.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Seconds of one round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(crate) async fn measure(options: Options) -> Result<bool> {
    let daemon = Daemon::start(&options.binary)?;
    let mut all_met = true;
    for round in 1..=options.rounds {
        let raw = raw_rate(daemon.folder(), options.callers)?;
        let (mut waits, length) = load(&daemon, &options).await?;
        waits.sort_unstable();
        let rate = waits.len() as f64 / length.as_secs_f64();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let met = rate / raw >= GOAL;
        all_met &= met;
        say(&format!(
            "transitions, round {round}: {} callers, {rate:.0}/s, raw {raw:.0}/s, ratio {:.3}; answers p50 {:.2} ms, \
             p99 {:.2} ms, p99.9 {:.2} ms; goal: ratio >= {GOAL}: {}",
            options.callers,
            rate / raw,
            at(0.5),
            at(0.99),
            at(0.999),
            verdict(met)
        ));
    }
    Ok(all_met)
}

async fn load(daemon: &Daemon, options: &Options) -> Result<(Vec<Duration>, Duration)> {
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds);
    let mut callers = vec![];
    for _ in 0..options.callers {
        let mut connection = Connection::to(daemon).await?;
        callers.push(tokio::task::spawn_local(async move {
            let mut waits = vec![];
            while Instant::now() < end {
                let begun = Instant::now();
                let job = connection.submit().await?;
                waits.push(begun.elapsed());
                let begun = Instant::now();
                connection.tool(&Ask::tool(Era::Legacy, "job_cancel", &json!({ "job": job }))).await?;
                waits.push(begun.elapsed());
            }
            anyhow::Ok(waits)
        }));
    }
    let mut waits = vec![];
    for caller in callers {
        waits.extend(caller.await??);
    }
    Ok((waits, start.elapsed()))
}

/// `callers` times the rate of appending and syncing a record of `callers` times 300 bytes.
fn raw_rate(folder: &Path, callers: usize) -> Result<f64> {
    let mut file = File::create(folder.join("raw"))?;
    let record = vec![7u8; callers * 300];
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(1) {
        file.write_all(&record)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(callers as f64 * f64::from(count) / start.elapsed().as_secs_f64())
}
