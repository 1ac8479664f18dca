//! The check of histories lets honest ones through and catches each planted fault.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_domain::id::{AttemptNumber, EventSeq, JobId, NodeId, Nonce};
use longshore_domain::job::{
    AttemptReport, Event, EventKind, EventRecord, FixtureEnd, FixtureSpec, Job, JobSpec, QueueName, RetryPolicy,
    StateName,
};
use longshore_domain::store::{Claim, NewJob, Store};
use longshore_domain::{Labels, Principal, Timestamp};
use longshore_store::{SqliteOptions, SqliteStore};
use longshore_testkit::history::{Breach, Rule, breaches};

const LEASE: Duration = Duration::from_secs(30);

/// A store with a clock, through which jobs are taken through their lives.
struct Lives {
    store: SqliteStore,
    ticks: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Lives {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteOptions::default();
        let store = SqliteStore::open(folder.path().join("jobs.db"), options).expect("a store");
        Self { store, ticks: AtomicU64::new(1), _folder: folder }
    }

    /// A minute later at each call: no lease is live for long.
    fn now(&self) -> Timestamp {
        let minutes = self.ticks.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_millis(1_790_000_000_000).plus(Duration::from_secs(60 * minutes))
    }

    async fn submit(&self, retries: u32) -> Job {
        let now = self.now();
        let new = NewJob {
            id: JobId::new(now, 1),
            principal: Principal::owner(),
            conversation: None,
            name: None,
            spec: JobSpec::Fixture(FixtureSpec { steps: vec![], end: FixtureEnd::Text("x".into()), deadline: None }),
            queue: QueueName::default(),
            requires: Labels::default(),
            priority: 0,
            retry: RetryPolicy::times(retries),
            not_before: None,
            after: vec![],
            key: None,
            retry_of: None,
        };
        self.store.submit(new, None, now).await.expect("accepted").0.job
    }

    async fn claim(&self) -> Job {
        let now = self.now();
        self.store.promote_due(now, 9).await.expect("done");
        let claim = Claim {
            holder: NodeId::new(now, 1),
            labels: Labels::default(),
            boot: "boot".into(),
            lease: LEASE,
            nonces: vec![Nonce::new(1)],
        };
        self.store.claim(claim, now).await.expect("answered").remove(0).job
    }

    async fn happen(&self, job: &Job, event: Event) {
        self.store.record(job.id, event, None, self.now()).await.0.expect("accepted");
    }

    async fn start(&self, job: &Job) {
        self.happen(job, Event::Started { token: job.attempt, process: None, deadline_at: None }).await;
    }

    async fn end(&self, job: &Job, exit_code: i32) {
        let report = AttemptReport { exit_code: Some(exit_code), ..AttemptReport::default() };
        self.happen(job, Event::Ended { token: job.attempt, report }).await;
    }

    async fn history(&self) -> Vec<EventRecord> {
        self.store.events(EventSeq(0), None, 1000).await.expect("read")
    }
}

/// The second of two jobs may run again, and does.
async fn two_lives() -> Vec<EventRecord> {
    let lives = Lives::new();
    lives.submit(0).await;
    let once = lives.claim().await;
    lives.happen(&once, Event::GivenBack { token: once.attempt, reason: "no room".into() }).await;
    let once = lives.claim().await;
    lives.start(&once).await;
    lives.end(&once, 0).await;
    lives.submit(2).await;
    let first = lives.claim().await;
    lives.start(&first).await;
    lives.happen(&first, Event::Expired { token: first.attempt, message: "gone".into(), report: None }).await;
    let second = lives.claim().await;
    lives.start(&second).await;
    lives.end(&second, 3).await;
    let third = lives.claim().await;
    lives.start(&third).await;
    lives.happen(&third, Event::CancelRequested { by: Principal::owner(), reason: None }).await;
    lives.end(&third, 0).await;
    lives.history().await
}

fn check(history: &[EventRecord]) -> Vec<Breach> {
    let second = history.iter().map(|line| line.number).max();
    let again = history.iter().find(|line| Some(line.number) == second).map(|line| line.job);
    breaches(history, |job| Some(job) == again)
}

#[tokio::test]
async fn an_honest_history_breaks_nothing() {
    let history = two_lives().await;
    assert_eq!(history.len(), 6 + 13);
    assert_eq!(check(&history), []);
    // The same by a submitter who did not allow it.
    let lines: Vec<_> = breaches(&history, |_| false).iter().map(|breach| breach.rule).collect();
    assert_eq!(lines, [Rule::SecondRun, Rule::SecondRun]);
}

/// A way to spoil a history, and what that breaks first.
type Fault = (&'static str, fn(&mut Vec<EventRecord>), Rule);

#[tokio::test]
async fn planted_faults_are_caught() {
    let honest = two_lives().await;
    let faults: [Fault; 11] = [
        ("a place that was given twice", |lines| lines[4].seq = lines[3].seq, Rule::Order),
        ("a first line that is lost", |lines| drop(lines.remove(0)), Rule::Beginning),
        (
            "a job that is submitted again",
            |lines| insert(lines, 3, EventKind::Submitted, StateName::Queued),
            Rule::Beginning,
        ),
        ("a report after the end", |lines| insert(lines, 6, EventKind::Ended, StateName::Finished), Rule::End),
        ("a claim of what is held", |lines| insert(lines, 4, EventKind::Claimed, StateName::Claimed), Rule::OneLease),
        ("a number that was given before", |lines| lines[3].attempt = AttemptNumber(1), Rule::Number),
        ("a number left out", |lines| lines[3].attempt = AttemptNumber(3), Rule::Number),
        ("a report of an old attempt", |lines| lines[5].attempt = AttemptNumber(1), Rule::Token),
        ("a report without a lease", |lines| insert(lines, 3, EventKind::Asked, StateName::Asking), Rule::Lease),
        ("a start that queues", |lines| lines[4].state = StateName::Queued, Rule::State),
        ("a second run that nobody allowed", second_run, Rule::SecondRun),
    ];
    for (name, spoil, rule) in faults {
        let mut spoilt = honest.clone();
        spoil(&mut spoilt);
        let found = check(&spoilt);
        assert!(found.iter().any(|breach| breach.rule == rule), "{name}: {found:?}");
    }
}

/// Puts a line behind the line before `at`, of its job and attempt.
fn insert(lines: &mut Vec<EventRecord>, at: usize, kind: EventKind, state: StateName) {
    let like = lines[at - 1].clone();
    let attempt = if kind == EventKind::Claimed { like.attempt.next() } else { like.attempt };
    lines.insert(at, EventRecord { kind, state, attempt, ..like });
    for (place, line) in lines.iter_mut().enumerate() {
        line.seq = EventSeq(place as u64 + 1);
    }
}

/// The first job is taken up again instead of ending.
fn second_run(lines: &mut Vec<EventRecord>) {
    lines[5].state = StateName::Waiting;
    insert(lines, 6, EventKind::Due, StateName::Queued);
    insert(lines, 7, EventKind::Claimed, StateName::Claimed);
}
