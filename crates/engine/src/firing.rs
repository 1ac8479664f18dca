//! Lets schedules fire. Every node does: the store lets one of them make the job of a time.

use longshore_domain::Timestamp;
use longshore_domain::fault::Fault;
use longshore_domain::schedule::{Overlap, Schedule};
use longshore_domain::store::{Fire, Fired, NewJob, StoreError};

use crate::calendar::Times;
use crate::inner::Inner;

/// Schedules that are read at once.
const BATCH_MAX: usize = 256;

/// Lets every schedule fire whose time has come; whether that could be done. Of several times that have passed, because
/// nothing ran or because the job before had not ended, the last one counts.
///
/// # Errors
/// The store's own.
pub(crate) async fn fire_due(inner: &Inner) -> Result<bool, StoreError> {
    loop {
        let present = inner.store.present(inner.clock.now()).await?;
        let due = inner.store.due_schedules(inner.clock.now(), BATCH_MAX).await?;
        let count = due.len();
        let mut all = true;
        for schedule in due {
            match Times::of(&schedule.calendar) {
                Ok(times) => fire(inner, schedule, &times, present).await?,
                Err(fault) => {
                    warn(&schedule, &fault);
                    all = false;
                }
            }
        }
        if count < BATCH_MAX || !all {
            return Ok(all);
        }
    }
}

/// Another node may know the time zone that this one does not.
fn warn(schedule: &Schedule, fault: &Fault) {
    tracing::error!(schedule = %schedule.id, name = schedule.name, "a schedule cannot fire here: {}", fault.message);
}

async fn fire(inner: &Inner, schedule: Schedule, times: &Times, present: Timestamp) -> Result<(), StoreError> {
    let Some(first) = schedule.state.next_at() else { return Ok(()) };
    let due_at = times.until(present).map_or(first, |last| last.max(first));
    let next_at = times.after(present.max(due_at));
    let fires = match overlaps(inner, &schedule).await? {
        true => Fire { schedule: schedule.skipped(due_at, next_at), job: None },
        false => {
            let id = inner.clock.new_job_id();
            let job = Some(NewJob::scheduled(&schedule, id, due_at));
            Fire { schedule: schedule.fired(due_at, id, next_at), job }
        }
    };
    let (id, name) = (fires.schedule.id, fires.schedule.name.clone());
    match inner.store.fire(fires, inner.clock.now()).await? {
        Fired::Job(job) => {
            tracing::info!(schedule = %id, name, job.id = %job.id, "a schedule fired");
            inner.ready.notify_one();
            inner.announce(job.id);
        }
        Fired::Skipped => tracing::info!(schedule = %id, name, "a schedule passed a time over: its last job goes on"),
        Fired::Not => {}
    }
    Ok(())
}

/// Whether the job before stands in the way of another.
async fn overlaps(inner: &Inner, schedule: &Schedule) -> Result<bool, StoreError> {
    let Some(last) = schedule.last.filter(|_| schedule.overlap == Overlap::Skip) else { return Ok(false) };
    Ok(inner.store.job(last.job).await?.is_some_and(|job| !job.is_finished()))
}
