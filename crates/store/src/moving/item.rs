//! What moves.

use std::time::Duration;

use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::{EventSeq, JobNumber};
use longshore_domain::job::{EventRecord, Job, Question};
use longshore_domain::schedule::Schedule;
use longshore_domain::store::Queue;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One thing that moves. As JSON on one line, it is a line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The highest numbers given.
    Marks(Marks),
    /// A queue and its limit.
    Queue(Queue),
    /// A job and all that belongs to it.
    Job(Box<MovedJob>),
    /// What a chat was told.
    Chat(Told),
    /// How long like jobs took.
    Samples(Samples),
    /// A schedule.
    Schedule(Box<Schedule>),
}

/// The highest numbers given: they are never given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// To a job.
    pub job: JobNumber,
    /// To a line of history.
    pub event: EventSeq,
}

/// A job and all that belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MovedJob {
    /// The job as it stands.
    pub job: Job,
    /// What it would do, word for word.
    pub spec: Box<RawValue>,
    /// Its history.
    pub events: Vec<EventRecord>,
    /// What it asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<MovedQuestion>,
    /// Its idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<MovedKey>,
    /// Jobs that wait for it and have not been told of its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependents: Vec<JobNumber>,
    /// It has ended, and its dependents are to be told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
    /// Place of its end in the history, where its chat is to hear of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EventSeq>,
    /// Its artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
}

/// A question, and its place in the order of asking.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MovedQuestion {
    /// Its place.
    pub place: u64,
    /// What was asked and answered.
    pub question: Question,
}

/// An idempotency key of a job's principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MovedKey {
    /// The key.
    pub key: String,
    /// Digest of what was asked for under it.
    pub digest: Digest,
}

/// How far a chat was told of the ends of its jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Principal of the jobs.
    pub owner: String,
    /// The chat.
    pub conversation: String,
    /// Place in the history of the newest end that it was told.
    pub end: EventSeq,
}

/// How long the newest successes of like jobs took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Samples {
    /// What they have in common.
    pub likeness: u64,
    /// Oldest first, in milliseconds.
    pub took_ms: Vec<u64>,
}

impl Samples {
    pub(crate) fn new(likeness: i64, took: &[Duration]) -> Self {
        let millis = |took: &Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self { likeness: likeness as u64, took_ms: took.iter().map(millis).collect() }
    }
}
