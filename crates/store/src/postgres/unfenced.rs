//! A fault that is planted on purpose, in no build but that with which the cluster test proves its checker: whoever reports
//! the end of an attempt is believed, whatever has become of its lease.

use std::env;

use longshore_domain::id::{JobNumber, NodeId, Nonce};
use longshore_domain::job::{Event, JobState, Lease, Run, StateName};
use longshore_domain::time::Timestamp;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};

/// What somebody who knows what such a build does sets to this.
const CONSENT: (&str, &str) = ("LONGSHORE_UNFENCED", "I want my jobs to be corrupted");

/// Keeps such a build from being used by mistake.
#[expect(clippy::disallowed_methods, reason = "no setting: nobody is to find it")]
pub(super) fn guard() -> Attempted<()> {
    if env::var(CONSENT.0).is_ok_and(|consent| consent == CONSENT.1) {
        tracing::error!("THIS BUILD CORRUPTS JOBS: reports are believed without a lease");
        return Ok(());
    }
    Err(Trouble::Other("this build believes reports without a lease and is for the cluster test alone".into()))
}

/// Has the job look as if whoever reports its end held the lease.
pub(super) fn believe(desk: &mut Desk<'_>, number: JobNumber, event: &Event, now: Timestamp) -> Attempted<()> {
    let Event::Ended { token, .. } = event else { return Ok(()) };
    let job = desk.job(number)?;
    let holds = job.state.lease().is_some_and(|lease| lease.token == *token);
    // One that stands in line could be claimed by the same transaction.
    if holds || job.state.name() == StateName::Queued {
        return Ok(());
    }
    let lease =
        Lease { holder: NodeId::new(now, 0), token: *token, until: now, nonce: Nonce::new(0), boot: String::new() };
    let run = Run { started_at: now, process: None, deadline_at: None };
    desk.mark(number, |job| {
        tracing::error!(job.id = %job.id, attempt = token.0, "a report without a lease is believed");
        job.state = JobState::Running { lease, run };
        job.attempt = *token;
    })
    .map(drop)
}
