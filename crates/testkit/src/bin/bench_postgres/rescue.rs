//! How soon jobs of a dead node are free to run again, and how soon the death of a process is seen where it happens.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use longshore_domain::EventSeq;
use longshore_domain::job::EventKind;
use longshore_domain::store::Store;
use longshore_store::{PostgresOptions, PostgresStore};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::database::Databases;
use crate::http::Line;
use crate::node::{Node, submit, wait, wait_for_state};
use crate::statistics::{millis, percentile};
use crate::{say, verdict};

/// Beyond the length of a lease.
const LATE_MAX: Duration = Duration::from_secs(1);
const LEASES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
const JOBS: usize = 8;
const SEEN_MAX: Duration = Duration::from_millis(100);
const DEATHS: usize = 20;
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn measure(databases: &Databases, binary: &Path) -> Result<bool> {
    let mut met = true;
    for lease in LEASES {
        met &= nodes(databases, binary, lease).await?;
    }
    Ok(processes(databases, binary)? & met)
}

/// A node dies with all it runs.
async fn nodes(databases: &Databases, binary: &Path, lease: Duration) -> Result<bool> {
    let url = databases.make();
    let settings = format!("lease = \"{}s\"", lease.as_secs());
    let dies = Node::start(binary, &url, "dies", &settings)?;
    let lives = Node::start(binary, &url, "lives", &settings)?;
    lives.drain(true)?;
    let mut line = dies.line()?;
    let sleep = json!({ "command": ["sleep", "1000"], "cwd": "/", "retries": 1 });
    let ids = (0..JOBS).map(|_| submit(&mut line, &sleep)).collect::<Result<Vec<_>>>()?;
    ids.iter().try_for_each(|id| wait_for_state(&mut line, id, "running").map(drop))?;
    lives.drain(false)?;
    // Just after a renewal, which is the worst time: leases are renewed at a third of their length.
    tokio::time::sleep(lease * 7 / 10).await;
    let died_at = Timestamp::now();
    dies.die();
    let freed = freed(&url, died_at, 2 * lease).await?;
    // The second attempt begins after the back-off.
    let mut line = lives.line()?;
    ids.iter().try_for_each(|id| wait_for_state(&mut line, id, "running").map(drop))?;
    drop((dies, lives));
    databases.remove(&url);
    let last = freed.into_iter().max().context("a job")?;
    let met = last <= lease + LATE_MAX;
    say(&format!(
        "rescue: all {JOBS} jobs of a dead node free to run again after {:.2} s, and run; goal: a lease of {} s and {} s: {}",
        last.as_secs_f64(),
        lease.as_secs(),
        LATE_MAX.as_secs(),
        verdict(met)
    ));
    Ok(met)
}

/// When each job was given up, as the history has it.
async fn freed(url: &str, died_at: Timestamp, patience: Duration) -> Result<Vec<Duration>> {
    let store = PostgresStore::open(PostgresOptions::new(url)).await?;
    let begin = Instant::now();
    loop {
        let history = store.events(EventSeq(0), None, 1000).await?;
        let given_up = history.iter().filter(|line| line.kind == EventKind::Expired);
        let freed: Vec<_> = given_up.map(|line| since(died_at, line.at.as_millis())).collect();
        if freed.len() == JOBS {
            store.close().await;
            return Ok(freed);
        }
        anyhow::ensure!(begin.elapsed() < patience, "{} of {JOBS} jobs were given up", freed.len());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn since(died_at: Timestamp, at: i64) -> Duration {
    Duration::from_millis(u64::try_from(at - died_at.as_millisecond()).unwrap_or_default())
}

/// Commands and shims die, of which their daemon must hear at once.
fn processes(databases: &Databases, binary: &Path) -> Result<bool> {
    let url = databases.make();
    let node = Node::start(binary, &url, "only", "")?;
    let mut line = node.line()?;
    let mut met = true;
    for (what, of_command) in [("command", true), ("shim", false)] {
        let mut seen = (0..DEATHS).map(|_| death(&mut line, of_command)).collect::<Result<Vec<_>>>()?;
        let (middle, last) = (percentile(&mut seen, 0.5), percentile(&mut seen, 1.0));
        met &= last < SEEN_MAX;
        say(&format!(
            "rescue: a killed {what} is on record and told after {:.1} ms (p50), {:.1} ms (the longest of {DEATHS}); goal: \
             {} ms: {}",
            millis(middle),
            millis(last),
            millis(SEEN_MAX),
            verdict(last < SEEN_MAX)
        ));
    }
    drop(node);
    databases.remove(&url);
    Ok(met)
}

/// How long after its process was killed a job is told as ended.
fn death(line: &mut Line, of_command: bool) -> Result<Duration> {
    let id = submit(line, &json!({ "command": ["sleep", "1000"], "cwd": "/" }))?;
    wait_for_state(line, &id, "running")?;
    let command = command_of(&id).context("the command of the job")?;
    let pid = if of_command { command } else { parent(command).context("the shim of the job")? };
    let begin = Instant::now();
    kill_process(pid, Signal::KILL)?;
    let ended = wait(line, &id)?;
    let took = begin.elapsed();
    let reason = if of_command { "signal" } else { "lost" };
    anyhow::ensure!(ended["outcome"]["reason"] == reason, "it ended otherwise: {}", ended["outcome"]);
    Ok(took)
}

/// The process that has the job's id in its environment.
fn command_of(id: &str) -> Option<Pid> {
    let mark = format!("LONGSHORE_JOB={id}");
    let pids = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    pids.into_iter().find(is_it).and_then(Pid::from_raw)
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Pid::from_raw(stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?)
}
