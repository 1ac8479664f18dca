//! The only place that writes to the terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use clap::builder::styling::{AnsiColor, Style};
use longshore_domain::fault::{Fault, FaultCode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::CliError;
use crate::config::environment;
use crate::http::wire::FaultBody;

/// Writes bytes to standard output exactly as they are.
///
/// # Errors
/// [`CliError::Closed`] if nobody reads any more; `file_failed` if it leads to a file that cannot be written.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => CliError::Closed,
        _ => Fault::new(FaultCode::FileFailed, "standard output cannot be written")
            .why(error.to_string())
            .next("free some space or write to another place; the job itself is not touched")
            .into(),
    })
}

/// Writes text with a newline to standard output.
///
/// # Errors
/// As [`bytes`].
pub(super) fn out(text: &str) -> Result<(), CliError> {
    bytes(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
/// As [`bytes`].
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    out(&serde_json::to_string(value).map_err(Fault::internal)?)
}

/// From now on this process ends, with exit code `code`, as soon as nobody reads its standard output any more, also while
/// it waits and writes nothing: `longshore logs -f 12 | grep -m1 ready` ends with its `grep`.
pub(super) fn end_with_reader(code: u8) {
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        while poll(&mut watched, None) == Err(Errno::INTR) {}
        if watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            #[expect(clippy::disallowed_methods, reason = "the main thread waits for the daemon and holds nothing")]
            std::process::exit(code.into());
        }
    });
}

/// Writes a line to standard error. If nobody reads it, nobody wanted it.
pub(super) fn note(text: &str) {
    writeln!(std::io::stderr().lock(), "{text}").ok();
}

/// Writes a fault to standard error, for a program as one line of JSON.
pub(super) fn fault(fault: &Fault, json: bool) {
    if json {
        let body = FaultBody {
            why: fault.why.clone().or_else(|| fault.private.clone()),
            next: advice(fault).map(str::to_owned),
            ..FaultBody::from(fault)
        };
        return note(&serde_json::json!({ "error": body }).to_string());
    }
    let mut text = String::new();
    let head = paint(Stream::Error, AnsiColor::Red.on_default().bold(), &format!("error[{}]", fault.code));
    let mut line = |prefix: &str, rest: &str| {
        // Writing to a string does not fail.
        writeln!(text, "{prefix}: {rest}").ok();
    };
    line(&head, &fault.message);
    if let Some(why) = &fault.why {
        line("  why", &format!(" {}", indented(why)));
    }
    if let Some(next) = advice(fault) {
        line("  next", &indented(next));
    }
    if let Some(private) = fault.private.as_ref().filter(|_| fault.why.is_none()) {
        line("  why", &format!(" {}", indented(private)));
    }
    note(text.trim_end());
}

/// What to do, in the words of the command line.
fn advice(fault: &Fault) -> Option<&str> {
    match fault.code {
        FaultCode::JobNotFound => Some("`longshore ls --all` lists the jobs; name one by its number or id"),
        FaultCode::JobFinished => {
            Some("`longshore show` tells how it ended; `longshore retry` runs it again if it failed")
        }
        _ => fault.next.as_deref(),
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n        ")
}

/// One of the two streams that a terminal may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// Whether a terminal is behind the stream.
pub(super) fn is_terminal(stream: Stream) -> bool {
    match stream {
        Stream::Out => std::io::stdout().is_terminal(),
        Stream::Error => std::io::stderr().is_terminal(),
    }
}

/// The text in colour, if the stream leads to a terminal and `NO_COLOR` is not set.
pub(super) fn paint(stream: Stream, style: Style, text: &str) -> String {
    match is_terminal(stream) && environment::variable("NO_COLOR").is_none() {
        true => format!("{style}{text}{style:#}"),
        false => text.into(),
    }
}

/// Text of others, made harmless for a terminal: control characters are shown as `?`.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
