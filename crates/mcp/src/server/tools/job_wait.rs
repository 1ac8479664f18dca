//! `job_wait`: until jobs have ended, for a bounded time.

use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_domain::job::{StateName, StopReason};
use longshore_domain::{Fault, Job, JobId, Scope, Timestamp};
use longshore_engine::ops::{WAIT_JOBS_MAX, WaitFor, Waited};
use serde::Serialize;

use super::answer::Answer;
use super::{Hints, Tool, Work, next};
use crate::server::call::Call;
use crate::server::hold::hold;
use crate::server::status::{OutcomeBrief, line, seconds};
use crate::wire::Arguments;

/// How long is waited when nothing is said.
const WAIT: Duration = Duration::from_secs(25);
/// Longest wait that can be asked for; the client's budget cuts it further.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

pub(super) const TOOL: Tool = Tool {
    name: "job_wait",
    title: "Wait for jobs to end",
    description: "Wait until jobs have ended (all, or any one), at most wait_s. Running out of time is a normal \
        answer and stops nothing: do other work, then call again with the new cursor. Output: job_read.",
    scope: Scope::JobsRead,
    hints: Hints::READS,
    schema: r#"{"type":"object","properties":{
"jobs":{"type":"array","items":{"type":"string"},"minItems":1,"maxItems":100},
"any":{"type":"boolean","description":"return as soon as one has ended"},
"wait_s":{"type":"number","default":25},
"cursor":{"type":"string","description":"from the last answer"}},
"required":["jobs"],"additionalProperties":false}"#,
    arguments: &["jobs", "any", "wait_s", "cursor"],
    work: Work::Quick(call),
};

#[derive(Serialize)]
struct WaitStatus {
    timed_out: bool,
    jobs: Vec<JobLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    next: String,
}

#[derive(Serialize)]
struct JobLine {
    job: JobId,
    state: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_s: Option<f64>,
}

impl JobLine {
    fn new(job: &Job, now: Timestamp) -> Self {
        Self {
            job: job.id,
            state: job.state.name(),
            stop_reason: job.state.stop_reason().map(StopReason::as_str),
            outcome: job.outcome().map(OutcomeBrief::from),
            elapsed_s: job.elapsed(now).map(seconds),
        }
    }
}

fn call(call: &Call, arguments: Arguments) -> BoxFuture<'_, Result<Answer, Fault>> {
    Box::pin(wait(call, arguments))
}

async fn wait(call: &Call, arguments: Arguments) -> Result<Answer, Fault> {
    let names = arguments.texts("jobs")?;
    if !(1..=WAIT_JOBS_MAX).contains(&names.len()) {
        return Err(Fault::invalid("jobs", format!("expected 1 to {WAIT_JOBS_MAX} job ids, found {}", names.len()))
            .next("job_list {} shows your jobs"));
    }
    // Only there to make two polls differ; its contents mean nothing.
    arguments.text("cursor")?;
    let wait_for = if arguments.flag("any")? { WaitFor::Any } else { WaitFor::All };
    let patience = arguments.seconds("wait_s", WAIT_MAX)?.unwrap_or(WAIT).min(call.budget());
    let waited = hold(call, &names, wait_for, patience).await?;
    answer(call, &waited).await
}

async fn answer(call: &Call, waited: &Waited) -> Result<Answer, Fault> {
    waited.jobs.iter().for_each(|job| call.tells(job));
    let now = call.engine().clock().now();
    let unfinished: Vec<&Job> = waited.jobs.iter().filter(|job| !job.is_finished()).collect();
    let cursor = (!unfinished.is_empty()).then(|| next::fresh_cursor(call));
    let next = match &cursor {
        Some(cursor) if waited.timed_out => poll(call, &unfinished, cursor).await?,
        Some(cursor) => format!("{}; {}", read_worst(&waited.jobs), poll(call, &unfinished, cursor).await?),
        None => read_worst(&waited.jobs),
    };
    let lines: Vec<String> = waited.jobs.iter().map(|job| format!("{} {}", job.id, line(job, now))).collect();
    let head = if waited.timed_out { "Not ended yet; the jobs go on.\n" } else { "" };
    let text = format!("{head}{}\nnext: {next}", lines.join("\n"));
    let jobs = waited.jobs.iter().map(|job| JobLine::new(job, now)).collect();
    Answer::new(&WaitStatus { timed_out: waited.timed_out, jobs, cursor, next }, text)
}

/// Wait again for those that are left, when the first of them is worth another look.
async fn poll(call: &Call, unfinished: &[&Job], cursor: &str) -> Result<String, Fault> {
    let mut soonest = longshore_domain::poll::HINT_MAX;
    for job in unfinished {
        soonest = soonest.min(call.engine().view((*job).clone()).await?.poll_after);
    }
    let ids: Vec<JobId> = unfinished.iter().map(|job| job.id).collect();
    Ok(next::wait(call, &ids, cursor, soonest))
}

/// Read the output of the first that failed, else of the first that ended.
fn read_worst(jobs: &[Job]) -> String {
    let ended = || jobs.iter().filter(|job| job.is_finished());
    let failed = ended().find(|job| job.outcome().is_some_and(|outcome| !outcome.is_success()));
    failed.or_else(|| ended().next()).map_or_else(|| next::NOTHING.into(), |job| next::read(job.id))
}
