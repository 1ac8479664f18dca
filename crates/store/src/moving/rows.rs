//! Rows of a database as columns by name, the same for both drivers as far as their tables are.

use longshore_domain::job::{Job, JobState, Question};
use longshore_domain::schedule::Schedule;
use longshore_domain::store::Queue;
use longshore_domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{MovedJob, Samples, Told};
use crate::columns;

/// Columns by name. Bytes are written as PostgreSQL takes them, `\x…`, in columns of [`BYTES`] only.
pub(crate) type Row = Map<String, Value>;

/// Columns of bytes, in any table.
pub(crate) const BYTES: [&str; 2] = ["digest", "samples"];

fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

fn bytes(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn text(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string(value)
}

/// What never changes about a job.
pub(crate) fn job(job: &Job) -> serde_json::Result<Row> {
    Ok(row(json!({
        "number": job.number,
        "id": job.id,
        "principal_class": columns::class_name(job.principal.class),
        "principal_name": job.principal.name,
        "conversation": job.conversation,
        "kind": job.kind.as_str(),
        "name": job.name,
        "title": job.title,
        "retry": text(&job.retry)?,
        "likeness": job.likeness as i64,
        "retry_of": job.retry_of,
        "submitted_at": job.submitted_at,
        "requires": columns::requires(&job.requires),
    })))
}

/// Where a job stands.
pub(crate) fn standing(job: &Job) -> serde_json::Result<Row> {
    let state = job.state.name();
    let (finished_at, outcome) = match &job.state {
        JobState::Finished { outcome, at } => (Some(at), Some(outcome.status.as_str())),
        _ => (None, None),
    };
    Ok(row(json!({
        "version": job.version,
        "state": state.as_str(),
        "phase": columns::phase_of(state, &job.requires),
        "content": text(&job.state)?,
        "attempt": job.attempt,
        "failures": job.failures,
        "queue": job.queue,
        "priority": job.priority,
        "started_at": job.started_at,
        "changed_at": job.changed_at,
        "due_at": job.state.due_at(),
        "finished_at": finished_at,
        "outcome": outcome,
        "pinned": job.pinned,
        "output_expired": job.output_expired,
    })))
}

/// The lines of a job's history.
pub(crate) fn events(moved: &MovedJob) -> impl Iterator<Item = Row> {
    moved.events.iter().map(|event| {
        row(json!({
            "seq": event.seq,
            "job": event.number,
            "at": event.at,
            "kind": event.kind.as_str(),
            "state": event.state.as_str(),
            "attempt": event.attempt,
            "detail": event.detail,
        }))
    })
}

/// A question of a job.
pub(crate) fn question(number: u64, job: &Job, question: &Question) -> serde_json::Result<Row> {
    Ok(row(json!({
        "number": number,
        "id": question.id,
        "job": job.number,
        "attempt": question.attempt,
        "key": question.key,
        "kind": question.kind.as_str(),
        "prompt": question.prompt,
        "schema": question.schema.as_ref().map(text).transpose()?,
        "asked_at": question.asked_at,
        "deadline_at": question.deadline_at,
        "closed_at": question.closed_at.map(Timestamp::as_millis),
        "answer": question.answer.as_ref().map(text).transpose()?,
    })))
}

/// The key of a job.
pub(crate) fn key(moved: &MovedJob) -> Option<Row> {
    let (key, principal) = (moved.key.as_ref()?, &moved.job.principal);
    Some(row(json!({
        "principal_class": columns::class_name(principal.class),
        "principal_name": principal.name,
        "key": key.key,
        "job": moved.job.number,
        "digest": bytes(key.digest.as_bytes()),
    })))
}

/// Who waits for a job.
pub(crate) fn dependencies(moved: &MovedJob) -> impl Iterator<Item = Row> {
    let job = moved.job.number;
    moved.dependents.iter().map(move |dependent| row(json!({ "job": job, "dependent": dependent })))
}

/// The artifacts of a job.
pub(crate) fn artifacts(moved: &MovedJob) -> impl Iterator<Item = Row> {
    let job = moved.job.number;
    moved.artifacts.iter().map(move |artifact| {
        row(json!({
            "job": job,
            "name": artifact.name,
            "digest": bytes(artifact.digest.as_bytes()),
            "bytes": artifact.bytes,
            "made_at": artifact.made_at,
        }))
    })
}

/// A queue.
pub(crate) fn queue(queue: &Queue) -> Row {
    row(json!({ "name": queue.name, "concurrency": queue.concurrency }))
}

/// What a chat was told.
pub(crate) fn told(told: &Told) -> Row {
    row(json!({ "principal_name": told.owner, "conversation": told.conversation, "end_seq": told.end }))
}

/// What is known of a likeness.
pub(crate) fn samples(samples: &Samples) -> Row {
    let took: Vec<u8> = samples.took_ms.iter().flat_map(|millis| millis.to_le_bytes()).collect();
    row(json!({ "likeness": samples.likeness as i64, "samples": bytes(&took) }))
}

/// A schedule.
pub(crate) fn schedule(schedule: &Schedule) -> serde_json::Result<Row> {
    Ok(row(json!({
        "id": schedule.id,
        "principal_name": schedule.principal.name,
        "name": schedule.name,
        "version": schedule.version,
        "next_at": schedule.state.next_at(),
        "content": text(schedule)?,
    })))
}
