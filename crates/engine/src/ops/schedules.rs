//! Jobs that come again and again: making schedules, looking at them, pausing and removing them.

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::schedule::{Calendar, Overlap, SCHEDULES_MAX, Schedule, ScheduleState, Template};

use super::submit::Submit;
use crate::calendar::Times;
use crate::engine::Caller;
use crate::whole::whole;
use crate::{Engine, inner};

/// A schedule as a caller hands it over.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Its name among those of the caller, 1 to 200 bytes; its jobs have it too.
    pub name: String,
    /// When it fires.
    pub calendar: Calendar,
    /// What if the job before has not ended.
    pub overlap: Overlap,
    /// What its jobs do. Without a name, a time, a key and jobs to wait for: those are the schedule's.
    pub job: Submit,
}

impl Engine {
    /// Makes a schedule that fires from now on. If the caller has it already it is answered as it stands.
    ///
    /// # Errors
    /// `invalid_argument`, `too_large`; `state_conflict` if the caller has another of that name; nothing was made.
    pub async fn add_schedule(&self, caller: &Caller, new: NewSchedule) -> Result<Schedule, Fault> {
        if self.inner.draining.is_cancelled() {
            return Err(inner::stopping());
        }
        let NewSchedule { name, calendar, overlap, job } = new;
        let times = Times::of(&calendar)?;
        let submit = Submit { name: Some(name.clone()), key: None, not_before: None, after: vec![], ..job };
        let job = self.checked(caller, submit).await?;
        let made_at = self.inner.store.present(self.inner.clock.now()).await?;
        let Some(next_at) = times.after(made_at) else {
            return Err(Fault::invalid("cron", format!("`{}` never comes", calendar.cron.escape_debug())));
        };
        let schedule = Schedule {
            id: self.inner.clock.new_schedule_id(),
            version: 0,
            principal: caller.principal.clone(),
            name,
            calendar,
            overlap,
            template: Template {
                spec: job.spec,
                queue: job.queue,
                requires: job.requires,
                priority: job.priority,
                retry: job.retry,
            },
            made_at,
            state: ScheduleState::Active { next_at },
            last: None,
            skipped_at: None,
        };
        match self.same(&schedule).await? {
            Some(same) => Ok(same),
            None => self.write_schedule(schedule).await,
        }
    }

    /// The schedules that the caller may see, by owner and name.
    ///
    /// # Errors
    /// The store's own.
    pub async fn schedules(&self, caller: &Caller) -> Result<Vec<Schedule>, Fault> {
        let mut schedules = self.inner.store.schedules().await?;
        schedules.retain(|schedule| caller.principal.sees_all() || schedule.principal.name == caller.principal.name);
        Ok(schedules)
    }

    /// The schedule that `name` names: an id, or the name of one of the caller's own.
    ///
    /// # Errors
    /// `not_found`, also for one that the caller may not see.
    pub async fn schedule(&self, caller: &Caller, name: &str) -> Result<Schedule, Fault> {
        let is_meant = |schedule: &Schedule| {
            schedule.id.to_string() == name
                || (schedule.name == name && schedule.principal.name == caller.principal.name)
        };
        let found = self.schedules(caller).await?.into_iter().find(is_meant);
        found.ok_or_else(|| {
            Fault::new(FaultCode::NotFound, format!("there is no schedule `{}`", name.escape_debug()))
                .next("`longshore schedule ls` shows which there are")
        })
    }

    /// Has a schedule make no more jobs, or make them again from now on. What it made goes on.
    ///
    /// # Errors
    /// `not_found`; `state_conflict` if it changed at the same time, or has no more times.
    pub async fn pause_schedule(&self, caller: &Caller, name: &str, paused: bool) -> Result<Schedule, Fault> {
        let schedule = self.schedule(caller, name).await?;
        let state = match (schedule.state, paused) {
            (ScheduleState::Active { .. }, true) => ScheduleState::Paused,
            (ScheduleState::Paused, false) => {
                let present = self.inner.store.present(self.inner.clock.now()).await?;
                ScheduleState::until(Times::of(&schedule.calendar)?.after(present))
            }
            (ScheduleState::Over, _) => {
                return Err(Fault::new(FaultCode::StateConflict, "its calendar has no more times")
                    .next("remove it, or add another one"));
            }
            _ => return Ok(schedule),
        };
        self.write_schedule(Schedule { state, ..schedule }).await
    }

    /// Removes a schedule. The jobs that it made stay.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn remove_schedule(&self, caller: &Caller, name: &str) -> Result<Schedule, Fault> {
        let schedule = self.schedule(caller, name).await?;
        self.inner.store.remove_schedule(schedule.id).await?;
        Ok(schedule)
    }

    /// The schedule on record that is just like a new one.
    ///
    /// # Errors
    /// `state_conflict` if another one has its name, or there is no room for more.
    async fn same(&self, new: &Schedule) -> Result<Option<Schedule>, Fault> {
        let all = self.inner.store.schedules().await?;
        let room = all.len() < SCHEDULES_MAX;
        let has_its_name = |other: &Schedule| other.name == new.name && other.principal.name == new.principal.name;
        let is_like_it = |other: &Schedule| {
            (&other.calendar, other.overlap, &other.template) == (&new.calendar, new.overlap, &new.template)
        };
        match all.into_iter().find(has_its_name) {
            Some(other) if is_like_it(&other) => Ok(Some(other)),
            Some(other) => {
                let message = format!("there is another schedule `{}`", other.name.escape_debug());
                Err(Fault::new(FaultCode::StateConflict, message).next("remove it first, or choose another name"))
            }
            None if !room => {
                let message = format!("there are {SCHEDULES_MAX} schedules, not more");
                Err(Fault::new(FaultCode::StateConflict, message).next("remove some that are not needed"))
            }
            None => Ok(None),
        }
    }

    /// Writes a schedule over the version that was seen, and has its next time looked at.
    async fn write_schedule(&self, schedule: Schedule) -> Result<Schedule, Fault> {
        let (inner, written) = (std::sync::Arc::clone(&self.inner), schedule.clone());
        let done = whole(&self.inner.tasks, async move {
            let done = inner.store.write_schedule(written).await;
            inner.due.notify_one();
            done
        });
        match done.await? {
            true => Ok(Schedule { version: schedule.version + 1, ..schedule }),
            false => Err(Fault::new(FaultCode::StateConflict, "the schedule changed at the same time")
                .why("somebody else wrote it, or it fired just now")
                .next("look at it, and try again")),
        }
    }
}
