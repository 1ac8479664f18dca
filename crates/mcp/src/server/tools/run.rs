//! `run`: a command becomes a job.

use std::time::Duration;

use futures_util::future::BoxFuture;
use longshore_domain::job::{Deadlines, RetryPolicy};
use longshore_domain::{Fault, Job, Scope, When};
use longshore_engine::ops::Submit;

use super::answer::Answer;
use super::slow::Started;
use super::{Hints, Tool, Work, next};
use crate::server::call::Call;
use crate::server::output::{self, Wanted};
use crate::server::status::JobStatus;
use crate::wire::Arguments;

/// Lines and bytes of output in the answer.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: usize = 16 * 1024;
/// Longest time that can be asked for, for starts, waits and deadlines.
const YEAR: Duration = Duration::from_secs(366 * 86_400);

pub(super) const TOOL: Tool = Tool {
    name: "run",
    title: "Run a command as a durable job",
    description: "Run a command (build, test, script, anything slow or that must not get lost) as a durable job. \
        Ends soon: outcome and last output. Otherwise: a handle {job}; the job goes on by itself, also if this call \
        is cut off. Then do other work, use job_wait for the end, job_read for output, job_cancel to stop. \
        To repeat a call that may have been cut off, send the same key: it returns the same job.",
    scope: Scope::JobsWrite,
    hints: Hints { read_only_hint: false, destructive_hint: true, idempotent_hint: false, open_world_hint: true },
    schema: r#"{"type":"object","properties":{
"command":{"type":["array","string"],"items":{"type":"string"},"description":"program and arguments; one line of text if shell is true"},
"shell":{"type":"boolean","description":"run the line with /bin/sh -c"},
"cwd":{"type":"string","description":"absolute directory; needed over HTTP"},
"env":{"type":"object","additionalProperties":{"type":"string"}},
"name":{"type":"string"},
"background":{"type":"boolean","description":"answer with the handle at once"},
"wait_s":{"type":"number","description":"hold at most this long for the end"},
"deadline_s":{"type":"number","description":"stop the command after this long"},
"retry":{"type":"integer","description":"further attempts if it fails; only if running twice is harmless"},
"after":{"type":"array","items":{"type":"string"},"description":"jobs that must succeed first"},
"queue":{"type":"string"},
"key":{"type":"string","description":"one job per key; reuse it when you repeat the call"},
"start_in_s":{"type":"number"}},
"required":["command"],"additionalProperties":false}"#,
    arguments: &[
        "command",
        "shell",
        "cwd",
        "env",
        "name",
        "background",
        "wait_s",
        "deadline_s",
        "retry",
        "after",
        "queue",
        "key",
        "start_in_s",
    ],
    work: Work::Slow(start),
};

fn start(call: &Call, arguments: Arguments) -> BoxFuture<'_, Result<Started, Fault>> {
    Box::pin(run(call, arguments))
}

async fn run(call: &Call, arguments: Arguments) -> Result<Started, Fault> {
    let asked = arguments.seconds("wait_s", YEAR)?;
    let patience = if arguments.flag("background")? { Some(Duration::ZERO) } else { asked };
    let request = submit(call, &arguments)?;
    let accepted = call.engine().submit(&call.caller, request).await?;
    Ok(Started { job: accepted.job, existing: accepted.existing, patience })
}

fn submit(call: &Call, arguments: &Arguments) -> Result<Submit, Fault> {
    let shell = arguments.flag("shell")?;
    let origin = call.connection.origin();
    let start_in = arguments.seconds("start_in_s", YEAR)?.filter(|length| !length.is_zero());
    Ok(Submit {
        command: command(arguments, shell)?,
        shell,
        cwd: arguments.text("cwd")?.or_else(|| origin.cwd.clone()).ok_or_else(no_directory)?,
        inherited: origin.inherited.clone(),
        env: arguments.map("env")?,
        name: arguments.text("name")?,
        queue: arguments.text("queue")?,
        deadlines: Deadlines { hard: arguments.seconds("deadline_s", YEAR)?, ..Deadlines::default() },
        retry: retry(arguments)?,
        not_before: start_in.map(|length| When::In { length }),
        after: arguments.texts("after")?,
        key: arguments.text("key")?.or_else(|| call.idempotency_key.clone()).or_else(|| call.implicit_key()),
        ..Submit::default()
    })
}

fn command(arguments: &Arguments, shell: bool) -> Result<Vec<String>, Fault> {
    let is_text = arguments.raw("command").is_some_and(|raw| raw.get().starts_with('"'));
    match (is_text, shell) {
        (true, true) => Ok(vec![arguments.required_text("command")?]),
        (true, false) => Err(Fault::invalid("command", "expected an array of program and arguments, found one string")
            .next("split it, as in [\"cargo\",\"test\"], or add \"shell\":true to run it as a line; nothing was done")),
        (false, _) => match arguments.texts("command")? {
            words if words.is_empty() => Err(Fault::invalid("command", "expected a program and its arguments")
                .next("give an array such as [\"cargo\",\"test\"]; nothing was done")),
            words => Ok(words),
        },
    }
}

fn retry(arguments: &Arguments) -> Result<RetryPolicy, Fault> {
    let retries = arguments.integer("retry", 0..=u64::from(RetryPolicy::RETRIES_MAX))?;
    let retries = retries.and_then(|retries| u32::try_from(retries).ok());
    Ok(retries.map_or_else(RetryPolicy::default, RetryPolicy::times))
}

fn no_directory() -> Fault {
    Fault::invalid("cwd", "is missing: this connection has no directory of its own")
        .why("over HTTP the daemon cannot know where you work")
        .next("add the absolute path of the directory and call again; nothing was done")
}

/// The answer once the job has ended.
///
/// # Errors
/// The store's own.
pub(super) async fn result(call: &Call, job: Job, existing: bool) -> Result<Answer, Fault> {
    call.tells(&job);
    let view = call.engine().view(job).await?;
    let id = view.job.id;
    let status = match output::read(call, &id.to_string(), Wanted::Tail(TAIL_LINES), TAIL_BYTES, Duration::ZERO).await {
        Ok(shown) if shown.omitted.is_nothing() => JobStatus::new(&view, next::NOTHING.into()).with_output(&shown),
        Ok(shown) => {
            let from_the_start = format!("{}.0", view.job.attempt);
            JobStatus::new(&view, format!("{} reads all of the output", next::read_on(id, &from_the_start)))
                .with_output(&shown)
        }
        // The outcome stands even where the output is gone.
        Err(fault) => JobStatus::new(&view, format!("nothing to do; no output: {}", fault.message)),
    };
    let status = status.existing(existing);
    Ok(Answer::new(&status, status.text(&view))?.marked_by(&view.job))
}

/// The answer while the job goes on.
///
/// # Errors
/// The store's own.
pub(super) async fn handle(call: &Call, job: Job, existing: bool) -> Result<Answer, Fault> {
    call.tells(&job);
    let view = call.engine().view(job).await?;
    let next = next::wait(call, &[view.job.id], &next::fresh_cursor(call), view.poll_after);
    let status = JobStatus::new(&view, next).existing(existing);
    let text = format!("{}\nThe job goes on by itself; nothing is lost if you wait no longer.", status.text(&view));
    Ok(Answer::new(&status, text)?.linked(&view.job))
}
