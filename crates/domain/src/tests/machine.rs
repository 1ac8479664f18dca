//! The whole transition table, compared with the reviewed text file beside the machine.

use std::fmt::Write;
use std::time::Duration;

use crate::access::Principal;
use crate::id::{AttemptNumber, JobId, JobNumber, NodeId, Nonce, QuestionId};
use crate::job::*;
use crate::label::Labels;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const LEASE: Duration = Duration::from_secs(30);

pub(super) fn job(state: JobState, attempt: u32) -> Job {
    Job {
        id: JobId::new(NOW, 1),
        number: JobNumber(1),
        version: 1,
        kind: JobKind::Command,
        principal: Principal::owner(),
        conversation: None,
        name: None,
        title: "true".into(),
        queue: QueueName::default(),
        requires: Labels::default(),
        priority: 0,
        retry: RetryPolicy::default(),
        likeness: 0,
        retry_of: None,
        state,
        attempt: AttemptNumber(attempt),
        failures: 0,
        submitted_at: NOW,
        started_at: None,
        changed_at: NOW,
        pinned: false,
        output_expired: false,
    }
}

pub(super) fn lease(token: u32) -> Lease {
    Lease {
        holder: NodeId::new(NOW, 1),
        token: AttemptNumber(token),
        until: NOW.plus(LEASE),
        nonce: Nonce::new(1),
        boot: "boot".into(),
    }
}

pub(super) fn run() -> Run {
    Run { started_at: NOW, process: None, deadline_at: None }
}

pub(super) fn report(exit_code: i32) -> AttemptReport {
    AttemptReport { exit_code: Some(exit_code), started_at: NOW, finished_at: NOW, ..AttemptReport::default() }
}

fn question() -> QuestionId {
    QuestionId::new(NOW, 1)
}

/// A question to ask under a name made of `number`.
pub(super) fn asking(number: u128, deadline: Option<Duration>) -> NewQuestion {
    let (kind, prompt) = (QuestionKind::Text, "Which branch?".into());
    let spec = QuestionSpec { key: format!("key{number}"), kind, prompt, schema: None, deadline };
    NewQuestion { id: QuestionId::new(NOW, number), spec }
}

pub(super) fn answer(value: serde_json::Value) -> Answer {
    let decision = Decision::Accepted(value);
    Answer { decision, decider: Principal::owner(), channel: "cli".into(), reason: None }
}

fn states() -> Vec<(&'static str, JobState)> {
    let lease = || lease(1);
    let later = Some(NOW.plus(Duration::from_secs(60)));
    let cancelled = || StopReason::Cancelled { reason: None };
    vec![
        ("held", JobState::Held { question: question(), not_before: None, after_left: 0 }),
        ("held, after 1", JobState::Held { question: question(), not_before: None, after_left: 1 }),
        ("waiting, due", JobState::Waiting { until: Some(NOW), after_left: 0 }),
        ("waiting, later", JobState::Waiting { until: later, after_left: 0 }),
        ("waiting, after 1", JobState::Waiting { until: None, after_left: 1 }),
        ("waiting, after 2", JobState::Waiting { until: None, after_left: 2 }),
        ("queued", JobState::Queued),
        ("claimed", JobState::Claimed { lease: lease() }),
        ("running", JobState::Running { lease: lease(), run: run() }),
        ("asking", JobState::Asking { lease: lease(), run: run(), open: vec![question()] }),
        (
            "asking twice",
            JobState::Asking { lease: lease(), run: run(), open: vec![question(), QuestionId::new(NOW, 4)] },
        ),
        ("stopping, unstarted", JobState::Stopping { lease: lease(), run: None, why: cancelled() }),
        ("stopping, cancel", JobState::Stopping { lease: lease(), run: Some(run()), why: cancelled() }),
        ("stopping, deadline", JobState::Stopping { lease: lease(), run: Some(run()), why: StopReason::Deadline }),
        ("finished", JobState::Finished { outcome: Outcome::cancelled(None), at: NOW }),
    ]
}

/// The one event of the table that happens when the lease has run out.
const EXPIRED: &str = "expired";

fn events() -> Vec<(&'static str, Event)> {
    let token = AttemptNumber(1);
    let by = Principal::owner();
    let stopped = AttemptReport { exit_code: None, signal: Some(15), stopped: true, ..report(0) };
    let overdue = AttemptReport { deadline_passed: true, stopped: false, ..stopped.clone() };
    let unspawned = AttemptReport { spawn_error: Some("no such file".into()), exit_code: None, ..report(0) };
    let lost = |token| Event::Lost { token, message: "shim gone".into(), report: None };
    let expired = |token| Event::Expired { token, message: "node gone".into(), report: None };
    let asked = |questions| Event::Asked { token, questions };
    let started = |token| Event::Started { token, process: None, deadline_at: None };
    vec![
        ("approved", Event::Approved { question: question(), answer: answer(true.into()) }),
        (
            "approved, other question",
            Event::Approved { question: QuestionId::new(NOW, 2), answer: answer(true.into()) },
        ),
        ("denied", Event::Denied { question: question(), answer: answer(false.into()) }),
        ("unanswered", Event::Unanswered { question: question() }),
        ("due", Event::Due),
        ("dependency_succeeded", Event::DependencySucceeded { on: JobId::new(NOW, 2) }),
        ("dependency_failed", Event::DependencyFailed { on: JobId::new(NOW, 2) }),
        ("claimed, next token", Event::Claimed { lease: lease(1) }),
        ("claimed, wrong token", Event::Claimed { lease: lease(9) }),
        ("given_back", Event::GivenBack { token, reason: "no room".into() }),
        ("started", started(token)),
        ("started, old token", started(AttemptNumber(0))),
        ("renewed", Event::Renewed { token, lease: Duration::from_secs(60) }),
        ("asked", asked(vec![asking(2, None)])),
        ("asked, two in time", asked(vec![asking(2, None), asking(3, Some(Duration::from_secs(60)))])),
        ("asked again", asked(vec![asking(1, None)])),
        ("asked nothing", asked(vec![])),
        ("answered", Event::Answered { question: question(), answer: answer("main".into()) }),
        ("answered, other", Event::Answered { question: QuestionId::new(NOW, 2), answer: answer("main".into()) }),
        ("cancel_requested", Event::CancelRequested { by, reason: None }),
        ("cancel_requested, stranger", Event::CancelRequested { by: Principal::agent("stranger"), reason: None }),
        ("deadline_passed", Event::DeadlinePassed { token }),
        ("ended, exit 0", Event::Ended { token, report: report(0) }),
        ("ended, exit 3", Event::Ended { token, report: report(3) }),
        ("ended, stopped", Event::Ended { token, report: stopped }),
        ("ended, overdue", Event::Ended { token, report: overdue }),
        ("ended, unspawned", Event::Ended { token, report: unspawned }),
        ("ended, old token", Event::Ended { token: AttemptNumber(0), report: report(0) }),
        ("lost", lost(token)),
        ("lost, old token", lost(AttemptNumber(0))),
        (EXPIRED, expired(token)),
        ("expired, lease live", expired(token)),
        ("expired, old token", expired(AttemptNumber(0))),
    ]
}

fn describe(state: &JobState) -> String {
    match state {
        JobState::Waiting { until, after_left } => {
            let until = if until.is_some() { ", timed" } else { "" };
            let after = if *after_left > 0 { format!(", after {after_left}") } else { String::new() };
            format!("waiting{until}{after}")
        }
        JobState::Stopping { why: StopReason::Deadline, .. } => "stopping(deadline)".into(),
        JobState::Stopping { .. } => "stopping(cancel)".into(),
        JobState::Finished { outcome, .. } => match outcome.reason {
            Some(reason) => format!("finished {}({reason})", outcome.status.as_str()),
            None => format!("finished {}", outcome.status.as_str()),
        },
        JobState::Asking { open, .. } if open.len() > 1 => format!("asking, {}", open.len()),
        other => other.name().to_string(),
    }
}

fn effects(step: &Step) -> String {
    let names = step.effects.iter().map(|effect| match effect {
        Effect::Ready => "ready",
        Effect::Timer(_) => "timer",
        Effect::Stop(_) => "stop",
        Effect::Freed => "freed",
        Effect::Settle => "settle",
        Effect::Learn(_) => "learn",
        Effect::Ask(_) => "ask",
        Effect::Close { answer: Some(_), .. } => "answer",
        Effect::Close { answer: None, .. } => "close",
    });
    names.collect::<Vec<_>>().join(" ")
}

fn table() -> String {
    let mut text = String::from(
        "# What each event makes of each state, and the effects that follow. Written from `apply` by the tests:\n\
         # review its diff like code. `(again)` is a job that allows one retry; `answer` closes a question with an\n\
         # answer, `close` without one.\n",
    );
    for (name, state) in states() {
        writeln!(text, "\n{name}").expect("a string takes everything");
        let mut refused = vec![];
        for (event_name, event) in events() {
            let attempt = if state.name() >= StateName::Claimed { 1 } else { 0 };
            let once = job(state.clone(), attempt);
            let again = Job { retry: RetryPolicy::times(1), ..once.clone() };
            let now = if event_name == EXPIRED { NOW.plus(LEASE) } else { NOW };
            match line(&once, &event, now) {
                Err(refusal) => refused.push((refusal, event_name)),
                Ok(first) => {
                    writeln!(text, "  {event_name:<22} {first}").expect("a string takes everything");
                    let second = line(&again, &event, now).expect("retries do not change what is allowed");
                    if second != first {
                        writeln!(text, "  {event_name:<22} {second}  (again)").expect("a string takes everything");
                    }
                }
            }
        }
        for refusal in [
            "finished",
            "not now",
            "lease lost",
            "lease live",
            "other question",
            "already",
            "not due",
            "too many questions",
            "unseen",
        ] {
            let names: Vec<_> = refused.iter().filter(|(of, _)| *of == refusal).map(|(_, name)| *name).collect();
            if !names.is_empty() {
                writeln!(text, "  refused ({refusal}): {}", names.join("; ")).expect("a string takes everything");
            }
        }
    }
    text
}

fn line(job: &Job, event: &Event, now: Timestamp) -> Result<String, &'static str> {
    match apply(job, event.clone(), now) {
        Ok(step) => Ok(format!("-> {:<28} {}", describe(&step.state), effects(&step)).trim_end().to_owned()),
        Err(Refusal::Finished) => Err("finished"),
        Err(Refusal::NotNow { .. }) => Err("not now"),
        Err(Refusal::LeaseLost { .. }) => Err("lease lost"),
        Err(Refusal::LeaseLive { .. }) => Err("lease live"),
        Err(Refusal::OtherQuestion) => Err("other question"),
        Err(Refusal::Already) => Err("already"),
        Err(Refusal::NotDue(_)) => Err("not due"),
        Err(Refusal::TooManyQuestions) => Err("too many questions"),
        Err(Refusal::Unseen) => Err("unseen"),
    }
}

#[test]
fn the_transition_table_is_the_reviewed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/job/transitions.txt");
    let found = table();
    let reviewed = std::fs::read_to_string(path).unwrap_or_default();
    if found != reviewed {
        std::fs::write(path, &found).expect("the source tree is writable in tests");
        panic!("the state machine differs from {path}, which was rewritten: review its diff and commit it");
    }
}

#[test]
fn what_really_happened_wins_over_an_ordered_stop() {
    let stopping =
        JobState::Stopping { lease: lease(1), run: Some(run()), why: StopReason::Cancelled { reason: None } };
    let step = apply(&job(stopping, 1), Event::Ended { token: AttemptNumber(1), report: report(0) }, NOW);
    let JobState::Finished { outcome, .. } = step.expect("the holder reports").state else { panic!("finished") };
    assert_eq!(outcome.status, OutcomeStatus::Succeeded);
}

#[test]
fn a_given_back_attempt_burns_its_number_but_no_retry() {
    let mut job = job(JobState::Queued, 0);
    for round in 1..5 {
        let step = apply(&job, Event::Claimed { lease: lease(round) }, NOW).expect("queued");
        job.advance(step, NOW);
        let back = Event::GivenBack { token: AttemptNumber(round), reason: "no room".into() };
        let step = apply(&job, back, NOW).expect("claimed");
        job.advance(step, NOW);
        assert_eq!((job.attempt, job.failures), (AttemptNumber(round), 0));
    }
}

#[test]
fn a_lease_expires_at_its_end_and_not_before() {
    let job = job(JobState::Running { lease: lease(1), run: run() }, 1);
    let until = NOW.plus(LEASE);
    let expired = || Event::Expired { token: AttemptNumber(1), message: "node gone".into(), report: None };
    let early = apply(&job, expired(), until.minus(Duration::from_millis(1)));
    assert_eq!(early, Err(Refusal::LeaseLive { holder: lease(1).holder, until }));
    let lost = Event::Lost { token: AttemptNumber(1), message: "node gone".into(), report: None };
    assert_eq!(apply(&job, expired(), until), apply(&job, lost, until));
}

#[test]
fn a_holder_whose_lease_ran_out_reports_until_it_is_given_up() {
    let mut job = job(JobState::Running { lease: lease(1), run: run() }, 1);
    job.retry = RetryPolicy::times(1);
    let late = NOW.plus(LEASE * 2);
    let ended = Event::Ended { token: AttemptNumber(1), report: report(0) };
    assert_eq!(apply(&job, ended.clone(), late).map(|step| step.state.name()), Ok(StateName::Finished));
    let given_up = Event::Expired { token: AttemptNumber(1), message: "node gone".into(), report: None };
    let step = apply(&job, given_up, late).expect("it ran out");
    job.advance(step, late);
    let refusal = Refusal::LeaseLost { token: AttemptNumber(1), newest: AttemptNumber(1), holder: None };
    assert_eq!(apply(&job, ended.clone(), late), Err(refusal));
    let other = NodeId::new(NOW, 2);
    job.state = JobState::Claimed { lease: Lease { holder: other, ..lease(2) } };
    job.attempt = AttemptNumber(2);
    let refusal = apply(&job, ended, late).expect_err("another holds the lease");
    assert_eq!(refusal.to_string(), format!("attempt 1 does not hold the lease; {other} holds that of attempt 2"));
}

#[test]
fn a_job_starts_after_it_was_submitted_and_before_it_ends_whatever_its_node_says() {
    let claimed = job(JobState::Claimed { lease: lease(1) }, 1);
    let now = NOW.plus(Duration::from_secs(9));
    let (hour, between) = (Duration::from_secs(3600), NOW.plus(Duration::from_secs(3)));
    for (said, kept) in [(NOW.minus(hour), NOW), (between, between), (NOW.plus(hour), now)] {
        let report = AttemptReport { started_at: said, ..report(0) };
        let step = apply(&claimed, Event::Ended { token: AttemptNumber(1), report }, now).expect("the holder reports");
        assert_eq!(step.started_at, Some(kept));
    }
}

#[test]
fn a_finished_job_took_what_its_report_says_whenever_that_was_heard() {
    let seconds = Duration::from_secs;
    let mut job = job(JobState::Running { lease: lease(1), run: run() }, 1);
    assert_eq!(job.elapsed(NOW), None);
    job.started_at = Some(NOW);
    assert_eq!(job.elapsed(NOW.plus(seconds(3))), Some(seconds(3)));
    let heard = NOW.plus(seconds(9));
    for (seen, took) in [(Some(AttemptReport { ran: seconds(1), ..report(0) }), seconds(1)), (None, seconds(9))] {
        let outcome = Outcome::failed(FailReason::Lost, "").with_report(seen);
        let ended = Job { state: JobState::Finished { outcome, at: heard }, ..job.clone() };
        assert_eq!(ended.elapsed(heard.plus(seconds(90))), Some(took));
    }
}

#[test]
fn the_open_questions_of_a_job_are_bounded() {
    let mut job = job(JobState::Running { lease: lease(1), run: run() }, 1);
    let asked = |numbers: std::ops::Range<u128>| Event::Asked {
        token: AttemptNumber(1),
        questions: numbers.map(|number| asking(number, None)).collect(),
    };
    let most = OPEN_QUESTIONS_MAX as u128;
    assert_eq!(apply(&job, asked(0..most + 1), NOW), Err(Refusal::TooManyQuestions));
    let step = apply(&job, asked(0..most), NOW).expect("there is room");
    job.advance(step, NOW);
    assert_eq!(apply(&job, asked(most..most + 1), NOW), Err(Refusal::TooManyQuestions));
}

#[test]
fn one_ask_has_no_key_twice() {
    let job = job(JobState::Running { lease: lease(1), run: run() }, 1);
    let twin = NewQuestion { id: QuestionId::new(NOW, 2), ..asking(1, None) };
    let asked = Event::Asked { token: AttemptNumber(1), questions: vec![asking(1, None), twin] };
    assert_eq!(apply(&job, asked, NOW), Err(Refusal::Already));
}
