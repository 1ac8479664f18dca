//! One attempt, from its claim to the durable record of its end.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::Job;
use longshore_domain::job::{AttemptReport, Event, JobSpec, ProcessIdentity};
use longshore_domain::store::ClaimedJob;
use tokio::sync::OwnedSemaphorePermit;

use crate::inner::Inner;
use crate::process::{self, AttemptPlan, Found, ShimLink, ShimReport};

/// Pause before a slot is used again after the machine refused to start a process.
const SPAWN_PAUSE: Duration = Duration::from_secs(1);

/// Runs a claimed job, then whatever its slot takes over, until nothing is ready.
pub(crate) async fn run(inner: Arc<Inner>, claimed: ClaimedJob, slot: OwnedSemaphorePermit) {
    let mut next = Some(claimed);
    while let Some(claimed) = next.take() {
        inner.follow(&claimed.job);
        inner.announce(claimed.job.id);
        let Some(ending) = unless_closing(&inner, start(&inner, &claimed)).await else { return };
        next = conclude(&inner, &claimed.job, ending).await;
    }
    inner.give_back(slot);
}

/// Follows an attempt that an earlier process of this node had started, then its slot's successors.
pub(crate) async fn resume(inner: Arc<Inner>, job: Job, found: Found, slot: Option<OwnedSemaphorePermit>) {
    let Some(ending) = unless_closing(&inner, follow_found(&inner, &job, found)).await else { return };
    let next = conclude(&inner, &job, ending).await;
    match (next, slot) {
        (Some(claimed), Some(slot)) => Box::pin(run(inner, claimed, slot)).await,
        (Some(claimed), None) => give_up_claim(&inner, &claimed.job).await,
        (None, Some(slot)) => inner.give_back(slot),
        (None, None) => {}
    }
}

/// Lets go of an attempt when the engine closes: its shim goes on, and the next engine takes it up.
async fn unless_closing<T>(inner: &Inner, following: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        ending = following => Some(ending),
        () = inner.closing.cancelled() => None,
    }
}

type Starting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How an attempt came to its end, and a start that may still be on its way to the disk.
struct Ending<'a> {
    event: Event,
    starting: Option<Starting<'a>>,
    /// The machine could not start it: leave it alone for a while.
    pause: bool,
}

impl Ending<'_> {
    fn seen(job: &Job, report: AttemptReport) -> Self {
        Self { event: Event::Ended { token: job.attempt, report }, starting: None, pause: false }
    }

    fn lost(job: &Job, message: impl Into<String>) -> Self {
        let event = Event::Lost { token: job.attempt, message: message.into(), report: None };
        Self { event, starting: None, pause: false }
    }

    fn given_back(job: &Job, reason: impl Into<String>) -> Self {
        Self { event: Event::GivenBack { token: job.attempt, reason: reason.into() }, starting: None, pause: true }
    }
}

async fn start<'a>(inner: &'a Arc<Inner>, claimed: &'a ClaimedJob) -> Ending<'a> {
    let ClaimedJob { job, spec: JobSpec::Command(spec) } = claimed;
    let Some(lease) = job.state.lease() else { return Ending::given_back(job, "claimed without a lease") };
    let output_path = inner.settings.output_path(job, job.attempt);
    if let Some(Err(error)) = output_path.parent().map(std::fs::create_dir_all) {
        return Ending::given_back(job, format!("the folder of its output cannot be made: {error}"));
    }
    let plan = AttemptPlan {
        job: job.id,
        number: job.number,
        attempt: job.attempt,
        nonce: lease.nonce,
        boot: lease.boot.clone(),
        spec: spec.clone(),
        output_path,
    };
    match inner.spawner.spawn(plan).await {
        Ok(link) => follow_link(inner, job, link, false).await,
        Err(error) if error.never_started() => {
            tracing::warn!(job.id = %job.id, %error, "an attempt could not be started");
            Ending::given_back(job, error.to_string())
        }
        Err(error) => {
            tracing::warn!(job.id = %job.id, %error, "the start of an attempt is uncertain");
            let found = process::look_up(&inner.settings.run_dir, job.number, job.attempt, lease.nonce).await;
            follow_found(inner, job, found).await
        }
    }
}

async fn follow_found<'a>(inner: &'a Arc<Inner>, job: &'a Job, found: Found) -> Ending<'a> {
    match found {
        Found::Running(link) => follow_link(inner, job, link, job.state.run().is_some()).await,
        Found::Ended(report) => Ending::seen(job, report),
        Found::Gone => bury(job).await,
        Found::NeverStarted if job.state.run().is_none() => {
            Ending::given_back(job, "the daemon ended before it started")
        }
        Found::NeverStarted => Ending::lost(job, "the traces of its process are gone, so nobody saw how it ended"),
    }
}

/// Passes on what the shim says until the attempt is over. The start is stored while the command already runs.
async fn follow_link<'a>(inner: &'a Arc<Inner>, job: &'a Job, mut link: ShimLink, mut started: bool) -> Ending<'a> {
    inner.connected(job.id, link.control());
    let mut starting: Option<Starting<'a>> = None;
    loop {
        let report = tokio::select! {
            biased;
            () = async { if let Some(starting) = &mut starting { starting.await } }, if starting.is_some() => {
                starting = None;
                continue;
            }
            report = link.next() => report,
        };
        match report {
            Some(ShimReport::Started { process, deadline_at, .. }) if !started => {
                started = true;
                starting = Some(Box::pin(record_start(inner, job, process, deadline_at)));
            }
            Some(ShimReport::Started { .. }) => {}
            Some(ShimReport::Output { progress, .. }) => inner.progressed(job.id, progress),
            Some(ShimReport::Ended(report)) => return Ending { starting, ..Ending::seen(job, report) },
            None => {
                if let Some(starting) = starting {
                    starting.await;
                }
                return look_again(inner, job, started).await;
            }
        }
    }
}

async fn record_start(
    inner: &Inner,
    job: &Job,
    process: ProcessIdentity,
    deadline_at: Option<longshore_domain::Timestamp>,
) {
    let event = Event::Started { token: job.attempt, process: Some(process), deadline_at };
    if let Err(error) = inner.record(job.id, event).await {
        tracing::warn!(job.id = %job.id, %error, "the start of an attempt was not stored");
    }
}

/// The line to the shim broke: it ended just now, or was killed.
async fn look_again<'a>(inner: &'a Arc<Inner>, job: &'a Job, started: bool) -> Ending<'a> {
    let Some(lease) = job.state.lease() else { return Ending::lost(job, "the lease is gone") };
    match process::look_up(&inner.settings.run_dir, job.number, job.attempt, lease.nonce).await {
        Found::Running(link) => Box::pin(follow_link(inner, job, link, started)).await,
        Found::Ended(report) => Ending::seen(job, report),
        Found::NeverStarted if !started => Ending::given_back(job, "its shim ended before it started"),
        Found::Gone | Found::NeverStarted => bury(job).await,
    }
}

/// The shim is gone without a record: stops what it left behind, and says that the end is unknown.
async fn bury<'a>(job: &Job) -> Ending<'a> {
    let Some(lease) = job.state.lease() else { return Ending::lost(job, "the lease is gone") };
    let process = job.state.run().and_then(|run| run.process.clone());
    let leftovers = process::kill_leftovers(lease.nonce, process).await;
    let stopped = match leftovers.len() {
        0 => String::new(),
        count => format!("; {count} of its processes were still there and were stopped"),
    };
    Ending::lost(job, format!("its shim was killed, so nobody saw how it ended{stopped}"))
}

/// Makes the end durable, then removes the traces that proved it. Returns the job that takes over the slot.
async fn conclude(inner: &Arc<Inner>, job: &Job, ending: Ending<'_>) -> Option<ClaimedJob> {
    let Ending { event, starting, pause } = ending;
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
    let ((), (stored, mut claimed)) = tokio::join!(biased; start, inner.record_end(job.id, event, true));
    inner.unfollow(job.id);
    if stored {
        process::forget(&inner.settings.run_dir, job.number, job.attempt);
    }
    inner.hub.tell(job.id);
    claimed.pop()
}

async fn give_up_claim(inner: &Inner, job: &Job) {
    let event = Event::GivenBack { token: job.attempt, reason: "no slot was free".into() };
    if let Err(error) = inner.record(job.id, event).await {
        tracing::warn!(job.id = %job.id, %error, "a claim could not be given back");
    }
}
