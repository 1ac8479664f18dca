//! Plays fixtures: scripts for tests that sleep, ask and end.
//!
//! A script has no memory of its own. Whoever plays it begins at its start and skips what the store knows to be over:
//! questions by their keys, time by the stored start and the instants at which questions were closed. So it goes on
//! after a restart at any point.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::FailReason;
use longshore_domain::job::{
    AttemptReport, Event, FixtureSpec, FixtureStep, JobSpec, JobState, NewQuestion, Question, QuestionSpec,
    ReportedEnd, Run,
};
use longshore_domain::store::StoreError;
use longshore_domain::{Job, Timestamp};

use crate::ending::Ending;
use crate::inner::Inner;

/// Pause before a store that failed is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Plays the script of a claimed job to its end.
pub(crate) async fn run<'a>(inner: &Arc<Inner>, job: &Job, spec: &FixtureSpec) -> Ending<'a> {
    let run = match begin(inner, job, spec).await {
        Ok(run) => run,
        Err(error) => return Ending::given_back(job, format!("its start was not stored: {error}")),
    };
    let seen = tokio::select! {
        biased;
        () = stopped(inner, job) => AttemptReport { stopped: true, ..AttemptReport::default() },
        () = overdue(inner, &run) => AttemptReport { deadline_passed: true, ..AttemptReport::default() },
        end = play(inner, job, spec, &run) => AttemptReport { end: Some(end), ..AttemptReport::default() },
    };
    let finished_at = inner.clock.now();
    let (started_at, ran) = (run.started_at, finished_at.since(run.started_at));
    Ending::seen(job, AttemptReport { started_at, finished_at, ran, ..seen })
}

/// Goes on with a script that an earlier process of this node played.
pub(crate) async fn take_up<'a>(inner: &Arc<Inner>, job: &Job) -> Ending<'a> {
    match patiently(job, || inner.store.spec(job.id)).await {
        Some(JobSpec::Fixture(spec)) => run(inner, job, &spec).await,
        _ => Ending::lost(job, "its script is not on record"),
    }
}

/// The attempt as it began, now or before.
async fn begin(inner: &Arc<Inner>, job: &Job, spec: &FixtureSpec) -> Result<Run, StoreError> {
    if let Some(run) = job.state.run() {
        return Ok(run.clone());
    }
    let started_at = inner.clock.now();
    let deadline_at = spec.deadline.map(|deadline| started_at.plus(deadline));
    let event = Event::Started { token: job.attempt, process: None, deadline_at };
    let change = inner.record(job.id, event).await?;
    Ok(change.job.state.run().cloned().unwrap_or(Run { started_at, process: None, deadline_at }))
}

/// Returns once the attempt is to end, or is over already.
async fn stopped(inner: &Arc<Inner>, job: &Job) {
    let mut news = inner.hub.listen(job.id);
    while goes_on(inner, job).await {
        news.changed().await;
    }
}

async fn goes_on(inner: &Arc<Inner>, job: &Job) -> bool {
    let now = patiently(job, || inner.store.job(job.id)).await;
    now.is_some_and(|now| {
        now.attempt == job.attempt && matches!(now.state, JobState::Running { .. } | JobState::Asking { .. })
    })
}

async fn overdue(inner: &Arc<Inner>, run: &Run) {
    match run.deadline_at {
        Some(at) => sleep_until(inner, at).await,
        None => std::future::pending().await,
    }
}

/// Plays the script from its start.
async fn play(inner: &Arc<Inner>, job: &Job, spec: &FixtureSpec, run: &Run) -> ReportedEnd {
    let mut at = run.started_at;
    for step in &spec.steps {
        match step {
            FixtureStep::Sleep(length) => {
                at = at.plus(*length);
                sleep_until(inner, at).await;
            }
            FixtureStep::Ask(asked) => match answers(inner, job, asked).await {
                Ok(closed_at) => at = at.max(closed_at),
                Err(Unanswered(key)) => {
                    let message = format!("nobody answered `{key}` in time");
                    return ReportedEnd::Failed { reason: FailReason::Unanswered, message };
                }
            },
        }
    }
    spec.end.reported()
}

/// The key of a question that ran out.
struct Unanswered(String);

/// Asks unless it was asked before, and waits until all is answered; returns when the last was.
async fn answers(inner: &Arc<Inner>, job: &Job, asked: &[QuestionSpec]) -> Result<Timestamp, Unanswered> {
    let mut news = inner.hub.listen(job.id);
    loop {
        let questions = patiently(job, || inner.store.questions(job.id)).await;
        let mine: Vec<_> = questions.into_iter().filter(|question| is_of(question, job, asked)).collect();
        if mine.is_empty() {
            ask(inner, job, asked).await;
            continue;
        }
        if let Some(question) = mine.iter().find(|question| !question.is_open() && question.answer.is_none()) {
            // What ends an attempt closes its questions too. While it goes on, it was the deadline that closed this one.
            if goes_on(inner, job).await {
                return Err(Unanswered(question.key.clone()));
            }
            std::future::pending::<()>().await;
        }
        // Open ones have no such instant, so that there is none for all while one is open.
        let closed: Option<Vec<_>> = mine.iter().map(|question| question.closed_at).collect();
        if let Some(last) = closed.and_then(|closed| closed.into_iter().max()) {
            return Ok(last);
        }
        news.changed().await;
    }
}

fn is_of(question: &Question, job: &Job, asked: &[QuestionSpec]) -> bool {
    question.attempt == job.attempt && asked.iter().any(|spec| spec.key == question.key)
}

async fn ask(inner: &Arc<Inner>, job: &Job, asked: &[QuestionSpec]) {
    let named = |spec: &QuestionSpec| NewQuestion { id: inner.clock.new_question_id(), spec: spec.clone() };
    let event = Event::Asked { token: job.attempt, questions: asked.iter().map(named).collect() };
    match inner.record(job.id, event).await {
        Ok(_) => {}
        // The attempt is to end or is over: whoever watches for that ends the script.
        Err(StoreError::Refused(refusal)) => {
            tracing::debug!(job.id = %job.id, %refusal, "a question was refused");
            std::future::pending().await
        }
        Err(error) => {
            tracing::warn!(job.id = %job.id, %error, "a question could not be stored yet");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

async fn sleep_until(inner: &Arc<Inner>, at: Timestamp) {
    tokio::time::sleep(at.since(inner.clock.now())).await;
}

/// Reads, again and again until the store answers.
async fn patiently<T, F>(job: &Job, mut read: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        match read().await {
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(job.id = %job.id, %error, "a fixture waits for the store");
                tokio::time::sleep(STORE_PAUSE).await;
            }
        }
    }
}
