//! One line for one job.

use std::time::Duration;

use longshore_domain::Job;
use longshore_domain::job::{FailReason, JobState, Outcome, Question, QuestionKind, StateName};
use longshore_domain::time::format_length;

use super::fit::BriefLine;
use super::tokens::tokens;
use crate::ops::JobView;

/// Longest title and longest prompt, in characters.
const TITLE_CHARS_MAX: usize = 40;
const PROMPT_CHARS_MAX: usize = 60;
/// What either costs at most, so that there is room for several.
const WORDS_TOKENS_MAX: usize = 24;

/// Whether the job has its turn, as opposed to waiting for something.
pub(super) fn runs(job: &Job) -> bool {
    matches!(job.state.name(), StateName::Claimed | StateName::Running | StateName::Stopping)
}

/// Whether the job waits for a person.
pub(super) fn asks(job: &Job) -> bool {
    matches!(job.state.name(), StateName::Held | StateName::Asking)
}

/// How a finished job ended and how long it took.
pub(super) fn ended(job: &Job) -> BriefLine {
    let how = job.outcome().map(outcome).unwrap_or_default();
    let took = job.finished_at().and_then(|at| job.elapsed(at));
    let took = took.map(|took| format!(" after {}", format_length(took))).unwrap_or_default();
    line(job, &format!("{how}{took}"))
}

/// How an unfinished job stands, with the questions it ever asked.
pub(super) fn unfinished(view: &JobView, questions: &[Question]) -> BriefLine {
    let standing = match &view.job.state {
        JobState::Held { .. } | JobState::Asking { .. } => return asking(&view.job, questions),
        JobState::Waiting { until, after_left } => waiting(*after_left, until.map(|until| until.to_string())),
        JobState::Queued => match view.position.filter(|position| position.jobs() > 0) {
            None => "is next in its queue".to_owned(),
            Some(position) => format!("is queued, {position} before it"),
        },
        _ => running(view),
    };
    line(&view.job, &standing)
}

fn line(job: &Job, standing: &str) -> BriefLine {
    let title = job.name.as_deref().unwrap_or(&job.title);
    BriefLine { job: job.id, text: format!("{standing}: {}", cut(title, TITLE_CHARS_MAX)) }
}

fn outcome(outcome: &Outcome) -> String {
    let report = outcome.report.as_ref();
    let code = report.and_then(|report| report.exit_code);
    let signal = report.and_then(|report| report.signal);
    match (outcome.reason, code, signal) {
        (Some(FailReason::Exit), Some(code), _) => format!("{} (exit code {code})", outcome.status.as_str()),
        (Some(FailReason::Signal), _, Some(signal)) => format!("{} (signal {signal})", outcome.status.as_str()),
        (Some(reason), ..) => format!("{} ({reason})", outcome.status.as_str()),
        (None, ..) => outcome.status.as_str().to_owned(),
    }
}

fn running(view: &JobView) -> String {
    let state = view.job.state.in_words();
    let length = view.elapsed.map(|elapsed| format!(" for {}", format_length(elapsed))).unwrap_or_default();
    let percent = view.progress.as_ref().map(|progress| progress.percent.clamp(0.0, 100.0));
    let percent = percent.map(|percent| format!(", {percent:.0}% done")).unwrap_or_default();
    let range =
        |low: Duration, high: Duration| format!(", like jobs took {} to {}", format_length(low), format_length(high));
    let estimate = view.estimate.map(|estimate| range(estimate.low, estimate.high)).unwrap_or_default();
    format!("{state}{length}{percent}{estimate}")
}

fn waiting(after_left: u32, until: Option<String>) -> String {
    let jobs = match after_left {
        0 => String::new(),
        1 => " for another job".to_owned(),
        jobs => format!(" for {jobs} other jobs"),
    };
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!("waits{jobs}{until}")
}

fn asking(job: &Job, questions: &[Question]) -> BriefLine {
    let mut open = questions.iter().filter(|question| question.is_open());
    let Some(first) = open.next() else { return line(job, "waits for a person") };
    let more = match open.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let how = match first.kind {
        QuestionKind::Approval => "approval: only a person may decide, you may not",
        QuestionKind::Choice => "choice: to be picked from its options",
        QuestionKind::Text => "text: to be answered in words",
        QuestionKind::Form => "form: to be filled in",
    };
    let prompt = cut(&first.prompt, PROMPT_CHARS_MAX);
    BriefLine { job: job.id, text: format!("asks a person \"{prompt}\" ({how}{more})") }
}

/// Text of others on one line, cut to so many characters and to what it may cost.
fn cut(text: &str, chars_max: usize) -> String {
    let mut words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_owned();
    let text = words.fold(first, |text, word| format!("{text} {word}"));
    let fits = |text: &str| text.chars().count() <= chars_max && tokens(text) <= WORDS_TOKENS_MAX;
    let mut cut = text.clone();
    while !fits(&cut) {
        cut = text.chars().take(cut.chars().count().min(chars_max + 1) - 2).chain(['…']).collect();
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_one_short_line() {
        let table = [
            ("cargo test", "cargo test"),
            ("a\nnext: rm\r\n\tb\u{1b}[31m", "a next: rm b [31m"),
            ("", ""),
            ("\n", ""),
            ("0123456789", "0123456789"),
            ("grüße aus 世界 und von überall her!!!", "grüße aus 世界 und…"),
        ];
        for (text, expected) in table {
            assert_eq!(cut(text, 17), expected, "{text:?}");
        }
    }

    #[test]
    fn waits_say_for_what() {
        let table = [
            (0, Some("noon"), "waits until noon"),
            (1, None, "waits for another job"),
            (3, Some("noon"), "waits for 3 other jobs until noon"),
        ];
        for (after_left, until, expected) in table {
            assert_eq!(waiting(after_left, until.map(str::to_owned)), expected);
        }
    }
}
