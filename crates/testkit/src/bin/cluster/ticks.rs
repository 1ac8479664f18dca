//! A schedule that fires each second, whatever happens to the nodes: each of its times makes one job at most.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use longshore_domain::JobId;
use longshore_domain::job::JobSpec;
use longshore_domain::schedule::SCHEDULED_AT;

use crate::load::MARK;
use crate::node::Node;
use crate::record::Record;

/// Name of the schedule, and of its jobs.
pub(crate) const NAME: &str = "tick";
/// There are more of them in any run that is worth its name.
const TICKS_MIN: usize = 5;

/// Adds the schedule.
pub(crate) fn start(node: &Node, marks: &Path) -> Result<()> {
    let mark = format!("{MARK}={}", marks.display());
    let schedule = ["schedule", "add", NAME, "--cron", "* * * * * *", "--overlap", "allow", "--env", &mark];
    node.read(&[&schedule[..], &["--", "true"]].concat()).context("a schedule").map(drop)
}

/// Removes it.
pub(crate) fn stop(node: &Node) -> Result<()> {
    node.read(&["schedule", "rm", NAME]).context("the end of the schedule").map(drop)
}

/// What is wrong about the jobs that it made.
pub(crate) fn broken(record: &Record) -> Vec<String> {
    let mut found = vec![];
    let mut made = HashMap::<&str, JobId>::new();
    for (id, spec) in &record.ticks {
        let time = match spec {
            JobSpec::Command(command) => command.env.get(SCHEDULED_AT),
            JobSpec::Fixture(_) => None,
        };
        match time {
            None => found.push(format!("{id} is a job of a schedule and has no time")),
            Some(time) => {
                found.extend(made.insert(time, *id).map(|other| format!("{id} and {other} are both for {time}")))
            }
        }
    }
    if made.len() < TICKS_MIN {
        found.push(format!("a schedule that fires each second made {} jobs", made.len()));
    }
    found
}
