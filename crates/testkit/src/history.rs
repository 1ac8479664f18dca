//! What must hold in every history, however many nodes wrote it and whatever became of them: read from its lines alone.

use std::collections::HashMap;

use longshore_domain::id::{AttemptNumber, EventSeq, JobId, JobNumber};
use longshore_domain::job::{EventKind, EventRecord, StateName};

/// A line that must never be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Its place.
    pub seq: EventSeq,
    /// Its job.
    pub job: JobNumber,
    /// What is wrong with it.
    pub rule: Rule,
}

/// What a line can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Places grow from line to line.
    Order,
    /// The first line of a job, and no other, says that it was submitted.
    Beginning,
    /// Nothing follows a finish.
    End,
    /// A job is claimed while nobody holds a lease on it.
    OneLease,
    /// A claim has the number after that of the attempt before.
    Number,
    /// Between two claims every line has the number of the first.
    Token,
    /// Only who holds a lease reports.
    Lease,
    /// A line leads where its event leads.
    State,
    /// A job that may not run again is not claimed once an attempt has begun or was lost.
    SecondRun,
}

/// Every breach in a whole history, in its order. `may_run_again` says which jobs allow a second run.
pub fn breaches(history: &[EventRecord], may_run_again: impl Fn(JobId) -> bool) -> Vec<Breach> {
    let mut found = vec![];
    let mut jobs: HashMap<JobId, Story> = HashMap::new();
    let mut last = EventSeq(0);
    for line in history {
        let mut rules = vec![];
        if line.seq <= last {
            rules.push(Rule::Order);
        }
        last = last.max(line.seq);
        match jobs.get_mut(&line.job) {
            Some(story) => story.go_on(line, may_run_again(line.job), &mut rules),
            None => {
                if line.kind != EventKind::Submitted {
                    rules.push(Rule::Beginning);
                }
                if line.attempt != AttemptNumber(0) {
                    rules.push(Rule::Token);
                }
                jobs.insert(line.job, Story { state: line.state, attempt: line.attempt, began: false });
            }
        }
        found.extend(rules.into_iter().map(|rule| Breach { seq: line.seq, job: line.number, rule }));
    }
    found
}

/// A job as its lines so far have it.
struct Story {
    state: StateName,
    attempt: AttemptNumber,
    /// Some attempt has begun, or nobody knows whether it had.
    began: bool,
}

impl Story {
    fn go_on(&mut self, line: &EventRecord, may_run_again: bool, rules: &mut Vec<Rule>) {
        let mut check = |holds: bool, rule| {
            if !holds {
                rules.push(rule);
            }
        };
        let live = self.state.is_live();
        check(line.kind != EventKind::Submitted, Rule::Beginning);
        check(self.state != StateName::Finished, Rule::End);
        check(leads(self.state, line.kind, line.state), Rule::State);
        match line.kind {
            EventKind::Claimed => {
                check(!live, Rule::OneLease);
                check(line.attempt == self.attempt.next(), Rule::Number);
                check(may_run_again || !self.began, Rule::SecondRun);
            }
            kind => {
                check(line.attempt == self.attempt, Rule::Token);
                check(live || !is_report(kind), Rule::Lease);
            }
        }
        self.began |= matches!(line.kind, EventKind::Started | EventKind::Ended | EventKind::Lost | EventKind::Expired);
        (self.state, self.attempt) = (line.state, self.attempt.max(line.attempt));
    }
}

/// Whether it is told by whoever holds the lease, or of its holder.
fn is_report(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::GivenBack
            | EventKind::Started
            | EventKind::Renewed
            | EventKind::Asked
            | EventKind::DeadlinePassed
            | EventKind::Ended
            | EventKind::Lost
            | EventKind::Expired
    )
}

/// Whether an event leads from one state to the other, as far as the history can tell.
fn leads(before: StateName, kind: EventKind, after: StateName) -> bool {
    use StateName::{Asking, Claimed, Finished, Held, Queued, Running, Stopping, Waiting};
    let (from, to): (&[StateName], &[StateName]) = match kind {
        EventKind::Submitted => (&[], &[]),
        EventKind::Approved => (&[Held], &[Waiting, Queued]),
        EventKind::Denied => (&[Held], &[Finished]),
        EventKind::Unanswered => (&[Held, Asking], &[Finished, Asking, Running]),
        EventKind::Due => (&[Waiting], &[Queued]),
        EventKind::DependencySucceeded => (&[Held, Waiting], &[Held, Waiting, Queued]),
        EventKind::DependencyFailed => (&[Held, Waiting], &[Finished]),
        EventKind::Claimed => (&[Queued], &[Claimed]),
        EventKind::GivenBack => (&[Claimed, Stopping], &[Queued, Finished]),
        EventKind::Started => (&[Claimed, Stopping], &[Running, Stopping]),
        EventKind::Renewed => (&[Claimed, Running, Asking, Stopping], &[Claimed, Running, Asking, Stopping]),
        EventKind::Asked => (&[Running, Asking], &[Asking]),
        EventKind::Answered => (&[Asking], &[Asking, Running]),
        EventKind::CancelRequested => {
            (&[Held, Waiting, Queued, Claimed, Running, Asking, Stopping], &[Finished, Stopping])
        }
        EventKind::DeadlinePassed => (&[Running, Asking], &[Stopping]),
        EventKind::Ended | EventKind::Lost | EventKind::Expired => {
            (&[Claimed, Running, Asking, Stopping], &[Waiting, Finished])
        }
    };
    from.contains(&before) && to.contains(&after)
}
