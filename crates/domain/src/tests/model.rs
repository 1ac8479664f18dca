//! Random histories against a plain model: what must hold whatever happens.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::machine::{answer, asking, job, lease, report, run};
use crate::access::Principal;
use crate::id::{AttemptNumber, JobId, NodeId, QuestionId};
use crate::job::*;
use crate::time::Timestamp;

fn question() -> QuestionId {
    asking(1, None).id
}

/// Events as callers send them, honest or not: tokens and questions may be wrong.
fn event() -> impl Strategy<Value = Event> {
    let token = || (0u32..4).prop_map(AttemptNumber);
    let some = || (1u128..5).prop_map(|number| asking(number, None).id);
    let asked = || prop::collection::vec((1u128..5).prop_map(|number| asking(number, None)), 0..3);
    prop_oneof![
        Just(Event::Approved { question: question(), answer: answer(true.into()) }),
        Just(Event::Denied { question: question(), answer: answer(false.into()) }),
        some().prop_map(|question| Event::Unanswered { question }),
        Just(Event::Due),
        Just(Event::DependencySucceeded { on: JobId::new(Timestamp::from_millis(0), 9) }),
        Just(Event::DependencyFailed { on: JobId::new(Timestamp::from_millis(0), 9) }),
        (1u32..5).prop_map(|next| Event::Claimed { lease: lease(next) }),
        token().prop_map(|token| Event::GivenBack { token, reason: String::new() }),
        token().prop_map(|token| Event::Started { token, process: None, deadline_at: None }),
        token().prop_map(|token| Event::Renewed { token, lease: Duration::from_secs(30) }),
        (token(), asked()).prop_map(|(token, questions)| Event::Asked { token, questions }),
        some().prop_map(|question| Event::Answered { question, answer: answer("main".into()) }),
        Just(Event::CancelRequested { by: Principal::owner(), reason: None }),
        token().prop_map(|token| Event::DeadlinePassed { token }),
        (token(), 0i32..2, any::<bool>()).prop_map(|(token, code, stopped)| Event::Ended {
            token,
            report: AttemptReport { stopped, ..report(code) },
        }),
        token().prop_map(|token| Event::Lost { token, message: String::new(), report: None }),
        token().prop_map(|token| Event::Expired { token, message: String::new(), report: None }),
    ]
}

fn start() -> impl Strategy<Value = JobState> {
    prop_oneof![
        Just(JobState::Queued),
        (0u32..3).prop_map(|after_left| JobState::Waiting { until: None, after_left }),
        (0u32..3).prop_map(|after_left| JobState::Held { question: question(), not_before: None, after_left }),
    ]
}

/// What a reader of the design would keep in mind, and nothing more.
#[derive(Default)]
struct Model {
    highest_token: u32,
    failures: u32,
    finished: Option<Outcome>,
    settled: u32,
    freed: u32,
    claims: u32,
    open: BTreeSet<QuestionId>,
}

impl Model {
    /// What is open is what was asked, less what was closed, each once.
    fn follow_questions(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Ask(question) => assert!(self.open.insert(question.id), "asked while it was open"),
                Effect::Close { question, .. } => assert!(self.open.remove(question), "closed while it was not open"),
                _ => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_in_every_history(
        first in start(),
        retries in 0u32..3,
        events in prop::collection::vec(event(), 1..60),
        steps in prop::collection::vec(0i64..400_000, 60),
    ) {
        let mut job = Job { retry: RetryPolicy::times(retries), ..job(first, 0) };
        let mut model = Model { open: job.state.open_questions().iter().copied().collect(), ..Model::default() };
        let mut clock = Timestamp::from_millis(1_790_000_000_000);
        for (event, passed) in events.into_iter().zip(steps) {
            clock = Timestamp::from_millis(clock.as_millis() + passed);
            let before = job.clone();
            let claim = matches!(event, Event::Claimed { .. });
            let expiry = matches!(event, Event::Expired { .. });
            let token = match &event {
                Event::Started { token, .. } | Event::Ended { token, .. } | Event::Lost { token, .. }
                | Event::Renewed { token, .. } | Event::Asked { token, .. } | Event::GivenBack { token, .. }
                | Event::DeadlinePassed { token } | Event::Expired { token, .. } => Some(*token),
                _ => None,
            };
            match apply(&job, event, clock) {
                Err(_) => continue,
                Ok(step) => {
                    let effects = job.advance(step, clock);
                    prop_assert!(model.finished.is_none(), "a finished job changed");
                    if let Some(token) = token {
                        let holder = before.state.lease().map(|lease| lease.token);
                        prop_assert_eq!(holder, Some(token), "a report without the live lease was accepted");
                    }
                    if expiry {
                        let until = before.state.lease().map(|lease| lease.until);
                        prop_assert!(until <= Some(clock), "a live lease was taken from its holder");
                    }
                    prop_assert_eq!(job.version, before.version + 1);
                    prop_assert!(job.attempt >= before.attempt, "a fencing number fell");
                    if claim {
                        model.claims += 1;
                        prop_assert!(before.state.lease().is_none(), "two live leases");
                        prop_assert_eq!(job.attempt.0, model.highest_token + 1);
                    }
                    model.follow_questions(&effects);
                    let open: BTreeSet<_> = job.state.open_questions().iter().copied().collect();
                    prop_assert_eq!(&model.open, &open, "the state knows other questions than the effects");
                    model.highest_token = job.attempt.0;
                    if let Some(lease) = job.state.lease() {
                        prop_assert_eq!(lease.token, job.attempt, "a live lease has the newest token");
                    }
                    let (was_live, is_live) = (before.state.lease().is_some(), job.state.lease().is_some());
                    let freed = effects.contains(&Effect::Freed);
                    prop_assert_eq!(freed, was_live && !is_live, "capacity is freed exactly when the lease ends");
                    model.freed += u32::from(freed);
                    model.failures = job.failures;
                    prop_assert!(model.failures <= retries + 1, "more attempts failed than may run");
                    let settled = effects.contains(&Effect::Settle);
                    prop_assert_eq!(settled, job.is_finished());
                    model.settled += u32::from(settled);
                    if let Some(outcome) = job.outcome() {
                        prop_assert_eq!(outcome.reason.is_some(), outcome.status == OutcomeStatus::Failed);
                        model.finished = Some(outcome.clone());
                    }
                    if let (Some(started), Some(finished)) = (job.started_at, job.finished_at()) {
                        prop_assert!(started <= finished);
                    }
                }
            }
        }
        prop_assert!(model.settled <= 1 && model.freed <= model.claims);
    }

    #[test]
    fn a_live_job_can_always_be_brought_to_an_end(lost in any::<bool>(), state in 0usize..4) {
        let (lease, run) = (lease(1), run());
        let states = [
            JobState::Claimed { lease: lease.clone() },
            JobState::Running { lease: lease.clone(), run: run.clone() },
            JobState::Asking { lease: lease.clone(), run: run.clone(), open: vec![question()] },
            JobState::Stopping { lease, run: Some(run), why: StopReason::Deadline },
        ];
        let job = job(states[state].clone(), 1);
        let token = AttemptNumber(1);
        let event = match lost {
            true => Event::Lost { token, message: String::new(), report: None },
            false => Event::Ended { token, report: report(0) },
        };
        let step = apply(&job, event, Timestamp::from_millis(1_790_000_000_001)).expect("the holder reports");
        prop_assert_eq!(step.state.name(), StateName::Finished);
    }
}

#[test]
fn holders_are_told_apart_by_token_not_by_name() {
    let node = NodeId::new(Timestamp::from_millis(0), 3);
    let claimed = JobState::Claimed { lease: Lease { holder: node, ..lease(2) } };
    let late = Event::Ended { token: AttemptNumber(1), report: report(0) };
    let refusal = apply(&job(claimed, 2), late, Timestamp::from_millis(0));
    let (token, newest, holder) = (AttemptNumber(1), AttemptNumber(2), Some(node));
    assert_eq!(refusal, Err(Refusal::LeaseLost { token, newest, holder }));
}
