//! When and where jobs ran, as the history has it, beside what was asked for.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use longshore_domain::job::{EventKind, EventRecord, StateName};
use longshore_domain::{JobId, Timestamp};

use crate::plan::{NARROW_PLACES, Plan};
use crate::record::Record;

/// Claims that came too early, or at the wrong place.
pub(crate) fn broken(record: &Record, plans: &HashMap<JobId, &Plan>) -> Vec<String> {
    let mut found = vec![];
    let mut submitted = HashMap::<JobId, Timestamp>::new();
    let mut succeeded = HashSet::<JobId>::new();
    let mut narrow = HashSet::<JobId>::new();
    for line in &record.history {
        let Some(plan) = plans.get(&line.job) else { continue };
        if line.kind == EventKind::Submitted {
            submitted.insert(line.job, line.at);
        }
        if line.kind == EventKind::Claimed {
            let waited = line.at.since(submitted[&line.job]);
            found.extend(
                misplaced(record, plan, line, waited, &succeeded).map(|fault| format!("{}: {fault}", line.job)),
            );
        }
        if line.state == StateName::Finished && has_succeeded(record, line.job) {
            succeeded.insert(line.job);
        }
        if plan.narrow {
            match line.state.is_live() {
                true => narrow.insert(line.job),
                false => narrow.remove(&line.job),
            };
            if narrow.len() > NARROW_PLACES {
                found.push(format!("{} of a queue with {NARROW_PLACES} places run at {}", narrow.len(), line.seq));
            }
        }
    }
    found
}

/// What is wrong with a claim.
fn misplaced(
    record: &Record,
    plan: &Plan,
    claim: &EventRecord,
    waited: Duration,
    succeeded: &HashSet<JobId>,
) -> Option<String> {
    let holder = claim.detail.as_deref().unwrap_or_default();
    if let Some(name) = &plan.requires
        && record.nodes.get(name).is_none_or(|node| node.to_string() != holder)
    {
        return Some(format!("{holder} took it, which is not {name}"));
    }
    if waited < Duration::from_millis(plan.delay_ms) {
        return Some(format!("it was taken {waited:?} after it was submitted"));
    }
    let earlier = plan.after.as_ref()?;
    let is_over = earlier.parse().is_ok_and(|earlier| succeeded.contains(&earlier));
    (!is_over).then(|| format!("it was taken before {earlier} had succeeded"))
}

fn has_succeeded(record: &Record, job: JobId) -> bool {
    let outcome = record.jobs.get(&job).and_then(|job| job.outcome());
    outcome.is_some_and(|outcome| outcome.is_success())
}
