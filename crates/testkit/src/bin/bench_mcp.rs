//! Durable transitions per second through MCP over HTTP with keep-alive: each call is one `run` that is accepted into
//! a paused queue, or one `job_cancel`. Compared with what the disk allows the same number of callers in the same run.
//!
//! `cargo run --release -p longshore-testkit --bin bench_mcp -- --binary target/release/longshore`

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Measures durable transitions through MCP over HTTP.
#[derive(Parser)]
struct Options {
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

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("home");
    std::fs::create_dir_all(&home)?;
    std::fs::write(home.join("config.toml"), "[queues.paused]\nconcurrency = 0\n")?;
    let daemon = |args: &[&str]| {
        Command::new(&options.binary).args(args).env("LONGSHORE_HOME", &home).stdin(Stdio::null()).output()
    };
    ensure!(daemon(&["up"])?.status.success(), "the daemon did not start");
    let facts: Value = serde_json::from_slice(&daemon(&["doctor", "--json"])?.stdout).context("doctor's answer")?;
    let target = Target {
        address: facts["listen"].as_str().context("an address")?.to_owned(),
        token: std::fs::read_to_string(home.join("token"))?.trim().to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for round in 1..=options.rounds {
        let raw = raw_rate(folder.path(), options.callers)?;
        let result = runtime.block_on(load(&target, &options));
        let (count, mut waits, length) = result?;
        waits.sort_unstable();
        let rate = count as f64 / length.as_secs_f64();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        say(&format!(
            "round {round}: {} callers, {rate:.0} durable transitions/s, raw {raw:.0}/s, ratio {:.3}; answers p50 {:.2} ms, \
             p99 {:.2} ms, p99.9 {:.2} ms",
            options.callers,
            rate / raw,
            at(0.5),
            at(0.99),
            at(0.999)
        ));
    }
    daemon(&["down"])?;
    Ok(())
}

struct Target {
    address: String,
    token: String,
}

async fn load(target: &Target, options: &Options) -> Result<(usize, Vec<Duration>, Duration)> {
    let start = Instant::now();
    let end = start + Duration::from_secs(options.seconds);
    let mut connections = vec![];
    for _ in 0..options.callers {
        connections.push(Connection::open(target).await?);
    }
    let callers = connections.into_iter().map(|mut connection| async move {
        let mut waits = vec![];
        while Instant::now() < end {
            let run = json!({"command": ["true"], "cwd": "/", "queue": "paused", "background": true});
            let (answer, wait) = connection.call("run", run).await?;
            waits.push(wait);
            let job = answer["result"]["structuredContent"]["job"].as_str().context("a job")?.to_owned();
            let (_, wait) = connection.call("job_cancel", json!({"job": job})).await?;
            waits.push(wait);
        }
        anyhow::Ok(waits)
    });
    let local = tokio::task::LocalSet::new();
    let mut waits = vec![];
    local
        .run_until(async {
            let tasks: Vec<_> = callers.map(tokio::task::spawn_local).collect();
            for task in tasks {
                waits.extend(task.await??);
            }
            anyhow::Ok(())
        })
        .await?;
    Ok((waits.len(), waits, start.elapsed()))
}

struct Connection {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
    next_id: u64,
}

impl Connection {
    async fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n",
            target.address, target.token
        );
        Ok(Self { stream, head, buffer: Vec::with_capacity(8192), next_id: 1 })
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Result<(Value, Duration)> {
        let call = json!({"jsonrpc": "2.0", "id": self.next_id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}});
        self.next_id += 1;
        let body = call.to_string();
        let request = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
        let start = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let body = self.read_body().await?;
        let wait = start.elapsed();
        let answer: Value = serde_json::from_slice(&body).context("an answer in JSON")?;
        ensure!(answer["result"]["isError"] != true && answer["error"].is_null(), "{answer}");
        Ok((answer, wait))
    }

    async fn read_body(&mut self) -> Result<Vec<u8>> {
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the daemon closed the connection");
            let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .with_context(|| format!("a length in {head}"))?
                .trim()
                .parse()?;
            while self.buffer.len() < end + 4 + length {
                ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the daemon closed the connection");
            }
            return Ok(self.buffer[end + 4..end + 4 + length].to_vec());
        }
    }
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

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("mcp over http: {line}");
}
