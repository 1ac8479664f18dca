//! Schedules.

use longshore_domain::schedule::{Firing, Overlap, Schedule, ScheduleState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::conversion::instant;
use super::job::PrincipalBody;
use super::requests::SubmitBody;

/// Schedules.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SchedulesBody {
    /// By owner and name.
    pub(crate) schedules: Vec<ScheduleBody>,
}

/// A job that comes again and again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ScheduleBody {
    /// Its id for ever.
    pub(crate) id: String,
    /// Its name among those of its owner; its jobs have it too.
    pub(crate) name: String,
    /// `active`, `paused`, or `over` once its calendar has no more times.
    pub(crate) state: String,
    /// Its times, as a cron expression.
    pub(crate) cron: String,
    /// The time zone in which they are meant.
    pub(crate) time_zone: String,
    /// When it fires next; null unless it is active.
    #[schema(format = DateTime)]
    pub(crate) next_at: Option<String>,
    /// What if the job before has not ended: `skip` or `allow`.
    pub(crate) overlap: String,
    /// The newest job that it made.
    pub(crate) last: Option<FiringBody>,
    /// The newest time that it passed over because the job before had not ended.
    #[schema(format = DateTime)]
    pub(crate) skipped_at: Option<String>,
    /// One line that says what its jobs run.
    pub(crate) title: String,
    /// The line that its jobs stand in.
    pub(crate) queue: String,
    /// Higher runs first within its queue.
    pub(crate) priority: i16,
    /// Labels that the node must have which runs its jobs.
    pub(crate) requires: Vec<String>,
    /// Attempts allowed after the first.
    pub(crate) retries_max: u32,
    /// Whose jobs it makes.
    pub(crate) principal: PrincipalBody,
    /// When it was made.
    #[schema(format = DateTime)]
    pub(crate) made_at: String,
}

/// A job that a schedule made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FiringBody {
    /// The time that it was made for.
    #[schema(format = DateTime)]
    pub(crate) due_at: String,
    /// Id of the job.
    pub(crate) job: String,
}

impl From<Schedule> for ScheduleBody {
    fn from(schedule: Schedule) -> Self {
        let template = &schedule.template;
        Self {
            id: schedule.id.to_string(),
            state: match schedule.state {
                ScheduleState::Active { .. } => "active",
                ScheduleState::Paused => "paused",
                ScheduleState::Over => "over",
            }
            .into(),
            cron: schedule.calendar.cron,
            time_zone: schedule.calendar.time_zone,
            next_at: instant(schedule.state.next_at()),
            overlap: match schedule.overlap {
                Overlap::Skip => "skip",
                Overlap::Allow => "allow",
            }
            .into(),
            last: schedule
                .last
                .map(|Firing { due_at, job }| FiringBody { due_at: due_at.to_string(), job: job.to_string() }),
            skipped_at: instant(schedule.skipped_at),
            title: template.spec.title(),
            queue: template.queue.to_string(),
            priority: template.priority,
            requires: template.requires.iter().map(str::to_owned).collect(),
            retries_max: template.retry.retries_max,
            principal: (&schedule.principal).into(),
            made_at: schedule.made_at.to_string(),
            name: schedule.name,
        }
    }
}

/// A schedule to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewScheduleBody {
    /// Its name among those of the caller, 1 to 200 bytes.
    pub(crate) name: String,
    /// Its times: minute, hour, day of the month, month and day of the week, with seconds before them if six fields are
    /// given; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    pub(crate) cron: String,
    /// The time zone in which they are meant, e.g. `Europe/Berlin`; `UTC` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    /// What if the job before has not ended: `skip` that time (if absent), or `allow` another job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overlap: Option<String>,
    /// What its jobs do. `name`, `key`, `not_before`, `delay_ms`, `after` and `conversation` have no place here.
    pub(crate) job: SubmitBody,
}

/// Whether a schedule makes jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseBody {
    /// It makes none.
    pub(crate) paused: bool,
}
