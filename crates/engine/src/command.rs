//! Runs commands: each in a shim, which is followed from its start to the report of its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::{CommandSpec, Event, JobState, LeftoverProcess, ProcessIdentity, Refusal};
use longshore_domain::store::StoreError;
use longshore_domain::{Job, Timestamp};
use tokio::time::Instant;

use crate::deadline;
use crate::ending::{Ending, Starting};
use crate::inner::Inner;
use crate::process::{self, AttemptPlan, Found, ShimLink, ShimReport, Traces};

/// Starts are stored this much later, so that one whose end follows at once shares its commit.
const START_HELD: Duration = Duration::from_millis(1);
/// Pause before a store that is away is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Starts a claimed command and follows it to its end.
pub(crate) async fn run<'a>(inner: &'a Arc<Inner>, job: &'a Job, spec: &CommandSpec) -> Ending<'a> {
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

/// Follows a command that an earlier process of this node had started or was about to start.
pub(crate) async fn take_up<'a>(inner: &'a Arc<Inner>, job: &'a Job) -> Ending<'a> {
    let Some(lease) = job.state.lease() else { return Ending::lost(job, "the lease is gone") };
    deadline::watch(inner, job);
    let run_dir = &inner.settings.run_dir;
    if lease.boot == inner.settings.node.boot {
        let found = process::look_up(run_dir, job.number, job.attempt, lease.nonce).await;
        return follow_found(inner, job, found).await;
    }
    match process::exit_record(run_dir, job.number, job.attempt, lease.nonce).await {
        Some(report) => Ending::seen(job, report),
        None => Ending::lost(job, rebooted(inner, job)),
    }
}

fn rebooted(inner: &Inner, job: &Job) -> String {
    let before = match &job.state {
        JobState::Claimed { .. } => "just before or after it began",
        _ => "while it ran",
    };
    format!("the machine was restarted {before}; seen at {}", inner.clock.now())
}

async fn follow_found<'a>(inner: &'a Arc<Inner>, job: &'a Job, found: Found) -> Ending<'a> {
    match found {
        Found::Running(link) => follow_link(inner, job, link, job.state.run().is_some()).await,
        Found::Ended(report) => Ending::seen(job, report),
        Found::Gone => bury(inner, job).await,
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
    let mut held = pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        let report = tokio::select! {
            biased;
            () = async {
                held.as_mut().await;
                if let Some(starting) = &mut starting {
                    starting.await;
                }
            }, if starting.is_some() => {
                starting = None;
                continue;
            }
            report = link.next() => report,
        };
        match report {
            Some(ShimReport::Started { process, deadline_at, .. }) if !started => {
                started = true;
                tracing::debug!(job.id = %job.id, "command runs");
                starting = Some(Box::pin(record_start(inner, job, process, deadline_at)));
                held.as_mut().reset(Instant::now() + START_HELD);
            }
            Some(ShimReport::Started { .. }) => {}
            Some(ShimReport::Output { progress, .. }) => {
                // Whoever reads what it printed sees that it runs.
                let now = Instant::now();
                if held.deadline() > now {
                    held.as_mut().reset(now);
                }
                inner.progressed(job.id, progress);
            }
            Some(ShimReport::Ended(report)) => {
                return Ending { starting, shim: Some(link), ..Ending::seen(job, report) };
            }
            None => {
                if let Some(starting) = starting {
                    starting.await;
                }
                return look_again(inner, job, started).await;
            }
        }
    }
}

/// A store that is away is asked again, until the start is stored or the attempt is over.
async fn record_start(inner: &Arc<Inner>, job: &Job, process: ProcessIdentity, deadline_at: Option<Timestamp>) {
    let event = Event::Started { token: job.attempt, process: Some(process), deadline_at };
    loop {
        match inner.record(job.id, event.clone()).await {
            Ok(change) => return deadline::watch(inner, &change.job),
            Err(StoreError::Unavailable(error)) => {
                tracing::warn!(job.id = %job.id, %error, "the start of an attempt could not be stored yet");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(job.id = %job.id, %error, "the start of an attempt was not stored");
                if matches!(error, StoreError::Refused(Refusal::LeaseLost { .. })) {
                    inner.fence(job.id, job.attempt);
                }
                return;
            }
        }
    }
}

/// The line to the shim broke: it ended just now, or was killed.
async fn look_again<'a>(inner: &'a Arc<Inner>, job: &'a Job, started: bool) -> Ending<'a> {
    let Some(lease) = job.state.lease() else { return Ending::lost(job, "the lease is gone") };
    match process::look_up(&inner.settings.run_dir, job.number, job.attempt, lease.nonce).await {
        Found::Running(link) => Box::pin(follow_link(inner, job, link, started)).await,
        Found::Ended(report) => Ending::seen(job, report),
        Found::NeverStarted if !started => Ending::given_back(job, "its shim ended before it started"),
        Found::Gone | Found::NeverStarted => bury(inner, job).await,
    }
}

/// The shim is gone without a record: stops what it left behind, and says that the end is unknown.
async fn bury<'a>(inner: &Inner, job: &Job) -> Ending<'a> {
    let Some(lease) = job.state.lease() else { return Ending::lost(job, "the lease is gone") };
    let traces = Traces {
        nonce: lease.nonce,
        command: job.state.run().and_then(|run| run.process.clone()),
        leaf: inner.settings.leaf(job.id, job.attempt),
    };
    let leftovers = process::kill_leftovers(&traces).await;
    Ending::lost(job, format!("its shim was killed, so nobody saw how it ended{}", told(&leftovers)))
}

/// What became of processes that were still there.
fn told(leftovers: &[LeftoverProcess]) -> String {
    const NAMES_MAX: usize = 5;
    let listed = |stopped: bool, became: &str| {
        let found: Vec<_> = leftovers.iter().filter(|leftover| leftover.stopped == stopped).collect();
        let names = found.iter().take(NAMES_MAX).map(|found| format!("{} ({})", found.command, found.pid));
        let more = found.len().saturating_sub(NAMES_MAX);
        let more = (more > 0).then(|| format!("{more} more"));
        let names: Vec<_> = names.chain(more).collect();
        if names.is_empty() { String::new() } else { format!("; still there and {became}: {}", names.join(", ")) }
    };
    listed(true, "stopped") + &listed(false, "impossible to stop")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_named_with_what_became_of_it() {
        let left = |pid, stopped| LeftoverProcess { pid, command: "sleep".into(), stopped };
        assert_eq!(told(&[]), "");
        assert_eq!(told(&[left(7, true)]), "; still there and stopped: sleep (7)");
        let many: Vec<_> = (1..=7).map(|pid| left(pid, pid > 1)).collect();
        let expected = "; still there and stopped: sleep (2), sleep (3), sleep (4), sleep (5), sleep (6), 1 more\
                        ; still there and impossible to stop: sleep (1)";
        assert_eq!(told(&many), expected);
    }
}
