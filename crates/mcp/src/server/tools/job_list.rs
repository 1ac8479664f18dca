//! `job_list`: which jobs there are.

use futures_util::future::BoxFuture;
use longshore_domain::job::{OutcomeStatus, StateName, StopReason};
use longshore_domain::{Fault, Job, JobId, JobNumber, Scope, Timestamp};
use longshore_engine::ops::{JobPage, ListQuery};
use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use super::{Hints, Tool, Work, next};
use crate::server::call::Call;
use crate::server::status::{OutcomeBrief, line, seconds, title};
use crate::wire::Arguments;

/// Jobs shown when nothing is said, and most that can be asked for.
const LIMIT: usize = 10;
const LIMIT_MAX: u64 = 50;

pub(super) const TOOL: Tool = Tool {
    name: "job_list",
    title: "List jobs",
    description: "Jobs of this conversation, newest first, one line each; all: every job of yours. Use it to find a \
        job again after a cut-off call or a restart; then job_wait or job_read.",
    scope: Scope::JobsRead,
    hints: Hints::READS,
    schema: r#"{"type":"object","properties":{
"state":{"type":"string","enum":["held","waiting","queued","claimed","running","asking","stopping","finished"]},
"outcome":{"type":"string","enum":["succeeded","failed","cancelled","skipped"]},
"text":{"type":"string","description":"part of name or command"},
"all":{"type":"boolean"},
"limit":{"type":"integer","minimum":1,"maximum":50,"default":10},
"cursor":{"type":"string"}},"additionalProperties":false}"#,
    arguments: &["state", "outcome", "text", "all", "limit", "cursor"],
    work: Work::Quick(call),
};

#[derive(Serialize)]
struct ListStatus {
    jobs: Vec<ListedJob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    next: String,
}

#[derive(Serialize)]
struct ListedJob {
    job: JobId,
    state: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_s: Option<f64>,
    title: String,
}

impl ListedJob {
    fn new(job: &Job, now: Timestamp) -> Self {
        Self {
            job: job.id,
            state: job.state.name(),
            stop_reason: job.state.stop_reason().map(StopReason::as_str),
            outcome: job.outcome().map(OutcomeBrief::from),
            elapsed_s: job.elapsed(now).map(seconds),
            title: title(job),
        }
    }
}

fn call(call: &Call, arguments: Arguments) -> BoxFuture<'_, Result<Answer, Fault>> {
    Box::pin(list(call, arguments))
}

async fn list(call: &Call, arguments: Arguments) -> Result<Answer, Fault> {
    let query = query(call, &arguments)?;
    let narrowed = query.conversation.is_some();
    let page = call.engine().list(&call.caller, query).await?;
    answer(call, &page, narrowed)
}

fn query(call: &Call, arguments: &Arguments) -> Result<ListQuery, Fault> {
    let all = arguments.flag("all")?;
    let cursor = arguments.text("cursor")?;
    let cursor = cursor.map(|cursor| cursor.parse().map(JobNumber).map_err(|_| stale())).transpose()?;
    Ok(ListQuery {
        conversation: call.caller.conversation.clone().filter(|_| !all),
        states: state(arguments)?.into_iter().collect(),
        outcome: outcome(arguments)?,
        queue: None,
        text: arguments.text("text")?.filter(|text| !text.is_empty()),
        cursor,
        limit: arguments.integer("limit", 1..=LIMIT_MAX)?.map_or(LIMIT, |limit| limit as usize),
    })
}

fn state(arguments: &Arguments) -> Result<Option<StateName>, Fault> {
    let Some(name) = arguments.text("state")? else { return Ok(None) };
    let names = StateName::ALL.map(StateName::as_str).join(", ");
    StateName::parse(&name).map(Some).ok_or_else(|| not_one_of("state", &names))
}

fn outcome(arguments: &Arguments) -> Result<Option<OutcomeStatus>, Fault> {
    use OutcomeStatus::{Cancelled, Failed, Skipped, Succeeded};
    const ALL: [OutcomeStatus; 4] = [Succeeded, Failed, Cancelled, Skipped];
    let Some(name) = arguments.text("outcome")? else { return Ok(None) };
    let found = ALL.into_iter().find(|status| status.as_str() == name);
    found.map(Some).ok_or_else(|| not_one_of("outcome", &ALL.map(OutcomeStatus::as_str).join(", ")))
}

fn not_one_of(name: &str, names: &str) -> Fault {
    Fault::invalid(name, format!("expected one of {names}")).next("correct it and call again")
}

fn stale() -> Fault {
    Fault::new(longshore_domain::FaultCode::StaleCursor, "the cursor leads nowhere")
        .next("list without a cursor to begin anew")
}

fn answer(call: &Call, page: &JobPage, narrowed: bool) -> Result<Answer, Fault> {
    let now = call.engine().clock().now();
    let cursor = page.next.map(|number| number.to_string());
    let next = match (&cursor, page.jobs.first()) {
        (Some(cursor), _) => format!("older ones: the same call with {}", json!({ "cursor": cursor })),
        (None, None) if narrowed => "job_list {\"all\":true} looks beyond this conversation".into(),
        (None, None) => next::NOTHING.into(),
        (None, Some(newest)) => next::read(newest.id),
    };
    let row = |job: &Job| format!("{} {}: {}", job.id, line(job, now), title(job));
    let rows = match page.jobs.is_empty() {
        true => "No jobs.".to_owned(),
        false => page.jobs.iter().map(row).collect::<Vec<_>>().join("\n"),
    };
    let jobs = page.jobs.iter().map(|job| ListedJob::new(job, now)).collect();
    let text = format!("{rows}\nnext: {next}");
    Answer::new(&ListStatus { jobs, cursor, next }, text)
}
