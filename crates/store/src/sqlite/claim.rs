//! Taking ready jobs for new attempts.

use longshore_domain::id::{JobNumber, Nonce};
use longshore_domain::job::{Event, Lease};
use longshore_domain::store::Claim;
use longshore_domain::time::Timestamp;
use rusqlite::OptionalExtension;

use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use crate::draft::Taken;

/// Takes up to one ready job for each nonce, honouring the limits of the queues and what the holder has.
pub(super) fn claim(desk: &mut Desk<'_>, claim: Claim, now: Timestamp) -> Attempted<Vec<Taken>> {
    let mut taken = Vec::with_capacity(claim.nonces.len());
    if desk.draining.contains(&claim.holder) {
        return Ok(taken);
    }
    for nonce in &claim.nonces {
        let Some(number) = desk.lines.next(&claim.labels, desk.connection)? else { break };
        taken.push(claim_one(desk, number, &claim, *nonce, now)?);
    }
    Ok(taken)
}

fn claim_one(desk: &mut Desk<'_>, number: JobNumber, claim: &Claim, nonce: Nonce, now: Timestamp) -> Attempted<Taken> {
    let job = desk.take(number)?.ok_or(Trouble::Missing(number))?;
    let lease = Lease {
        holder: claim.holder,
        token: job.attempt.next(),
        until: now.plus(claim.lease),
        nonce,
        boot: claim.boot.clone(),
    };
    let change = desk.change(job, Event::Claimed { lease }, now)?;
    let change = change.map_err(|source| Trouble::NotClaimable { number, source })?;
    Ok(Taken { job: change.job, spec: read_spec(desk, number)? })
}

fn read_spec(desk: &mut Desk<'_>, number: JobNumber) -> Attempted<String> {
    let spec = desk.statements.read_spec.query_row([number.0 as i64], |row| row.get(0)).optional()?;
    spec.ok_or(Trouble::Missing(number))
}
