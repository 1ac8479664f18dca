//! The state machine. The table that [`apply`] amounts to is kept in `transitions.txt` and reviewed as text.

use std::time::Duration;

use super::event::Event;
use super::lease::{Lease, Run};
use super::outcome::{AttemptReport, FailReason, Outcome, OutcomeStatus};
use super::question::{Answer, NewQuestion, Question};
use super::state::{JobState, StateName, StopReason};
use super::{EventKind, Job};
use crate::id::{AttemptNumber, NodeId, QuestionId};
use crate::time::Timestamp;

/// Most questions of one job that are open at once.
pub const OPEN_QUESTIONS_MAX: usize = 64;

/// What an event makes of a job: the parts of the row that change, and what is to be done once they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The new state.
    pub state: JobState,
    /// Number of the newest attempt.
    pub attempt: AttemptNumber,
    /// Attempts that ran and failed.
    pub failures: u32,
    /// When the first attempt began to run.
    pub started_at: Option<Timestamp>,
    /// What is to be done after the commit, in this order. Each is repeatable or fenced by its token.
    pub effects: Vec<Effect>,
}

/// Something to be done because a job changed, never before the change is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The queue has a job that can be claimed.
    Ready,
    /// A job or the deadline of a question falls due at this instant.
    Timer(Timestamp),
    /// The attempt must be stopped. The state `stopping` keeps it wanted until the stop is proved.
    Stop(AttemptNumber),
    /// Capacity became free.
    Freed,
    /// Jobs that wait for this one must be told. Kept in the outbox until all were.
    Settle,
    /// A success took this long: remember it for estimates.
    Learn(Duration),
    /// The question is open from now on; written together with the change.
    Ask(Box<Question>),
    /// The question is open no more; written together with the change.
    Close {
        /// The question.
        question: QuestionId,
        /// The answer; absent if nobody answered.
        answer: Option<Box<Answer>>,
    },
}

/// Why an event changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The job has ended; nothing changes it.
    #[error("the job is already finished")]
    Finished,
    /// The event does not belong to this state.
    #[error("a job that is {state} cannot take `{}`", event.as_str())]
    NotNow {
        /// Where the job stands.
        state: StateName,
        /// What was tried.
        event: EventKind,
    },
    /// The caller's attempt does not hold the lease, or never did.
    #[error("attempt {token} does not hold the lease; {}", who_holds(*newest, *holder))]
    LeaseLost {
        /// The caller's token.
        token: AttemptNumber,
        /// The newest attempt of the job.
        newest: AttemptNumber,
        /// Who holds the lease of the newest attempt, if anybody does.
        holder: Option<NodeId>,
    },
    /// The lease has not run out yet.
    #[error("{holder} holds the lease until {until}")]
    LeaseLive {
        /// Who holds it.
        holder: NodeId,
        /// Until when.
        until: Timestamp,
    },
    /// The question is not one that the job waits for.
    #[error("the job does not wait for this question")]
    OtherQuestion,
    /// The job has as many open questions as one may have.
    #[error("a job may have {OPEN_QUESTIONS_MAX} open questions, not more")]
    TooManyQuestions,
    /// What was asked for is already so.
    #[error("nothing is left to do: it was asked for before")]
    Already,
    /// The time has not come yet.
    #[error("not due before {0}")]
    NotDue(Timestamp),
    /// Whoever asks may not see the job: to be answered like an unknown one.
    #[error("there is no such job")]
    Unseen,
}

fn who_holds(newest: AttemptNumber, holder: Option<NodeId>) -> String {
    match holder {
        Some(holder) => format!("{holder} holds that of attempt {newest}"),
        None => format!("the newest attempt is {newest}, and nobody holds a lease"),
    }
}

/// The state in which a job begins, and what is to be done about it.
///
/// `after_left` counts the jobs it still waits for.
pub fn initial_state(not_before: Option<Timestamp>, after_left: u32, now: Timestamp) -> (JobState, Vec<Effect>) {
    match not_before.filter(|&at| at > now) {
        None if after_left == 0 => (JobState::Queued, vec![Effect::Ready]),
        Some(at) if after_left == 0 => (JobState::Waiting { until: Some(at), after_left }, vec![Effect::Timer(at)]),
        until => (JobState::Waiting { until, after_left }, vec![]),
    }
}

/// The only place where a job changes state. Decides and does nothing else.
///
/// # Errors
/// The reason why the event changes nothing. In particular no event changes a finished job, and no report counts
/// unless its token is that of the live lease.
///
/// Source: the state table in `ARCHITECTURE.md`.
pub fn apply(job: &Job, event: Event, now: Timestamp) -> Result<Step, Refusal> {
    let answer = match &event {
        Event::Approved { answer, .. } | Event::Denied { answer, .. } | Event::Answered { answer, .. } => {
            Some(Box::new(answer.clone()))
        }
        _ => None,
    };
    let mut step = decide(job, event, now)?;
    close_questions(job, answer, &mut step);
    Ok(step)
}

/// Whatever leads out of a state closes the questions that the next one does not wait for: none stays open behind it.
fn close_questions(job: &Job, answer: Option<Box<Answer>>, step: &mut Step) {
    let open = step.state.open_questions();
    let closed = job.state.open_questions().iter().filter(|question| !open.contains(question));
    let closes: Vec<_> = closed.map(|&question| Effect::Close { question, answer: answer.clone() }).collect();
    step.effects.extend(closes);
}

fn decide(job: &Job, event: Event, now: Timestamp) -> Result<Step, Refusal> {
    let kind = event.kind();
    let state = job.state.name();
    let not_now = || Err(Refusal::NotNow { state, event: kind });
    check_seen(job, &event)?;
    if state == StateName::Finished {
        return Err(Refusal::Finished);
    }
    check_token(job, &event)?;
    match event {
        Event::Approved { question, .. } => approved(job, question, now),
        Event::Denied { question, answer } => {
            check_held(job, question)?;
            let message = answer.reason.map_or("denied".into(), |reason| format!("denied: {reason}"));
            Ok(finish(job, Outcome::failed(FailReason::Denied, message), now))
        }
        Event::Unanswered { question } if state == StateName::Held => {
            check_held(job, question)?;
            Ok(finish(job, Outcome::failed(FailReason::Unanswered, "nobody answered in time"), now))
        }
        Event::Answered { question, .. } | Event::Unanswered { question } => answered(job, question),
        Event::Due => due(job, now),
        Event::DependencySucceeded { .. } => dependency_succeeded(job, now),
        Event::DependencyFailed { on } => match &job.state {
            JobState::Held { after_left: 1.., .. } | JobState::Waiting { after_left: 1.., .. } => {
                let message = format!("{on}, which it waits for, did not succeed");
                let outcome = Outcome { cause: Some(on), ..Outcome::failed(FailReason::Blocked, message) };
                Ok(finish(job, outcome, now))
            }
            _ => not_now(),
        },
        Event::Claimed { lease } => match state {
            StateName::Queued => claimed(job, lease),
            _ => not_now(),
        },
        Event::GivenBack { .. } => match &job.state {
            JobState::Claimed { .. } => Ok(stay(job, JobState::Queued, vec![Effect::Freed, Effect::Ready])),
            JobState::Stopping { run: None, why: StopReason::Cancelled { reason }, .. } => {
                Ok(finish(job, Outcome::cancelled(reason.clone()), now))
            }
            _ => not_now(),
        },
        Event::Started { process, deadline_at, .. } => match &job.state {
            JobState::Claimed { lease } => {
                let run = Run { started_at: now, process, deadline_at };
                Ok(begin(job, JobState::Running { lease: lease.clone(), run }, now))
            }
            JobState::Stopping { lease, run: None, why } => {
                let run = Some(Run { started_at: now, process, deadline_at });
                let mut step = begin(job, JobState::Stopping { lease: lease.clone(), run, why: why.clone() }, now);
                step.effects.push(Effect::Stop(job.attempt));
                Ok(step)
            }
            _ => not_now(),
        },
        Event::Renewed { lease, .. } => Ok(renewed(job, now.plus(lease))),
        Event::Asked { token, questions } => asked(job, token, questions, now),
        Event::CancelRequested { reason, .. } => cancel_requested(job, reason, now),
        Event::DeadlinePassed { .. } => match &job.state {
            JobState::Running { lease, run } | JobState::Asking { lease, run, .. } => {
                Ok(stop(job, lease, Some(run.clone()), StopReason::Deadline))
            }
            JobState::Stopping { .. } => Err(Refusal::Already),
            _ => not_now(),
        },
        Event::Ended { report, .. } => Ok(ended(job, report, now)),
        Event::Lost { message, report, .. } => Ok(lost(job, message, report, now)),
        Event::Expired { message, report, .. } => {
            check_expired(job, now)?;
            Ok(lost(job, message, report, now))
        }
    }
}

/// Refuses callers to whom the job is as unknown as none, before anything else is said of it.
fn check_seen(job: &Job, event: &Event) -> Result<(), Refusal> {
    match event {
        Event::CancelRequested { by, .. } if !by.may_see(job) => Err(Refusal::Unseen),
        _ => Ok(()),
    }
}

/// Refuses reports that do not come from the holder of the live lease (design rule 5).
fn check_token(job: &Job, event: &Event) -> Result<(), Refusal> {
    let (Event::GivenBack { token, .. }
    | Event::Started { token, .. }
    | Event::Renewed { token, .. }
    | Event::Asked { token, .. }
    | Event::DeadlinePassed { token }
    | Event::Ended { token, .. }
    | Event::Lost { token, .. }
    | Event::Expired { token, .. }) = event
    else {
        return Ok(());
    };
    match job.state.lease() {
        Some(lease) if lease.token == *token => Ok(()),
        _ => Err(lease_lost(job, *token)),
    }
}

fn lease_lost(job: &Job, token: AttemptNumber) -> Refusal {
    Refusal::LeaseLost { token, newest: job.attempt, holder: job.state.lease().map(|lease| lease.holder) }
}

/// A live lease is nobody's but its holder's.
fn check_expired(job: &Job, now: Timestamp) -> Result<(), Refusal> {
    match job.state.lease() {
        Some(lease) if now < lease.until => Err(Refusal::LeaseLive { holder: lease.holder, until: lease.until }),
        _ => Ok(()),
    }
}

fn check_held(job: &Job, asked: QuestionId) -> Result<(), Refusal> {
    match &job.state {
        JobState::Held { question, .. } if *question == asked => Ok(()),
        _ => Err(Refusal::OtherQuestion),
    }
}

fn stay(job: &Job, state: JobState, effects: Vec<Effect>) -> Step {
    Step { state, attempt: job.attempt, failures: job.failures, started_at: job.started_at, effects }
}

fn begin(job: &Job, state: JobState, now: Timestamp) -> Step {
    Step { started_at: job.started_at.or(Some(now)), ..stay(job, state, vec![]) }
}

fn finish(job: &Job, outcome: Outcome, now: Timestamp) -> Step {
    let mut effects = vec![];
    if job.state.name().is_live() {
        effects.push(Effect::Freed);
    }
    if let (OutcomeStatus::Succeeded, Some(report)) = (outcome.status, &outcome.report) {
        effects.push(Effect::Learn(report.ran));
    }
    effects.push(Effect::Settle);
    let at = job.started_at.map_or(now, |started| now.max(started));
    stay(job, JobState::Finished { outcome, at }, effects)
}

fn approved(job: &Job, asked: QuestionId, now: Timestamp) -> Result<Step, Refusal> {
    check_held(job, asked)?;
    let JobState::Held { not_before, after_left, .. } = &job.state else { return Err(Refusal::OtherQuestion) };
    let (state, effects) = initial_state(*not_before, *after_left, now);
    Ok(stay(job, state, effects))
}

fn due(job: &Job, now: Timestamp) -> Result<Step, Refusal> {
    match &job.state {
        JobState::Waiting { until: Some(until), after_left: 0 } if *until > now => Err(Refusal::NotDue(*until)),
        JobState::Waiting { after_left: 0, .. } => Ok(stay(job, JobState::Queued, vec![Effect::Ready])),
        state => Err(Refusal::NotNow { state: state.name(), event: EventKind::Due }),
    }
}

fn dependency_succeeded(job: &Job, now: Timestamp) -> Result<Step, Refusal> {
    match &job.state {
        JobState::Waiting { until, after_left } if *after_left > 0 => {
            let (state, effects) = initial_state(*until, after_left - 1, now);
            Ok(stay(job, state, effects))
        }
        JobState::Held { question, not_before, after_left } if *after_left > 0 => {
            let (question, not_before, after_left) = (*question, *not_before, after_left - 1);
            Ok(stay(job, JobState::Held { question, not_before, after_left }, vec![]))
        }
        state => Err(Refusal::NotNow { state: state.name(), event: EventKind::DependencySucceeded }),
    }
}

fn claimed(job: &Job, lease: Lease) -> Result<Step, Refusal> {
    if lease.token != job.attempt.next() {
        return Err(lease_lost(job, lease.token));
    }
    let attempt = lease.token;
    Ok(Step { attempt, ..stay(job, JobState::Claimed { lease }, vec![]) })
}

fn renewed(job: &Job, until: Timestamp) -> Step {
    let mut state = job.state.clone();
    if let JobState::Claimed { lease }
    | JobState::Running { lease, .. }
    | JobState::Asking { lease, .. }
    | JobState::Stopping { lease, .. } = &mut state
    {
        lease.until = lease.until.max(until);
    }
    stay(job, state, vec![])
}

fn asked(job: &Job, token: AttemptNumber, asked: Vec<NewQuestion>, now: Timestamp) -> Result<Step, Refusal> {
    let (lease, run, mut open) = match &job.state {
        JobState::Running { lease, run } => (lease, run, vec![]),
        JobState::Asking { lease, run, open } => (lease, run, open.clone()),
        state => return Err(Refusal::NotNow { state: state.name(), event: EventKind::Asked }),
    };
    if asked.is_empty() {
        return Err(Refusal::Already);
    }
    if open.len() + asked.len() > OPEN_QUESTIONS_MAX {
        return Err(Refusal::TooManyQuestions);
    }
    for (at, new) in asked.iter().enumerate() {
        if open.contains(&new.id) || asked[..at].iter().any(|other| other.spec.key == new.spec.key) {
            return Err(Refusal::Already);
        }
        open.push(new.id);
    }
    let questions: Vec<_> = asked.into_iter().map(|new| Question::new(new, job.id, token, now)).collect();
    let deadline = questions.iter().filter_map(|question| question.deadline_at).min();
    let asks = questions.into_iter().map(|question| Effect::Ask(Box::new(question)));
    let effects = asks.chain(deadline.map(Effect::Timer)).collect();
    Ok(stay(job, JobState::Asking { lease: lease.clone(), run: run.clone(), open }, effects))
}

fn answered(job: &Job, question: QuestionId) -> Result<Step, Refusal> {
    let JobState::Asking { lease, run, open } = &job.state else { return Err(Refusal::OtherQuestion) };
    if !open.contains(&question) {
        return Err(Refusal::OtherQuestion);
    }
    let open: Vec<_> = open.iter().copied().filter(|other| *other != question).collect();
    let (lease, run) = (lease.clone(), run.clone());
    let state = if open.is_empty() { JobState::Running { lease, run } } else { JobState::Asking { lease, run, open } };
    Ok(stay(job, state, vec![]))
}

fn cancel_requested(job: &Job, reason: Option<String>, now: Timestamp) -> Result<Step, Refusal> {
    let why = StopReason::Cancelled { reason: reason.clone() };
    match &job.state {
        JobState::Held { .. } | JobState::Waiting { .. } | JobState::Queued => {
            Ok(finish(job, Outcome::cancelled(reason), now))
        }
        JobState::Claimed { lease } => Ok(stop(job, lease, None, why)),
        JobState::Running { lease, run } | JobState::Asking { lease, run, .. } => {
            Ok(stop(job, lease, Some(run.clone()), why))
        }
        // It is being stopped already; but after a deadline another attempt might follow, which nobody wants any more.
        JobState::Stopping { lease, run, why: StopReason::Deadline } => {
            Ok(stay(job, JobState::Stopping { lease: lease.clone(), run: run.clone(), why }, vec![]))
        }
        JobState::Stopping { .. } => Err(Refusal::Already),
        JobState::Finished { .. } => Err(Refusal::Finished),
    }
}

fn stop(job: &Job, lease: &Lease, run: Option<Run>, why: StopReason) -> Step {
    stay(job, JobState::Stopping { lease: lease.clone(), run, why }, vec![Effect::Stop(job.attempt)])
}

/// The end of the attempt was seen. If it had been ordered, what really happened wins when it came first.
fn ended(job: &Job, report: AttemptReport, now: Timestamp) -> Step {
    // By the clock of its node, which need not be the one that counts here.
    let began = report.started_at.max(job.submitted_at).min(now);
    let started_at = job.started_at.or(report.spawn_error.is_none().then_some(began));
    let step = match &job.state {
        JobState::Stopping { why: StopReason::Cancelled { reason }, .. } => {
            let outcome = match report.stopped {
                true => Outcome::cancelled(reason.clone()).with_report(Some(report)),
                false => report.into_outcome(),
            };
            finish(job, outcome, now)
        }
        JobState::Stopping { why: StopReason::Deadline, .. } if report.stopped => {
            fail_or_retry(job, AttemptReport { deadline_passed: true, ..report }.into_outcome(), now)
        }
        _ => fail_or_retry(job, report.into_outcome(), now),
    };
    Step { started_at, ..step }
}

fn lost(job: &Job, message: String, report: Option<AttemptReport>, now: Timestamp) -> Step {
    match &job.state {
        JobState::Stopping { why: StopReason::Cancelled { reason }, .. } => {
            finish(job, Outcome::cancelled(reason.clone()).with_report(report), now)
        }
        _ => fail_or_retry(job, Outcome::failed(FailReason::Lost, message).with_report(report), now),
    }
}

fn fail_or_retry(job: &Job, outcome: Outcome, now: Timestamp) -> Step {
    let Some(reason) = outcome.reason else { return finish(job, outcome, now) };
    let failures = job.failures.saturating_add(1);
    if !job.retry.allows(failures, reason) {
        return Step { failures, ..finish(job, outcome, now) };
    }
    let until = now.plus(job.retry.wait_after(failures, job.number.0));
    let state = JobState::Waiting { until: Some(until), after_left: 0 };
    Step { failures, ..stay(job, state, vec![Effect::Freed, Effect::Timer(until)]) }
}
