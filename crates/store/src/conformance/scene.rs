//! A store with a clock and a supply of ids, and the steps that most cases begin with.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::access::Principal;
use longshore_domain::id::{AttemptNumber, EventSeq, JobId, NodeId, Nonce, QuestionId};
use longshore_domain::job::{
    Answer, AttemptReport, CommandSpec, Decision, Event, EventRecord, Job, JobSpec, NewQuestion, Question,
    QuestionKind, QuestionSpec, QueueName,
};
use longshore_domain::label::Labels;
use longshore_domain::store::{Change, Claim, ClaimedJob, NewJob, Queue, Store, StoreError, Submitted};
use longshore_domain::time::Timestamp;

/// Somewhere a store can be opened, again and again: what one left behind the next one finds.
#[async_trait]
pub trait Place: Send + Sync {
    /// Opens the store; the one before has been closed.
    async fn open(&self) -> Arc<dyn Store>;

    /// Somewhere else, where nothing is yet.
    fn another(&self) -> Box<dyn Place>;
}

/// When the clock of every scene begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_790_000_000_000);
/// How long leases last.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// A bound for verbs that take one, far above what a scene has.
pub(crate) const MANY: usize = 10_000;

/// A store under test.
pub(crate) struct Scene {
    pub(crate) store: Arc<dyn Store>,
    clock_ms: AtomicI64,
    ids: AtomicU64,
}

impl Scene {
    pub(crate) async fn new(place: &dyn Place) -> Self {
        Self::over(place.open().await)
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Self {
        Self { store, clock_ms: AtomicI64::new(BEGIN.as_millis()), ids: AtomicU64::new(1) }
    }

    /// Shuts the store and opens it again.
    pub(crate) async fn reopened(self, place: &dyn Place) -> Self {
        self.store.close().await;
        self.with(place.open().await)
    }

    /// Goes on with another store.
    pub(crate) fn with(self, store: Arc<dyn Store>) -> Self {
        Self { store, ..self }
    }

    /// A later instant at each call.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock_ms.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, length: Duration) {
        self.clock_ms.fetch_add(length.as_millis() as i64, Ordering::Relaxed);
    }

    pub(crate) fn fresh(&self) -> u128 {
        self.ids.fetch_add(1, Ordering::Relaxed).into()
    }

    /// A job of the owner, ready to run.
    pub(crate) fn job(&self) -> NewJob {
        NewJob::new(JobId::new(BEGIN, self.fresh()), Principal::owner(), spec(&["make", "all"]))
    }

    pub(crate) fn job_after(&self, after: &[&Job]) -> NewJob {
        NewJob { after: after.iter().map(|job| job.id).collect(), ..self.job() }
    }

    pub(crate) fn room(&self, slots: usize) -> Claim {
        Claim {
            holder: node(1),
            labels: Labels::default(),
            boot: "boot-1".into(),
            lease: LEASE,
            nonces: (0..slots).map(|_| Nonce::new(self.fresh())).collect(),
        }
    }

    pub(crate) async fn submit(&self, job: NewJob) -> Result<Submitted, StoreError> {
        Ok(self.store.submit(job, None, self.now()).await?.0)
    }

    pub(crate) async fn accept(&self, job: NewJob) -> Job {
        self.submit(job).await.expect("the job is accepted").job
    }

    pub(crate) async fn accept_many(&self, count: usize) -> Vec<Job> {
        let mut jobs = vec![];
        for _ in 0..count {
            jobs.push(self.accept(self.job()).await);
        }
        jobs
    }

    pub(crate) async fn take(&self, slots: usize) -> Vec<ClaimedJob> {
        self.store.claim(self.room(slots), self.now()).await.expect("a claim is answered")
    }

    pub(crate) async fn take_ids(&self, slots: usize) -> Vec<JobId> {
        self.take(slots).await.iter().map(|taken| taken.job.id).collect()
    }

    pub(crate) async fn record(&self, job: JobId, event: Event) -> Result<Change, StoreError> {
        self.store.record(job, event, None, self.now()).await.0
    }

    pub(crate) async fn happen(&self, job: JobId, event: Event) -> Job {
        self.record(job, event).await.expect("the event is accepted").job
    }

    pub(crate) async fn read(&self, id: JobId) -> Job {
        self.store.job(id).await.expect("the store reads").expect("the job is on record")
    }

    pub(crate) async fn questions(&self, job: &Job) -> Vec<Question> {
        self.store.questions(job.id).await.expect("the store reads")
    }

    /// A running job that asks under these keys, and its questions.
    pub(crate) async fn asking(&self, job: NewJob, keys: &[&str]) -> (Job, Vec<Question>) {
        let job = self.running(job).await;
        let questions = keys.iter().map(|key| self.question(key, None)).collect();
        let job = self.happen(job.id, Event::Asked { token: job.attempt, questions }).await;
        let questions = self.questions(&job).await;
        (job, questions)
    }

    /// Something to ask.
    pub(crate) fn question(&self, key: &str, deadline: Option<Duration>) -> NewQuestion {
        let spec = QuestionSpec {
            key: key.into(),
            kind: QuestionKind::Text,
            prompt: format!("Which {key}?\t\u{1f6a2} \"'"),
            schema: None,
            deadline,
        };
        NewQuestion { id: QuestionId::new(BEGIN, self.fresh()), spec }
    }

    pub(crate) async fn history(&self, id: JobId) -> Vec<EventRecord> {
        self.store.events(EventSeq(0), Some(id), MANY).await.expect("the store reads")
    }

    pub(crate) async fn set_queue(&self, name: &str, concurrency: u32) {
        let queue = Queue { name: queue(name), concurrency };
        self.store.set_queue(queue).await.expect("the queue is set");
    }

    /// A job taken for its first attempt; nothing else must be ready.
    pub(crate) async fn claimed(&self, job: NewJob) -> Job {
        let (submitted, mut taken) =
            self.store.submit(job, Some(self.room(1)), self.now()).await.expect("the job is accepted");
        let claimed = taken.pop().expect("the job is ready and its queue has room").job;
        assert_eq!(claimed.id, submitted.job.id);
        claimed
    }

    pub(crate) async fn running(&self, job: NewJob) -> Job {
        let job = self.claimed(job).await;
        self.happen(job.id, started(&job)).await
    }

    /// A job that ran and ended with this exit code.
    pub(crate) async fn ran(&self, job: NewJob, exit_code: i32) -> Job {
        let job = self.running(job).await;
        self.happen(job.id, ended(&job, exit_code)).await
    }

    /// Tells all dependents there are.
    pub(crate) async fn settle_all(&self) -> Vec<Change> {
        let mut all = vec![];
        loop {
            let told = self.store.settle(self.now(), 7).await.expect("the store settles");
            assert!(told.len() <= 7);
            if told.is_empty() {
                return all;
            }
            all.extend(told);
        }
    }
}

pub(crate) fn node(number: u128) -> NodeId {
    NodeId::new(BEGIN, number)
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::try_from(name.to_owned()).expect("a good name")
}

pub(crate) fn spec(argv: &[&str]) -> JobSpec {
    JobSpec::Command(command(argv))
}

pub(crate) fn command(argv: &[&str]) -> CommandSpec {
    CommandSpec::new(argv, "/work", &[("PATH", "/usr/bin:/bin")])
}

pub(crate) fn started(job: &Job) -> Event {
    Event::Started { token: job.attempt, process: None, deadline_at: None }
}

pub(crate) fn ended(job: &Job, exit_code: i32) -> Event {
    Event::Ended { token: job.attempt, report: report(exit_code) }
}

pub(crate) fn expired(token: AttemptNumber) -> Event {
    Event::Expired { token, message: "its node is gone".into(), report: None }
}

pub(crate) fn lost(token: AttemptNumber) -> Event {
    Event::Lost { token, message: "the machine was restarted".into(), report: None }
}

pub(crate) fn answered(question: QuestionId, text: &str) -> Event {
    Event::Answered { question, answer: answer(text) }
}

pub(crate) fn answer(text: &str) -> Answer {
    let decision = Decision::Accepted(text.into());
    Answer { decision, decider: Principal::owner(), channel: "cli".into(), reason: Some("because".into()) }
}

pub(crate) fn cancel() -> Event {
    Event::CancelRequested { by: Principal::owner(), reason: Some("not needed".into()) }
}

pub(crate) fn report(exit_code: i32) -> AttemptReport {
    AttemptReport {
        exit_code: Some(exit_code),
        started_at: BEGIN,
        finished_at: BEGIN.plus(Duration::from_secs(2)),
        ran: Duration::from_secs(2),
        ..AttemptReport::default()
    }
}
