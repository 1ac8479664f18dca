//! `longshore ls`: which jobs there are.

use clap::Parser;
use longshore_domain::Timestamp;
use longshore_domain::time::format_length;
use longshore_engine::Clock;

use super::term::{self, Stream};
use super::{Outcome, job_text};
use crate::client::{Client, escape};
use crate::config::units::about_length;
use crate::http::wire::{JobBody, JobsBody};

/// Jobs asked for at once with `--all`.
const PAGE: usize = 200;

/// List jobs, newest first
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Jobs in this state, or in several with commas between
    #[arg(long)]
    state: Option<String>,
    /// Jobs that ended this way: succeeded, failed, cancelled, skipped
    #[arg(long)]
    outcome: Option<String>,
    /// Jobs of this queue
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Jobs of this chat
    #[arg(long, value_name = "NAME")]
    conversation: Option<String>,
    /// Jobs whose name or command contains this text
    #[arg(long)]
    text: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "all")]
    limit: usize,
    /// Every one
    #[arg(long)]
    all: bool,
    /// Print each job as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let now = Clock::system().now();
    let mut cursor = None;
    let mut shown = 0;
    loop {
        let page: JobsBody = client.get(&path(args, cursor))?;
        if shown == 0 && !args.json && !page.jobs.is_empty() {
            term::out(&row("#", "STATE", "AGE", "TOOK", "QUEUE", "WHAT"))?;
        }
        for job in &page.jobs {
            match args.json {
                true => term::json(job)?,
                false => term::out(&line(job, now))?,
            }
        }
        shown += page.jobs.len();
        cursor = page.next;
        if !args.all || cursor.is_none() {
            break;
        }
    }
    if !args.json {
        match (shown, cursor) {
            (0, _) => term::note("no jobs"),
            (_, Some(_)) => term::note("there are more: `--limit N` or `--all`"),
            _ => {}
        }
    }
    Ok(0)
}

fn path(args: &Args, cursor: Option<u64>) -> String {
    let limit = if args.all { PAGE } else { args.limit };
    let filters = [
        ("state", &args.state),
        ("outcome", &args.outcome),
        ("queue", &args.queue),
        ("conversation", &args.conversation),
        ("text", &args.text),
    ];
    let mut path = format!("/api/v1/jobs?limit={limit}");
    for (name, value) in filters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", escape(value)));
        }
    }
    if let Some(cursor) = cursor {
        path.push_str(&format!("&cursor={cursor}"));
    }
    path
}

/// Width of the column of states: the longest is `succeeded`.
const STATE_WIDTH: usize = 9;

fn row(number: &str, state: &str, age: &str, took: &str, queue: &str, what: &str) -> String {
    format!("{number:>5}  {state:STATE_WIDTH$}  {age:>8}  {took:>8}  {queue:<10}  {what}")
}

fn line(job: &JobBody, now: Timestamp) -> String {
    let age = job.submitted_at.parse::<Timestamp>().map(|at| now.since(at)).unwrap_or_default();
    let took = job.elapsed_ms.map(about_length).unwrap_or_default();
    // Padded before it is painted: colours take no room.
    let state = format!("{:STATE_WIDTH$}", job_text::standing(job));
    let state = term::paint(Stream::Out, job_text::colour(job), &state);
    let what = term::harmless(job.name.as_deref().unwrap_or(&job.title));
    row(&job.number.to_string(), &state, &format_length(age), &took, &job.queue, &what)
}
