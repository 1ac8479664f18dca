//! One attempt, from its claim to the durable record of its end.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::Job;
use longshore_domain::job::{Event, JobKind, JobSpec};
use longshore_domain::store::ClaimedJob;
use tokio::sync::OwnedSemaphorePermit;

use crate::ending::Ending;
use crate::inner::Inner;
use crate::keeping::{self, Flushing};
use crate::{command, fixture, process};

/// Pause before a slot is used again after the machine refused to start a process.
const SPAWN_PAUSE: Duration = Duration::from_secs(1);

/// Runs a claimed job, then whatever its slot takes over, until nothing is ready.
pub(crate) async fn run(inner: Arc<Inner>, claimed: ClaimedJob, slot: OwnedSemaphorePermit) {
    let mut next = Some(claimed);
    while let Some(claimed) = next.take() {
        if !inner.begin(&claimed.job) {
            tracing::warn!(job.id = %claimed.job.id, "a claim came too late: others were told that it never began");
            break;
        }
        inner.announce(claimed.job.id);
        let flushing = Flushing::start(&inner, &claimed.job);
        let Some(ending) = unless_closing(&inner, start(&inner, &claimed)).await else { return };
        flushing.stop().await;
        next = conclude(&inner, &claimed.job, ending).await;
    }
    inner.give_back(slot);
}

/// Follows an attempt that an earlier process of this node had started, then its slot's successors.
pub(crate) async fn resume(inner: Arc<Inner>, job: Job, slot: Option<OwnedSemaphorePermit>) {
    let flushing = Flushing::start(&inner, &job);
    let Some(ending) = unless_closing(&inner, take_up(&inner, &job)).await else { return };
    flushing.stop().await;
    let next = conclude(&inner, &job, ending).await;
    match (next, slot) {
        (Some(claimed), Some(slot)) => Box::pin(run(inner, claimed, slot)).await,
        (Some(claimed), None) => give_up_claim(&inner, &claimed.job).await,
        (None, Some(slot)) => inner.give_back(slot),
        (None, None) => {}
    }
}

async fn start<'a>(inner: &'a Arc<Inner>, claimed: &'a ClaimedJob) -> Ending<'a> {
    match &claimed.spec {
        JobSpec::Command(spec) => command::run(inner, &claimed.job, spec).await,
        JobSpec::Fixture(spec) => fixture::run(inner, &claimed.job, spec).await,
    }
}

async fn take_up<'a>(inner: &'a Arc<Inner>, job: &'a Job) -> Ending<'a> {
    match job.kind {
        JobKind::Command => command::take_up(inner, job).await,
        JobKind::Fixture => fixture::take_up(inner, job).await,
    }
}

/// Lets go of an attempt when the engine closes: the next engine takes it up.
async fn unless_closing<T>(inner: &Inner, following: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        ending = following => Some(ending),
        () = inner.closing.cancelled() => None,
    }
}

/// Makes the end durable, then removes the traces that proved it. Returns the job that takes over the slot.
async fn conclude(inner: &Arc<Inner>, job: &Job, ending: Ending<'_>) -> Option<ClaimedJob> {
    let Ending { event, starting, shim, pause } = ending;
    inner.over(job.id);
    if pause {
        tokio::select! {
            () = tokio::time::sleep(SPAWN_PAUSE) => {}
            () = inner.closing.cancelled() => {}
        }
    }
    let start = async {
        if let Some(starting) = starting {
            starting.await;
        }
    };
    let end = async {
        match keeping::finish(inner, job, &event).await {
            true => inner.record_end(job.id, event, true).await,
            false => (false, vec![]),
        }
    };
    let ((), (stored, mut claimed)) = tokio::join!(biased; start, end);
    // An end that an engine which closes did not store is the next one's: till then it counts as live, so that its lease is
    // kept.
    if stored || !inner.closing.is_cancelled() {
        inner.unfollow(job.id);
    }
    if stored && job.kind == JobKind::Command {
        process::forget(&inner.settings.run_dir, job.number, job.attempt);
    }
    drop(shim);
    inner.hub.tell(job.id);
    claimed.pop()
}

async fn give_up_claim(inner: &Arc<Inner>, job: &Job) {
    let event = Event::GivenBack { token: job.attempt, reason: "no slot was free".into() };
    if let Err(error) = inner.record(job.id, event).await {
        tracing::warn!(job.id = %job.id, %error, "a claim could not be given back");
    }
}
