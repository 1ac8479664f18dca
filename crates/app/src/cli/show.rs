//! `longshore show`: everything about one job.

use clap::Parser;
use longshore_domain::{Position, Timestamp};
use longshore_engine::Clock;

use super::term::{self, Stream};
use super::{Outcome, job_text};
use crate::client::{Client, escape};
use crate::config::units::{about_length, about_size, roughly};
use crate::http::wire::{JobBody, JobDetailBody, SpecBody};

/// Show everything about a job
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let name = client.job_name(&args.job)?;
    let detail: JobDetailBody = client.get(&format!("/api/v1/jobs/{}", escape(&name)))?;
    match args.json {
        true => term::json(&detail)?,
        false => term::out(&describe(&detail, Clock::system().now()))?,
    }
    Ok(0)
}

fn describe(detail: &JobDetailBody, now: Timestamp) -> String {
    let mut lines = standing(&detail.job, now);
    lines.extend(times(&detail.job, now));
    lines.extend(work(&detail.job, &detail.spec));
    lines.extend(detail.node.as_deref().map(|node| ("node", term::harmless(node))));
    lines.extend(printed(&detail.job));
    let lines = lines.into_iter().map(|(name, value)| format!("{name:<14}{value}"));
    lines.collect::<Vec<_>>().join("\n")
}

type Line = (&'static str, String);

fn standing(job: &JobBody, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        ("job", format!("{}  {}", job.number, job.id)),
        ("state", term::paint(Stream::Out, job_text::colour(job), job_text::standing(job))),
    ];
    let optional = [
        ("reason", job.stop_reason.clone()),
        ("name", job.name.as_deref().map(term::harmless)),
        ("outcome", job.outcome.as_ref().and_then(|outcome| outcome.message.as_deref()).map(term::harmless)),
        ("cause", job.outcome.as_ref().and_then(|outcome| outcome.cause.clone())),
        ("position", job.position.map(|jobs| format!("{} before it in queue {}", Position::behind(jobs), job.queue))),
        ("waits for", (job.after_left > 0).then(|| format!("{} job(s) that must succeed", job.after_left))),
        ("not before", job.not_before.as_deref().map(|at| job_text::instant(at, now))),
        (
            "progress",
            job.progress.as_ref().map(|found| format!("{:.0}% {}", found.percent, term::harmless(&found.text))),
        ),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines
}

fn times(job: &JobBody, now: Timestamp) -> Vec<Line> {
    let estimate = job.estimate.as_ref().map(|estimate| {
        let (low, high) = (about_length(estimate.low_ms), about_length(estimate.high_ms));
        format!("{low} to {high}, from {} like jobs", estimate.samples)
    });
    let optional = [
        ("submitted", Some(job_text::instant(&job.submitted_at, now))),
        ("started", job.started_at.as_deref().map(|at| job_text::instant(at, now))),
        ("finished", job.finished_at.as_deref().map(|at| job_text::instant(at, now))),
        ("took", job.elapsed_ms.map(about_length)),
        ("usually", estimate),
        ("left", job.remaining_ms.map(roughly)),
        ("silent for", job.silent_ms.map(about_length)),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn work(job: &JobBody, spec: &SpecBody) -> Vec<Line> {
    let attempts = format!("{} of at most {}", job.attempt, job.retries_max + 1);
    let optional = [
        ("command", Some(term::harmless(&job.title))),
        ("directory", Some(term::harmless(&spec.cwd))),
        ("queue", Some(format!("{}, priority {}", job.queue, job.priority))),
        ("requires", (!job.requires.is_empty()).then(|| job.requires.join(" "))),
        ("owner", Some(format!("{} ({})", job.principal.name, job.principal.class))),
        ("conversation", job.conversation.as_deref().map(term::harmless)),
        ("attempt", Some(attempts)),
        ("repeats", job.retry_of.clone()),
        ("deadline", spec.deadline_ms.map(about_length)),
        ("soft deadline", spec.soft_deadline_ms.map(about_length)),
        ("memory", spec.memory_bytes.map(about_size)),
        ("processes", spec.processes.map(|count| count.to_string())),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn printed(job: &JobBody) -> Vec<Line> {
    let report = job.report.as_ref();
    let lines_printed = report.map(|report| format!(", {} lines", report.output.lines)).unwrap_or_default();
    let omitted = report.map(|report| report.output.omitted_bytes).filter(|omitted| *omitted > 0);
    let usage = report.map(|report| {
        let processor = about_length(report.usage.user_ms + report.usage.system_ms);
        format!("{processor} of processor time, at most {} of memory", about_size(report.usage.memory_max_bytes))
    });
    let leftovers = report.map(|report| &report.leftovers).filter(|left| !left.is_empty()).map(|left| {
        left.iter().map(|process| format!("{} ({})", process.pid, process.command)).collect::<Vec<_>>().join(", ")
    });
    let optional = [
        ("output", Some(format!("{}{lines_printed}", size(job.output_bytes)))),
        ("not kept", omitted.map(about_size)),
        ("lost output", report.and_then(|report| report.output.write_error.clone())),
        ("left over", leftovers),
        ("used", usage),
        ("pinned", job.pinned.then(|| "yes".into())),
        ("expired", job.output_expired.then(|| "the output was removed".into())),
    ];
    optional.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "not known: the node that has it does not answer".into(), about_size)
}
