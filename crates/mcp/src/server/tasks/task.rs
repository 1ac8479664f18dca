//! A task as it is written.

use std::time::Duration;

use longshore_domain::job::StateName;
use longshore_domain::{Job, JobId, Timestamp};
use longshore_engine::Retention;
use longshore_engine::ops::JobView;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::view::{Ending, Status};
use crate::server::status::{self, OutcomeBrief, percent};
use crate::wire::{ErrorCode, RpcError};

/// The life of an unfinished task is told in steps, so that it does not change with every reading.
const TTL_STEP: Duration = Duration::from_secs(3600);
/// Longest pause of a client that is asked something itself: after its answer it looks only when that is over.
const ASKED_POLL: Duration = Duration::from_secs(2);

/// What both generations say of a task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    id: JobId,
    pub(super) status: Status,
    message: String,
    created: Timestamp,
    updated: Timestamp,
    /// Since its creation; absent = for ever.
    ttl: Option<Duration>,
    poll_after: Option<Duration>,
}

/// In the extension of 2026-07-28.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Modern<'a> {
    task_id: JobId,
    status: Status,
    status_message: &'a str,
    created_at: String,
    last_updated_at: String,
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_interval_ms: Option<u64>,
}

/// In 2025-11-25.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Legacy<'a> {
    task_id: JobId,
    status: Status,
    status_message: &'a str,
    created_at: String,
    last_updated_at: String,
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poll_interval: Option<u64>,
}

/// What a task of the extension has beside, by its status.
#[derive(Debug)]
pub(super) enum Detail {
    None,
    /// Open questions by key.
    Input(Map<String, Value>),
    /// The result of the call.
    Result(Box<RawValue>),
    /// The error of the call.
    Error(Value),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detailed<'a> {
    #[serde(flatten)]
    task: Modern<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_requests: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Value>,
}

impl Task {
    /// A job with the status that the caller's generation gives it. `waits_for` is said of a job that waits for a
    /// person.
    pub(super) fn new(view: &JobView, status: Status, waits_for: Option<&str>, retention: &Retention) -> Self {
        let poll_after = match status {
            Status::InputRequired => Some(view.poll_after.min(ASKED_POLL)),
            status => Some(view.poll_after).filter(|_| !status.is_terminal()),
        };
        Self {
            id: view.job.id,
            status,
            message: message(view, waits_for),
            created: view.job.submitted_at,
            updated: view.job.changed_at,
            ttl: ttl(&view.job, view.at, retention),
            poll_after,
        }
    }

    /// As a task that has only just begun, whatever became of it since.
    pub(super) fn begun(mut self) -> Self {
        self.status = Status::Working;
        self
    }

    fn modern(&self) -> Modern<'_> {
        Modern {
            task_id: self.id,
            status: self.status,
            status_message: &self.message,
            created_at: self.created.to_string(),
            last_updated_at: self.updated.to_string(),
            ttl_ms: self.ttl.map(millis),
            poll_interval_ms: self.poll_after.map(millis),
        }
    }

    /// As the extension gives it in place of a result.
    pub(super) fn to_handle(&self) -> impl Serialize + '_ {
        self.modern()
    }

    /// As the extension reads it.
    pub(super) fn to_detailed<'a>(&'a self, detail: &'a Detail) -> impl Serialize + 'a {
        let mut detailed = Detailed { task: self.modern(), input_requests: None, result: None, error: None };
        match detail {
            Detail::None => {}
            Detail::Input(requests) => detailed.input_requests = Some(requests),
            Detail::Result(result) => detailed.result = Some(result),
            Detail::Error(error) => detailed.error = Some(error),
        }
        detailed
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn to_legacy_value(&self) -> Result<Value, RpcError> {
        serde_json::to_value(self.to_legacy()).map_err(|error| RpcError::new(ErrorCode::Internal, error.to_string()))
    }

    /// As 2025-11-25 reads it.
    pub(super) fn to_legacy(&self) -> impl Serialize + '_ {
        Legacy {
            task_id: self.id,
            status: self.status,
            status_message: &self.message,
            created_at: self.created.to_string(),
            last_updated_at: self.updated.to_string(),
            ttl: self.ttl.map(millis),
            poll_interval: self.poll_after.map(millis),
        }
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// How long the task with its result is sure to be there, from its creation on. Grows while the job is unfinished.
fn ttl(job: &Job, now: Timestamp, retention: &Retention) -> Option<Duration> {
    if job.pinned {
        return None;
    }
    let kept = retention.output.min(retention.record);
    // No longer than what is kept, or an unfinished task would be older than its life before the first step.
    let step = TTL_STEP.min(kept).max(Duration::from_secs(1)).as_secs();
    let lived = job.finished_at().unwrap_or(now).since(job.submitted_at).as_secs();
    Some(kept + Duration::from_secs(lived / step * step))
}

/// State, title, and what is known of the rest. Says nothing that changes with the clock alone.
fn message(view: &JobView, waits_for: Option<&str>) -> String {
    let title = status::title(&view.job);
    if let Some(outcome) = view.job.outcome() {
        return format!("{}: {title}", OutcomeBrief::from(outcome).line());
    }
    let mut text = format!("{}: {title}", view.job.state.in_words());
    if let Some(percent) = percent(view) {
        text += &format!(", {percent}% done");
    }
    if let Some(position) = view.position.filter(|position| position.jobs() > 0) {
        text += &format!(", {position} before it in the queue");
    }
    if let Some(estimate) = view.estimate.filter(|_| view.job.state.name() == StateName::Running) {
        let seconds = status::seconds;
        text += &format!("; like jobs took {} to {} s", seconds(estimate.low), seconds(estimate.high));
    }
    if let Some(waits_for) = waits_for {
        text += &format!("; {waits_for}");
    }
    text
}

/// The error of a call that came to nothing.
pub(super) fn error(job: &Job) -> Option<Value> {
    let outcome = job.outcome().filter(|outcome| Ending::of(outcome) == Ending::Error)?;
    let message = OutcomeBrief::from(outcome).line();
    let data =
        json!({ "job": job.id, "reason": outcome.reason, "next": format!("job_read {{\"job\":\"{}\"}}", job.id) });
    Some(json!({ "code": ErrorCode::Internal.number(), "message": message, "data": data }))
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
