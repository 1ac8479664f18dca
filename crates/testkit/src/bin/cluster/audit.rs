//! What must be so after everything is well again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_domain::job::EventRecord;
use longshore_domain::store::Store;
use longshore_domain::{EventSeq, JobId};
use longshore_store::{PostgresOptions, PostgresStore};
use longshore_testkit::history::breaches;
use serde_json::Value;

use crate::load::Accepted;
use crate::node::Node;

/// Longest wait for the last jobs, and for what they leave behind.
const SETTLE_MAX: Duration = Duration::from_secs(120);

/// A variable that every process of this test's jobs inherits.
pub(crate) fn mark(marks: &Path) -> String {
    format!("CLUSTER_TEST={}", marks.display())
}

/// Waits until all jobs have ended, and checks each and the whole history; says what was seen.
pub(crate) fn audit(nodes: &[Node], database: &str, marks: &Path, accepted: &[Accepted]) -> Result<String> {
    let mut endings = BTreeMap::<String, usize>::new();
    let mut faults = vec![];
    for (at, job) in accepted.iter().enumerate() {
        match audit_job(&nodes[at % nodes.len()], marks, job) {
            Ok(ending) => *endings.entry(ending).or_default() += 1,
            Err(fault) => faults.push(format!("{} ({:?}): {fault:#}", job.id, job.plan)),
        }
    }
    let history = read_history(database)?;
    let retries: HashMap<JobId, usize> =
        accepted.iter().filter_map(|job| Some((job.id.parse().ok()?, job.plan.retries))).collect();
    // A job whose acknowledgement was lost is not known here; it may run again for all we know.
    let broken = breaches(&history, |job| retries.get(&job).is_none_or(|retries| *retries > 0));
    faults.extend(broken.iter().map(|breach| format!("{breach:?}: {:?}", of_job(&history, breach.job.0))));
    faults.extend(left_over(nodes, marks));
    ensure!(faults.is_empty(), "{} promises were broken:\n{}", faults.len(), faults.join("\n"));
    let endings: Vec<_> = endings.into_iter().map(|(ending, count)| format!("{count} {ending}")).collect();
    let expired = history.iter().filter(|line| line.kind.as_str() == "expired").count();
    Ok(format!("{}; {} lines of history, {expired} leases given up", endings.join(", "), history.len()))
}

fn audit_job(node: &Node, marks: &Path, Accepted { plan, id }: &Accepted) -> Result<String> {
    let seconds = SETTLE_MAX.as_secs().to_string();
    node.cli(&["wait", id, "--timeout", &seconds])?;
    let job: Value = node.json(&["show", "--json", id])?;
    ensure!(job["state"] == "finished", "it is {}", job["state"]);
    let outcome = &job["outcome"];
    let ran = std::fs::read_to_string(marks.join(&plan.key)).unwrap_or_default();
    let runs = ran.lines().count();
    ensure!(runs <= 1 + plan.retries, "it ran {runs} times");
    let mut attempts: Vec<_> = ran.lines().collect();
    attempts.dedup();
    ensure!(attempts.len() == runs, "an attempt ran twice: {attempts:?}");
    match (outcome["status"].as_str(), outcome["reason"].as_str()) {
        (Some("cancelled"), _) => {
            ensure!(plan.cancel, "it was cancelled though nobody asked");
            Ok("cancelled".into())
        }
        (_, Some("lost")) => Ok("lost".into()),
        (Some(status), _) => {
            ensure!(runs >= 1, "it never ran");
            ensure!(outcome["exit_code"] == plan.exit, "its exit code is {}", outcome["exit_code"]);
            let printed = node.read(&["logs", id])?;
            let expected = plan.bytes as usize;
            ensure!(runs > 1 || printed.len() == expected, "{} of {expected} bytes are kept", printed.len());
            Ok(status.to_owned())
        }
        _ => anyhow::bail!("it ended as {outcome}"),
    }
}

fn of_job(history: &[EventRecord], number: u64) -> Vec<String> {
    let lines = history.iter().filter(|line| line.number.0 == number);
    lines.map(|line| format!("{} {} -> {} by {:?}", line.seq, line.kind.as_str(), line.state, line.detail)).collect()
}

fn read_history(database: &str) -> Result<Vec<EventRecord>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = PostgresStore::open(PostgresOptions::new(database)).await.context("the database")?;
        let mut history = vec![];
        loop {
            let after = history.last().map_or(EventSeq(0), |line: &EventRecord| line.seq);
            let page = store.events(after, None, 5_000).await?;
            if page.is_empty() {
                store.close().await;
                return Ok(history);
            }
            history.extend(page);
        }
    })
}

/// Processes and traces that are still there after a while.
fn left_over(nodes: &[Node], marks: &Path) -> Vec<String> {
    let started = Instant::now();
    loop {
        let mut left: Vec<_> =
            nodes.iter().flat_map(|node| node.traces()).map(|name| format!("trace {name}")).collect();
        left.extend(processes(&mark(marks)).into_iter().map(|pid| format!("process {pid}")));
        if left.is_empty() || started.elapsed() > SETTLE_MAX {
            return left;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn processes(mark: &str) -> Vec<u32> {
    let is_ours = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}
