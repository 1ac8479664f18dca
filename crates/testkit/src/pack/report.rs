//! Verdicts, and how they are told: as text while they come, as JSON at the end.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    Success,
    Failure,
    /// Not run; the message says what it needs.
    Skipped,
    /// Not asked of this server; the message says who checks it, or what could be asked.
    Elsewhere,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// `transport/scenario/check`.
    pub(crate) id: String,
    /// Number of the line in the list of the pack's README.
    pub(crate) line: u8,
    pub(crate) description: String,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error_message: String,
    /// How long it took; 0 for what another program found.
    pub(crate) duration_ms: u64,
}

/// Ids that are known to fail: whole, without the transport, or the beginning of either up to a `/`.
#[derive(Debug, Default)]
pub(crate) struct Expected(Vec<String>);

impl Expected {
    pub(crate) fn read(path: &Path) -> Result<Expected> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Expected::from(&text))
    }

    fn from(text: &str) -> Expected {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        Expected(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    fn names(entry: &str, id: &str) -> bool {
        let bare = id.split_once('/').map_or(id, |(_, bare)| bare);
        [id, bare].iter().any(|id| id.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    fn holds(&self, id: &str) -> bool {
        self.0.iter().any(|entry| Expected::names(entry, id))
    }

    /// Entries whose checks ran and none of which failed.
    fn stale(&self, verdicts: &[Verdict]) -> Vec<&str> {
        let with = |entry: &&String, status: Status| {
            verdicts.iter().any(|verdict| verdict.status == status && Expected::names(entry, &verdict.id))
        };
        let stale = self.0.iter().filter(|entry| with(entry, Status::Success) && !with(entry, Status::Failure));
        stale.map(String::as_str).collect()
    }
}

/// Tells one verdict.
pub(crate) fn tell(verdict: &Verdict, expected: &Expected) {
    let word = match verdict.status {
        Status::Success => "SUCCESS",
        Status::Failure if expected.holds(&verdict.id) => "EXPECTED",
        Status::Failure => "FAILURE",
        Status::Skipped => "not run",
        Status::Elsewhere => "no part",
    };
    say(&format!("{word}  {:>2} {:<46} {}", verdict.line, verdict.id, verdict.description));
    if !verdict.error_message.is_empty() {
        say(&format!("      {}", verdict.error_message));
    }
}

/// Tells the sum; whether the run passed. If it is `strict`, what could not be run counts against it.
pub(crate) fn conclude(verdicts: &[Verdict], expected: &Expected, strict: bool) -> bool {
    let count = |status| verdicts.iter().filter(|verdict| verdict.status == status).count();
    let ids = |status| verdicts.iter().filter(move |verdict| verdict.status == status).map(|verdict| &verdict.id);
    let failed: Vec<&String> = ids(Status::Failure).filter(|id| !expected.holds(id)).collect();
    let left_out: Vec<&String> = ids(Status::Skipped).filter(|_| strict).collect();
    let stale = expected.stale(verdicts);
    say(&format!(
        "\n{} checks: {} succeeded, {} failed ({} of them expected), {} not run",
        verdicts.len() - count(Status::Elsewhere),
        count(Status::Success),
        count(Status::Failure),
        count(Status::Failure) - failed.len(),
        count(Status::Skipped),
    ));
    failed.iter().for_each(|id| say(&format!("failed: {id}")));
    left_out.iter().for_each(|id| say(&format!("not run: {id}")));
    stale.iter().for_each(|entry| say(&format!("expected to fail and did not: {entry}")));
    failed.is_empty() && left_out.is_empty() && stale.is_empty()
}

pub(crate) fn write_json(verdicts: &[Verdict], path: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(verdicts)?;
    std::fs::write(path, text + "\n").with_context(|| format!("{} cannot be written", path.display()))
}

/// Writes one line to standard output; a reader that has gone is no reason to stop.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(id: &str, status: Status) -> Verdict {
        Verdict {
            id: id.to_owned(),
            line: 1,
            description: String::new(),
            status,
            error_message: String::new(),
            duration_ms: 0,
        }
    }

    #[test]
    fn a_failure_passes_only_where_it_is_expected_and_still_there() {
        let failed = [verdict("http/cancel/twice", Status::Failure), verdict("stdio/cancel/twice", Status::Success)];
        let healed = [verdict("http/cancel/twice", Status::Success)];
        let cases = [
            (&failed[..], "", false),
            (&failed[..], "# a comment\ncancel/twice # why", true),
            (&failed[..], "http/cancel", true),
            (&failed[..], "cancel/tw", false),
            (&failed[..], "stdio/cancel/twice", false),
            (&healed[..], "", true),
            (&healed[..], "cancel/twice", false),
        ];
        for (verdicts, expected, passes) in cases {
            assert_eq!(conclude(verdicts, &Expected::from(expected), true), passes, "{expected}");
        }
    }

    #[test]
    fn a_strict_run_passes_only_if_nothing_was_left_out() {
        for (status, lenient, strict) in [
            (Status::Success, true, true),
            (Status::Elsewhere, true, true),
            (Status::Skipped, true, false),
            (Status::Failure, false, false),
        ] {
            let verdicts = [verdict("http/storm/answers", status)];
            let passes = [false, true].map(|strict| conclude(&verdicts, &Expected::default(), strict));
            assert_eq!(passes, [lenient, strict], "{status:?}");
        }
    }
}
