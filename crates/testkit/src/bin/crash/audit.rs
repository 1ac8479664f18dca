//! What must be so once every accepted job has ended.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_testkit::working_in;
use serde_json::Value;

use crate::Accepted;
use crate::plan::Plan;
use crate::processes::{Process, marked};
use crate::world::World;

/// Longest time that a spawner or shim may outlive the daemon when no job runs: far more than a shim takes that waits
/// for the daemon to store an end, and then puts it on record.
const GO_MAX: Duration = Duration::from_secs(10);
/// Characters that are shown of output that is not what it should be.
const EXCERPT: usize = 40;

/// How many jobs ended in which way. Brings the daemon down.
pub(crate) fn audit(world: &World, accepted: &[Accepted]) -> Result<String> {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut faults = vec![];
    for job in accepted {
        match audit_job(world, job) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(fault) => faults.push(format!("{} ({:?}): {fault:#}", job.id, job.plan)),
        }
    }
    for left in [left_of_jobs, left_of_the_daemon] as [fn(&World) -> Result<Vec<String>>; 2] {
        faults.extend(left(world).unwrap_or_else(|fault| vec![format!("{fault:#}")]));
    }
    ensure!(faults.is_empty(), "{} promises were broken:\n{}", faults.len(), faults.join("\n"));
    let parts: Vec<String> = outcomes.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    Ok(parts.join(", "))
}

/// Processes that jobs started, and traces of attempts, that are still there although all jobs have ended.
fn left_of_jobs(world: &World) -> Result<Vec<String>> {
    let processes = marked(&world.mark());
    let names = std::fs::read_dir(world.run_dir())?.flatten().map(|entry| entry.file_name());
    let traces = names.map(|name| name.to_string_lossy().into_owned());
    let traces = traces.filter(|name| name.starts_with(|first: char| first.is_ascii_digit()));
    let processes = processes.into_iter().map(|process| format!("{process} of a job is left over"));
    Ok(processes.chain(traces.map(|name| format!("trace {name} of an attempt is left over"))).collect())
}

/// Brings the daemon down; gives its spawner and those shims that do not go as well.
fn left_of_the_daemon(world: &World) -> Result<Vec<String>> {
    let run_dir = world.run_dir();
    // Should they be somewhere else one day, then seeing none there later would mean nothing.
    let seen = working_in(&run_dir, Duration::ZERO)?;
    ensure!(!seen.is_empty(), "the daemon runs, and neither a spawner nor a shim is seen");
    world.down()?;
    let left = working_in(&run_dir, GO_MAX)?;
    let processes = left.into_iter().filter_map(|pid| Some(Process::of(pid.try_into().ok()?)));
    Ok(processes.map(|process| format!("{process} has outlived the daemon and all jobs")).collect())
}

fn audit_job(world: &World, Accepted { plan, id }: &Accepted) -> Result<String> {
    let waited = world.cli(&["wait", id, "--timeout", "120"])?.status.code();
    let job = world.json(&["show", "--json", id])?;
    ensure!(job["state"] == "finished", "it is {}", job["state"]);
    let outcome = &job["outcome"];
    let runs = std::fs::read_to_string(world.marks.join(&plan.key)).unwrap_or_default().lines().count();
    let shims_killed = world.tally.shims_killed.load(Ordering::SeqCst) > 0;
    let cancelled = outcome["status"] == "cancelled";
    let lost = outcome["reason"] == "lost" && shims_killed;
    if cancelled || lost {
        ensure!(lost || plan.cancel, "it was cancelled though nobody asked");
        ensure!(runs <= 1 + plan.retries as usize, "it ran {runs} times");
        audit_output(world, &job, plan, Kept::Beginning)?;
        return Ok(if cancelled { "cancelled" } else { "lost" }.into());
    }
    let retried = plan.exit != 0 && plan.retries > 0;
    let expected = if retried { 1 + plan.retries as usize } else { 1 };
    // An attempt whose shim was killed is repeated where that is allowed.
    let repeated = shims_killed && (expected..=1 + plan.retries as usize).contains(&runs);
    let expected_or_less = plan.cancel && runs <= expected;
    ensure!(runs == expected || expected_or_less || repeated, "it ran {runs} times instead of {expected}");
    ensure!(outcome["exit_code"] == plan.exit, "its exit code is {}", outcome["exit_code"]);
    ensure!(waited == Some(plan.exit), "wait ended with {waited:?}");
    audit_output(world, &job, plan, Kept::All)?;
    Ok(outcome["status"].as_str().unwrap_or("?").to_owned())
}

/// How much there must be of what an attempt prints that comes to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// Some of it, perhaps nothing: the attempt was stopped, or its shim was.
    Beginning,
}

/// Compares what is kept of the last attempt with what it prints, byte by byte.
fn audit_output(world: &World, job: &Value, plan: &Plan, kept: Kept) -> Result<()> {
    let attempt = job["attempt"].as_u64().context("the number of its last attempt")?;
    let expected = plan.output(attempt).into_bytes();
    let found = world.read(&["logs", job["id"].as_str().context("its id")?])?;
    let printed = expected.len();
    ensure!(expected.starts_with(&found), "of {printed} bytes of output {}", difference(&found, &expected));
    ensure!(
        kept == Kept::Beginning || found.len() == printed,
        "{} of {printed} bytes of output were kept",
        found.len()
    );
    Ok(())
}

/// Where output begins to be other than expected, and what is there.
fn difference(found: &[u8], expected: &[u8]) -> String {
    let alike = found.iter().zip(expected).take_while(|(found, expected)| found == expected).count();
    let other: String = String::from_utf8_lossy(&found[alike..]).chars().take(EXCERPT).collect();
    format!("{alike} were kept, and then comes {other:?}")
}
