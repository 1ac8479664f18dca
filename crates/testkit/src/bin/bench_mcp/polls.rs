//! What clients cost that poll: many waiting tasks, each read once a second over connections that stay open. Reading
//! must write nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::client::{Ask, Connection, Era};
use crate::daemon::Daemon;
use crate::{say, verdict};

/// Most of one core.
const CPU_MAX: f64 = 0.10;
const PERIOD: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// Tasks that wait.
    #[arg(long, default_value_t = 1000)]
    tasks: usize,
    /// Connections that share them.
    #[arg(long, default_value_t = 20)]
    connections: usize,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

pub(crate) async fn measure(options: Options) -> Result<bool> {
    let daemon = Daemon::start(&options.binary)?;
    let mut pollers = vec![];
    for number in 0..options.connections {
        let mut connection = Connection::to(&daemon).await?;
        let mut asks = vec![];
        for _ in (number..options.tasks).step_by(options.connections) {
            let task = connection.submit().await?;
            asks.push(Ask::new(Era::Modern, "tasks/get", &task, json!({ "taskId": task })));
        }
        pollers.push((connection, asks));
    }
    let (cpu, store, written) = (daemon.cpu()?, daemon.store()?, daemon.written()?);
    let start = Instant::now();
    let mut polling = vec![];
    for (number, (mut connection, asks)) in pollers.into_iter().enumerate() {
        let offset = PERIOD / options.tasks as u32 * number as u32;
        polling.push(tokio::task::spawn_local(async move {
            poll(&mut connection, &asks, start + offset, options.seconds).await
        }));
    }
    let mut polls = 0;
    for poller in polling {
        polls += poller.await??;
    }
    let length = start.elapsed();
    let share = (daemon.cpu()? - cpu).as_secs_f64() / length.as_secs_f64();
    let each = (daemon.cpu()? - cpu).as_secs_f64() * 1e6 / polls as f64;
    let still = daemon.store()? == store && daemon.written()? == written;
    say(&format!(
        "polls: {} tasks over {} connections, {:.0} polls/s for {:.1} s: {:.1} % of one core ({each:.0} us each); goal: < \
         {:.0} %: {}",
        options.tasks,
        options.connections,
        polls as f64 / length.as_secs_f64(),
        length.as_secs_f64(),
        share * 100.0,
        CPU_MAX * 100.0,
        verdict(share < CPU_MAX)
    ));
    let seen = if still { "nothing" } else { "something" };
    say(&format!("polls: {seen} was written to the store or the disk; goal: nothing: {}", verdict(still)));
    Ok(share < CPU_MAX && still)
}

/// Reads each task once in each period, evenly; returns how often a task was read.
async fn poll(connection: &mut Connection, asks: &[Ask], start: Instant, periods: u32) -> Result<usize> {
    let step = PERIOD / asks.len() as u32;
    for period in 0..periods {
        for (number, ask) in asks.iter().enumerate() {
            tokio::time::sleep_until((start + PERIOD * period + step * number as u32).into()).await;
            connection.ask(ask, r#""status":"working""#).await?;
        }
    }
    Ok(asks.len() * periods as usize)
}
