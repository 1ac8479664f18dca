//! Jobs in words.

use clap::builder::styling::{AnsiColor, Style};
use longshore_domain::Timestamp;
use longshore_domain::fault::Fault;
use longshore_domain::time::format_length;

use super::term::{self, Stream};
use crate::config::units::about_length;
use crate::http::wire::JobBody;

/// How a job is called in messages: number and id, with its name if it has one.
pub(super) fn called(job: &JobBody) -> String {
    match &job.name {
        Some(name) => format!("job {} ({}) {}", job.number, job.id, term::harmless(name)),
        None => format!("job {} ({})", job.number, job.id),
    }
}

/// A fault that says which of several jobs it is about, by the name that was given.
pub(super) fn about(job: &str, fault: Fault) -> Fault {
    let job = format!("`{}`", term::harmless(job));
    match fault.message.contains(&job) {
        true => fault,
        false => Fault { message: format!("job {job}: {}", fault.message), ..fault },
    }
}

/// One word for where a job stands: its outcome once it has one.
pub(super) fn standing(job: &JobBody) -> &str {
    job.outcome.as_ref().map_or(job.state.as_str(), |outcome| outcome.status.as_str())
}

/// The colour of [`standing`].
pub(super) fn colour(job: &JobBody) -> Style {
    match standing(job) {
        "succeeded" => AnsiColor::Green.on_default(),
        "failed" => AnsiColor::Red.on_default(),
        "running" => AnsiColor::Cyan.on_default(),
        "cancelled" | "skipped" => AnsiColor::Yellow.on_default(),
        _ => Style::new(),
    }
}

/// One line for the end of a job.
pub(super) fn ending(job: &JobBody, stream: Stream) -> String {
    let took = job.elapsed_ms.map(|ms| format!(" after {}", about_length(ms))).unwrap_or_default();
    let outcome = job.outcome.as_ref();
    let message = outcome.and_then(|outcome| outcome.message.as_deref());
    let why = message.map(|message| format!(": {}", term::harmless(message))).unwrap_or_default();
    let status = term::paint(stream, colour(job), standing(job));
    format!("job {} {status}{took}{why}", job.number)
}

/// How long ago an instant was, or how far ahead it is.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    match at > now {
        true => format!("in {}", format_length(at.since(now))),
        false => format!("{} ago", format_length(now.since(at))),
    }
}

/// An instant for people: relative, and absolute.
pub(super) fn instant(text: &str, now: Timestamp) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => format!("{} ({text})", relative(at, now)),
        Err(_) => text.to_owned(),
    }
}
