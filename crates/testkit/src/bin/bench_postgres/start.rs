//! From a submission over HTTP to the start of its command on idle nodes: one that runs it itself, and one whose job
//! another node must hear of.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::database::Databases;
use crate::http::Line;
use crate::node::{Node, submit, wait};
use crate::statistics::{millis, percentile};
use crate::{say, verdict};

const P50_MAX: Duration = Duration::from_millis(5);
const JOBS: usize = 200;
/// Starts are recorded in whole milliseconds: each counts as late as it may have been.
const RESOLUTION: Duration = Duration::from_millis(1);

pub(crate) fn measure(databases: &Databases, binary: &Path) -> Result<bool> {
    let url = databases.make();
    let [asked, other] = ["asked", "other"].map(|name| Node::start(binary, &url, name, ""));
    let (asked, other) = (asked?, other?);
    other.drain(true)?;
    let same = judge("at the node that is asked", starts(&mut asked.line()?, "default", JOBS)?);
    other.drain(false)?;
    asked.drain(true)?;
    let elsewhere = judge("at another node", starts(&mut asked.line()?, "default", JOBS)?);
    drop((asked, other));
    databases.remove(&url);
    Ok(same & elsewhere)
}

fn judge(place: &str, mut starts: Vec<Duration>) -> bool {
    let (middle, late) = (percentile(&mut starts, 0.5), percentile(&mut starts, 0.99));
    say(&format!(
        "start: {place}: p50 {:.1} ms, p99 {:.1} ms after the submission was sent; goal: p50 {} ms: {}",
        millis(middle),
        millis(late),
        millis(P50_MAX),
        verdict(middle <= P50_MAX)
    ));
    middle <= P50_MAX
}

/// How long after its submission was sent each of so many commands began, one at a time.
pub(crate) fn starts(line: &mut Line, queue: &str, jobs: usize) -> Result<Vec<Duration>> {
    let job = json!({ "command": ["true"], "cwd": "/", "queue": queue });
    (0..jobs).map(|_| start(line, &job)).collect()
}

fn start(line: &mut Line, job: &Value) -> Result<Duration> {
    let sent_at = Timestamp::now();
    let id = submit(line, job)?;
    let ended = wait(line, &id)?;
    let began: Timestamp = ended["report"]["started_at"].as_str().context("a start")?.parse()?;
    let after = began.duration_since(sent_at);
    Ok(Duration::try_from(after).unwrap_or_default() + RESOLUTION)
}
