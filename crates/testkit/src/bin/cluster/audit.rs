//! What must be so after everything is well again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_domain::job::{FailReason, Outcome, OutcomeStatus};
use longshore_domain::{Job, JobId};
use longshore_testkit::history::breaches;
use serde_json::Value;

use crate::http::Lines;
use crate::load::{Accepted, MARK};
use crate::node::Node;
use crate::orders;
use crate::plan::Plan;
use crate::record::Record;
use crate::ticks;
use crate::watch::Seen;

/// Longest wait for what jobs leave behind.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Of so many jobs one is looked at through the command line too.
const COMMANDS_EVERY: usize = 250;
/// Threads that look at jobs.
const AUDITORS: usize = 4;
/// A connection may have been shut by the node since it was last used.
const ASKED_MAX: usize = 3;

/// What was found.
#[derive(Default)]
pub(crate) struct Findings {
    /// How the accepted jobs ended, and how many each way.
    pub(crate) endings: BTreeMap<String, usize>,
    /// Ways in which the history or an outcome is not as the rules of leases allow.
    pub(crate) breaches: Vec<String>,
    /// Everything else that was promised and is not so.
    pub(crate) faults: Vec<String>,
}

/// All that the auditor goes by.
pub(crate) struct Audit<'a> {
    pub(crate) nodes: &'a [Node],
    pub(crate) marks: &'a Path,
    pub(crate) accepted: &'a [Accepted],
    pub(crate) record: &'a Record,
    pub(crate) seen: &'a Seen,
}

impl Audit<'_> {
    pub(crate) fn run(&self) -> Result<Findings> {
        let mut findings = Findings::default();
        for part in self.parts()? {
            part.endings.into_iter().for_each(|(ending, count)| *findings.endings.entry(ending).or_default() += count);
            findings.faults.extend(part.faults);
        }
        let plans: HashMap<_, _> =
            self.accepted.iter().filter_map(|job| Some((job.id.parse().ok()?, &job.plan))).collect();
        let ticks: HashSet<_> = self.record.ticks.iter().map(|(id, _)| *id).collect();
        let unasked = self.record.jobs.keys().filter(|id| !plans.contains_key(*id) && !ticks.contains(*id));
        findings.faults.extend(unasked.map(|id| format!("{id} is a job that nobody was answered about")));
        findings.faults.extend(ticks::broken(self.record));
        findings.faults.extend(orders::broken(self.record, &plans));
        findings.faults.extend(left_over(self.nodes, self.marks));
        findings.breaches = self.breaches(&plans);
        Ok(findings)
    }

    /// What is found of single jobs, by several who look at the same time.
    fn parts(&self) -> Result<Vec<Findings>> {
        let share = self.accepted.len().div_ceil(AUDITORS).max(1);
        std::thread::scope(|scope| {
            let auditors = self.accepted.chunks(share).map(|part| scope.spawn(move || self.part(part)));
            let auditors: Vec<_> = auditors.collect();
            let found = auditors.into_iter().map(|auditor| auditor.join());
            found.map(|found| found.map_err(|_| anyhow::anyhow!("an auditor panicked"))?).collect()
        })
    }

    fn part(&self, accepted: &[Accepted]) -> Result<Findings> {
        let mut findings = Findings::default();
        let mut lines = Lines::to(self.nodes)?;
        for (at, job) in accepted.iter().enumerate() {
            match self.job(&mut lines, at, job) {
                Ok(ending) => *findings.endings.entry(ending).or_default() += 1,
                Err(fault) => findings.faults.push(format!("{} ({:?}): {fault:#}", job.id, job.plan)),
            }
        }
        Ok(findings)
    }

    fn breaches(&self, plans: &HashMap<JobId, &Plan>) -> Vec<String> {
        let may_run_again = |job| plans.get(&job).is_none_or(|plan| plan.retries > 0);
        let broken = breaches(&self.record.history, may_run_again);
        let told = broken.iter().map(|breach| format!("{breach:?}: {:#?}", self.record.story(breach.job)));
        let changed = self.record.jobs.values().filter(|job| {
            let first = self.seen.get(&job.id);
            first.is_some_and(|first| first.as_ref() != job.outcome())
        });
        told.chain(changed.map(|job| format!("{} had another outcome before: {:?}", job.id, self.seen[&job.id])))
            .collect()
    }

    /// How it ended.
    fn job(&self, lines: &mut Lines<'_>, at: usize, Accepted { plan, id }: &Accepted) -> Result<String> {
        let job = self.record.jobs.get(&id.parse::<JobId>()?).context("it is not on record")?;
        let outcome = job.outcome().with_context(|| format!("it is {}", job.state.name()))?;
        let runs = self.runs(plan)?;
        if at.is_multiple_of(COMMANDS_EVERY) {
            self.through_the_command_line(at, job, outcome)?;
        }
        match (outcome.status, outcome.reason) {
            (OutcomeStatus::Cancelled, _) => {
                ensure!(plan.cancel, "it was cancelled though nobody asked");
                Ok("cancelled".into())
            }
            (_, Some(FailReason::Lost)) => Ok("lost".into()),
            (_, Some(FailReason::Blocked)) => {
                ensure!(plan.after.is_some() && runs == 0, "it is blocked, and ran {runs} times");
                Ok("blocked".into())
            }
            (status, reason) => {
                ensure!(runs >= 1, "it never ran");
                let report = outcome.report.as_ref().context("there is no report")?;
                ensure!(report.exit_code == Some(plan.exit), "its exit code is {:?}", report.exit_code);
                let expected = match plan.exit {
                    0 => (OutcomeStatus::Succeeded, None),
                    _ => (OutcomeStatus::Failed, Some(FailReason::Exit)),
                };
                ensure!((status, reason) == expected, "it ended as {outcome:?}");
                let failed_often_enough = plan.exit == 0 || plan.cancel || job.failures == plan.retries + 1;
                ensure!(failed_often_enough, "only {} attempts failed", job.failures);
                let kept = self.output(lines, at, job.id)?;
                let printed = plan.output();
                ensure!(report.output.bytes == printed.len() as u64, "{} bytes were seen", report.output.bytes);
                ensure!(kept == printed, "{} of {} bytes are kept, or others", kept.len(), printed.len());
                Ok(status.as_str().to_owned())
            }
        }
    }

    /// How often it ran, by what its attempts themselves noted.
    fn runs(&self, plan: &Plan) -> Result<usize> {
        let ran = std::fs::read_to_string(self.marks.join(&plan.key)).unwrap_or_default();
        let mut attempts: Vec<_> = ran.lines().collect();
        let runs = attempts.len();
        ensure!(runs <= 1 + plan.retries as usize, "it ran {runs} times");
        attempts.sort_unstable();
        attempts.dedup();
        ensure!(attempts.len() == runs, "an attempt ran twice: {ran:?}");
        Ok(runs)
    }

    /// What is kept of what it printed, through any node.
    fn output(&self, lines: &mut Lines<'_>, at: usize, id: JobId) -> Result<Vec<u8>> {
        let path = format!("/api/v1/jobs/{id}/output");
        let answer = (0..ASKED_MAX).find_map(|_| lines.ask(at % self.nodes.len(), &path, None));
        let answer = answer.context("its output is not answered")?;
        ensure!(answer.status.is_success(), "its output: {}", String::from_utf8_lossy(&answer.body));
        Ok(answer.body.into())
    }

    /// What people see is what is on record.
    fn through_the_command_line(&self, at: usize, job: &Job, outcome: &Outcome) -> Result<()> {
        let (node, id) = (&self.nodes[at % self.nodes.len()], job.id.to_string());
        node.cli(&["wait", &id])?.context("`wait` does not end")?;
        let shown: Value = node.json(&["show", "--json", &id])?;
        let status = &shown["outcome"]["status"];
        ensure!(shown["state"] == "finished" && status == outcome.status.as_str(), "it is shown as {shown}");
        let logs = node.read(&["logs", &id])?;
        // What a lost attempt printed is kept as well, and nobody counted it.
        if let Some(report) = &outcome.report {
            let bytes = report.output.bytes;
            ensure!(logs.len() as u64 == bytes, "`logs` has {} bytes of {bytes}", logs.len());
        }
        Ok(())
    }
}

/// Processes and traces that are still there after a while.
fn left_over(nodes: &[Node], marks: &Path) -> Vec<String> {
    let mark = format!("{MARK}={}", marks.display());
    let started = Instant::now();
    loop {
        let mut left: Vec<_> =
            nodes.iter().flat_map(|node| node.traces()).map(|name| format!("trace {name} is left")).collect();
        left.extend(processes(&mark).into_iter().map(|pid| format!("process {pid} is left")));
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
