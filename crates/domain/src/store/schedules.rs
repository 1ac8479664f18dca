//! Schedules, and the jobs that they make: one for each time, whoever looks after it and however many do.
//!
//! A schedule is written as a whole by whoever saw its last version. A job that it makes is accepted in the transaction
//! that moves it on to its next time, so that each time is used once or not at all.

use std::time::Duration;

use async_trait::async_trait;

use super::{NewJob, StoreError};
use crate::id::{JobId, ScheduleId};
use crate::job::{Job, JobSpec};
use crate::schedule::{SCHEDULED_AT, Schedule, Template};
use crate::time::Timestamp;

/// A schedule that fires, or passes its time over.
#[derive(Clone, Debug)]
pub struct Fire {
    /// The schedule as it will stand, with the version that was seen.
    pub schedule: Schedule,
    /// The job that it makes; nothing if it passes its time over.
    pub job: Option<NewJob>,
}

/// What became of a [`Fire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired {
    /// The job was accepted.
    Job(Box<Job>),
    /// The time was passed over.
    Skipped,
    /// Nothing: somebody else was first, or its time has not come.
    Not,
}

impl NewJob {
    /// The job that a schedule makes for that time of its calendar.
    pub fn scheduled(schedule: &Schedule, id: JobId, due_at: Timestamp) -> Self {
        let Template { mut spec, queue, requires, priority, retry } = schedule.template.clone();
        if let JobSpec::Command(command) = &mut spec {
            command.env.insert(SCHEDULED_AT.into(), due_at.to_string());
        }
        let name = Some(schedule.name.clone());
        Self { name, queue, requires, priority, retry, ..Self::new(id, schedule.principal.clone(), spec) }
    }
}

/// The part of the storage port that is about schedules.
#[async_trait]
pub trait ScheduleRecords: Send + Sync {
    /// Every schedule, by the name of its principal and its own.
    async fn schedules(&self) -> Result<Vec<Schedule>, StoreError>;

    /// Writes a schedule if its version is still the newest, or adds it if that is 0; whether it did. One is not added
    /// if its principal has another of that name.
    async fn write_schedule(&self, schedule: Schedule) -> Result<bool, StoreError>;

    /// Removes a schedule; whether it was there.
    async fn remove_schedule(&self, id: ScheduleId) -> Result<bool, StoreError>;

    /// Up to `limit` active schedules whose time has come, the earliest first.
    async fn due_schedules(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, StoreError>;

    /// How long until the next time of an active schedule.
    async fn next_firing(&self, now: Timestamp) -> Result<Option<Duration>, StoreError>;

    /// Moves a schedule on if its version is still the newest and its time has come, and accepts the job in the same
    /// transaction. The job has neither a key nor jobs to wait for.
    async fn fire(&self, fire: Fire, now: Timestamp) -> Result<Fired, StoreError>;

    /// The instant by the store's clock.
    async fn present(&self, now: Timestamp) -> Result<Timestamp, StoreError>;
}
