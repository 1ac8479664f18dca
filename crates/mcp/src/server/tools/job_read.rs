//! `job_read`: status and output of one job.

use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_domain::{Fault, FaultCode, Scope};

use super::answer::Answer;
use super::{Hints, Tool, Work, next};
use crate::server::call::Call;
use crate::server::output::{self, Shown, Wanted};
use crate::server::status::JobStatus;
use crate::wire::Arguments;

/// Last lines shown when nothing is said, and most that can be asked for.
const TAIL_LINES: usize = 40;
const TAIL_LINES_MAX: u64 = 10_000;
/// Bytes shown when nothing is said, and most that can be asked for.
const BYTES: usize = 16 * 1024;
const BYTES_MAX: u64 = 256 * 1024;
/// Longest wait that can be asked for; the client's budget cuts it further.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

pub(super) const TOOL: Tool = Tool {
    name: "job_read",
    title: "Read a job's status and output",
    description: "Status of a job, and its output as clean text: the last lines, or on from a cursor. With wait_s \
        it waits for new output if there is none. Says exactly what is left out.",
    scope: Scope::JobsRead,
    hints: Hints::READS,
    schema: r#"{"type":"object","properties":{
"job":{"type":"string"},
"cursor":{"type":"string","description":"from the last answer: only what is new"},
"tail_lines":{"type":"integer","default":40},
"max_bytes":{"type":"integer","default":16384,"maximum":262144},
"wait_s":{"type":"number","default":0}},
"required":["job"],"additionalProperties":false}"#,
    arguments: &["job", "cursor", "tail_lines", "max_bytes", "wait_s"],
    work: Work::Quick(call),
};

fn call(call: &Call, arguments: Arguments) -> BoxFuture<'_, Result<Answer, Fault>> {
    Box::pin(read(call, arguments))
}

async fn read(call: &Call, arguments: Arguments) -> Result<Answer, Fault> {
    let name = arguments.required_text("job")?;
    let wanted = wanted(&arguments)?;
    let bytes_max = arguments.integer("max_bytes", 1..=BYTES_MAX)?.map_or(BYTES, |bytes| bytes as usize);
    let wait = arguments.seconds("wait_s", WAIT_MAX)?.unwrap_or_default().min(call.budget());
    match output::read(call, &name, wanted, bytes_max, wait).await {
        Ok(shown) => with_output(call, shown).await,
        Err(fault) if fault.code == FaultCode::OutputExpired => without_output(call, &name, &fault).await,
        Err(fault) => Err(fault),
    }
}

fn wanted(arguments: &Arguments) -> Result<Wanted, Fault> {
    let lines = arguments.integer("tail_lines", 0..=TAIL_LINES_MAX)?.map_or(TAIL_LINES, |lines| lines as usize);
    Ok(match arguments.text("cursor")? {
        Some(cursor) => Wanted::From(cursor.parse()?),
        None => Wanted::Tail(lines),
    })
}

async fn with_output(call: &Call, shown: Shown) -> Result<Answer, Fault> {
    call.tells(&shown.job);
    let view = call.engine().full_view(shown.job.clone()).await?;
    let id = view.job.id;
    let next = match (shown.end, shown.omitted.bytes_after) {
        (true, _) => next::NOTHING.into(),
        (false, 1..) => next::read_on(id, &shown.cursor),
        (false, 0) => next::follow(call, id, &shown.cursor, view.poll_after),
    };
    let status = JobStatus::new(&view, next).with_output(&shown);
    Ok(Answer::new(&status, status.text(&view))?.marked_by(&view.job))
}

/// The outcome stands even after the output was removed.
async fn without_output(call: &Call, name: &str, fault: &Fault) -> Result<Answer, Fault> {
    let view = call.engine().show(&call.caller, name).await?;
    call.tells(&view.job);
    let status = JobStatus::new(&view, format!("nothing to do: {}", fault.message));
    Ok(Answer::new(&status, status.text(&view))?.marked_by(&view.job))
}
