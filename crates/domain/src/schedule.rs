//! Jobs that come by themselves, again and again, at the times of a calendar.

use serde::{Deserialize, Serialize};

use crate::access::Principal;
use crate::id::{JobId, ScheduleId};
use crate::job::{JobSpec, QueueName, RetryPolicy};
use crate::label::Labels;
use crate::time::Timestamp;

/// Most schedules that a store has.
pub const SCHEDULES_MAX: usize = 1000;

/// A job that is submitted anew at each time of its calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name to everybody.
    pub id: ScheduleId,
    /// Grows by one with each change; 0 before it is on record.
    pub version: u64,
    /// Whose jobs it makes.
    pub principal: Principal,
    /// Its name among those of its owner; its jobs have it too.
    pub name: String,
    /// When it fires.
    pub calendar: Calendar,
    /// What if the job before has not ended.
    pub overlap: Overlap,
    /// What its jobs do.
    pub template: Template,
    /// When it was made.
    pub made_at: Timestamp,
    /// Whether and when it fires next.
    pub state: ScheduleState,
    /// The newest job that it made.
    pub last: Option<Firing>,
    /// The newest time that it passed over because the job before had not ended.
    pub skipped_at: Option<Timestamp>,
}

/// Times that come again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The times as a cron expression.
    pub cron: String,
    /// Name of the time zone in which they are meant, e.g. `Europe/Berlin`, or `UTC`.
    pub time_zone: String,
}

/// What a schedule does at a time at which the job before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It passes that time over.
    #[default]
    Skip,
    /// It makes another job.
    Allow,
}

/// Whether and when a schedule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "name")]
pub enum ScheduleState {
    /// At this instant for the next time.
    Active {
        /// The instant.
        next_at: Timestamp,
    },
    /// Not until somebody resumes it.
    Paused,
    /// Never again: its calendar has no more times.
    Over,
}

/// What the jobs of a schedule do, and where they stand in line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What they do.
    pub spec: JobSpec,
    /// The line they stand in.
    pub queue: QueueName,
    /// What the node must have that runs them.
    pub requires: Labels,
    /// Higher runs first.
    pub priority: i16,
    /// When another attempt may follow a failed one.
    pub retry: RetryPolicy,
}

/// A job that a schedule made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// The time of the calendar that it was made for.
    pub due_at: Timestamp,
    /// The job.
    pub job: JobId,
}

/// Variable in which a job of a schedule finds the time of the calendar that it was made for, as RFC 3339 in UTC.
pub const SCHEDULED_AT: &str = "LONGSHORE_SCHEDULED_AT";

impl ScheduleState {
    /// Active until that instant, or over if there is none.
    pub fn until(next_at: Option<Timestamp>) -> Self {
        next_at.map_or(Self::Over, |next_at| Self::Active { next_at })
    }

    /// When it fires next.
    pub fn next_at(self) -> Option<Timestamp> {
        match self {
            Self::Active { next_at } => Some(next_at),
            Self::Paused | Self::Over => None,
        }
    }
}

impl Schedule {
    /// The schedule after it made a job for that time, and waits for the next one.
    #[must_use]
    pub fn fired(self, due_at: Timestamp, job: JobId, next_at: Option<Timestamp>) -> Self {
        Self { last: Some(Firing { due_at, job }), state: ScheduleState::until(next_at), ..self }
    }

    /// The schedule after it passed that time over, and waits for the next one.
    #[must_use]
    pub fn skipped(self, due_at: Timestamp, next_at: Option<Timestamp>) -> Self {
        Self { skipped_at: Some(due_at), state: ScheduleState::until(next_at), ..self }
    }
}
