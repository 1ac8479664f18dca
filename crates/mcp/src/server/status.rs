//! How a job is told to a model: short, with the next step, the same in structure and in text.

use std::time::Duration;

use longshore_domain::estimate::Estimate;
use longshore_domain::job::{FailReason, OutcomeStatus, StateName, StopReason};
use longshore_domain::time::format_length;
use longshore_domain::{Job, JobId, Outcome, Position, Timestamp};
use longshore_engine::ops::JobView;
use serde::Serialize;

use super::output::{Omitted, Shown};

/// One job for a model.
#[derive(Clone, Debug, Serialize)]
pub(super) struct JobStatus {
    job: JobId,
    state: StateName,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeBrief>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<Omitted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<EstimateBrief>,
    next: String,
}

/// How a job ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OutcomeBrief {
    status: OutcomeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<FailReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<JobId>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct EstimateBrief {
    low_s: f64,
    high_s: f64,
}

impl From<Estimate> for EstimateBrief {
    fn from(estimate: Estimate) -> Self {
        Self { low_s: seconds(estimate.low), high_s: seconds(estimate.high) }
    }
}

impl From<&Outcome> for OutcomeBrief {
    fn from(outcome: &Outcome) -> Self {
        let report = outcome.report.as_ref();
        // The sentence of these two says no more than the number beside it, unless a limit had a part in it.
        let plain = matches!(outcome.reason, Some(FailReason::Exit | FailReason::Signal))
            && report.is_none_or(|report| report.held_to().is_none());
        Self {
            status: outcome.status,
            reason: outcome.reason,
            exit_code: report.and_then(|report| report.exit_code),
            signal: report.and_then(|report| report.signal),
            message: outcome.message.clone().filter(|_| !plain),
            cause: outcome.cause,
        }
    }
}

impl OutcomeBrief {
    /// One line, such as `failed (exit code 3)`.
    pub(super) fn line(&self) -> String {
        let status = self.status.as_str();
        let detail = match (self.reason, self.exit_code, self.signal, &self.message) {
            (Some(FailReason::Exit | FailReason::Signal), _, _, Some(message)) => format!(" ({message})"),
            (Some(FailReason::Exit), Some(code), ..) => format!(" (exit code {code})"),
            (Some(FailReason::Signal), _, Some(signal), _) => format!(" (signal {signal})"),
            (Some(reason), _, _, Some(message)) => format!(" ({reason}: {message})"),
            (Some(reason), ..) => format!(" ({reason})"),
            (None, _, _, Some(message)) => format!(" ({message})"),
            (None, ..) => String::new(),
        };
        format!("{status}{detail}")
    }
}

/// Longest title that is shown, in characters.
const TITLE_CHARS_MAX: usize = 60;

/// What people call the job, in one line.
pub(super) fn title(job: &Job) -> String {
    let title = job.name.as_deref().unwrap_or(&job.title);
    match title.chars().count() {
        0..=TITLE_CHARS_MAX => title.to_owned(),
        _ => title.chars().take(TITLE_CHARS_MAX - 1).chain(['…']).collect(),
    }
}

/// Seconds with one decimal.
pub(super) fn seconds(length: Duration) -> f64 {
    (length.as_secs_f64() * 10.0).round() / 10.0
}

/// How much of the job is done, as its output says.
pub(super) fn percent(view: &JobView) -> Option<u8> {
    let found = view.progress.as_ref()?.percent;
    Some(found.clamp(0.0, 100.0) as u8)
}

/// One line: state or outcome, and for how long.
pub(super) fn line(job: &Job, now: Timestamp) -> String {
    let length = job.elapsed(now).map(format_length);
    match (job.outcome(), length) {
        (Some(outcome), Some(length)) => format!("{} after {length}", OutcomeBrief::from(outcome).line()),
        (Some(outcome), None) => OutcomeBrief::from(outcome).line(),
        (None, Some(length)) => format!("{} for {length}", job.state.in_words()),
        (None, None) => job.state.in_words(),
    }
}

impl JobStatus {
    /// A job with what to do next.
    pub(super) fn new(view: &JobView, next: String) -> Self {
        Self {
            job: view.job.id,
            state: view.job.state.name(),
            stop_reason: view.job.state.stop_reason().map(StopReason::as_str),
            outcome: view.job.outcome().map(OutcomeBrief::from),
            elapsed_s: view.elapsed.map(seconds),
            percent: percent(view).filter(|_| !view.job.is_finished()),
            position: view.position,
            existing: false,
            output: None,
            cursor: None,
            omitted: None,
            estimate: view.estimate.map(EstimateBrief::from),
            next,
        }
    }

    /// Adds that it had been accepted before: by a call with the same key, or by this very one, sent again by its bridge.
    pub(super) fn existing(mut self, existing: bool) -> Self {
        self.existing = existing;
        self
    }

    /// Adds output.
    pub(super) fn with_output(mut self, shown: &Shown) -> Self {
        self.output = Some(shown.text.clone());
        self.cursor = Some(shown.cursor.clone());
        self.omitted = Some(shown.omitted).filter(|omitted| !omitted.is_nothing());
        self
    }

    /// The same for clients that show only text.
    pub(super) fn text(&self, view: &JobView) -> String {
        let mut text = format!("Job {} {}", self.job, line(&view.job, view.at));
        if let Some(percent) = self.percent {
            text += &format!(", {percent}% done");
        }
        if let Some(position) = self.position {
            text += &format!(", {position} before it in the queue");
        }
        if let Some(estimate) = self.estimate {
            text += &format!("; like jobs took {} to {} s", estimate.low_s, estimate.high_s);
        }
        text += match self.existing {
            true => ". It was already accepted; nothing was started again.\n",
            false => ".\n",
        };
        if let Some(output) = &self.output {
            text += &output_block(output, self.omitted.unwrap_or_default());
        }
        if let Some(cursor) = &self.cursor {
            text += &format!("cursor: {cursor}\n");
        }
        text + "next: " + &self.next
    }
}

fn output_block(output: &str, omitted: Omitted) -> String {
    let note = |bytes: u64, what: &str| match bytes {
        0 => String::new(),
        _ => format!("[{bytes} bytes {what}]\n"),
    };
    let before = note(omitted.bytes_before, "before this are not shown");
    let lost = note(omitted.bytes_not_kept, "before this were not kept");
    let after = note(omitted.bytes_after, "after this are not shown");
    let output = match output {
        "" => "(no output)\n".to_owned(),
        output if output.ends_with('\n') => output.to_owned(),
        output => format!("{output}\n"),
    };
    format!("--- output\n{before}{lost}{output}{after}---\n")
}

#[cfg(test)]
mod tests {
    use longshore_domain::job::AttemptReport;

    use super::*;

    #[test]
    fn an_end_is_told_in_few_words_unless_memory_ran_out() {
        let report = AttemptReport { signal: Some(9), ..AttemptReport::default() };
        let line = |report: AttemptReport| OutcomeBrief::from(&report.into_outcome()).line();
        assert_eq!(line(report.clone()), "failed (signal 9)");
        let hungry = "failed (ended by signal 9; the kernel killed processes of it for want of memory)";
        assert_eq!(line(AttemptReport { memory_ran_out: true, ..report }), hungry);
    }
}
