//! Random histories against a plain model: whatever is asked in whatever order, rows are what `apply` makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longshore_domain::access::Principal;
use longshore_domain::id::{AttemptNumber, EventSeq, JobId, JobNumber, NodeId, QuestionId};
use longshore_domain::job::{
    AttemptReport, Effect, Event, Job, Lease, Question, QueueName, RetryPolicy, StateName, apply, initial_state,
};
use longshore_domain::label::Labels;
use longshore_domain::store::{Claim, HeldAttempt, JobFilter, NewJob, QuestionFilter};
use longshore_domain::time::{Timestamp, When};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::scene::{LEASE, MANY, Place, Scene, answered, cancel, expired, lost, node, queue, report};

const CASES: u32 = 48;
const VERBS_MAX: usize = 60;
/// Bounds the search for the shortest history that fails.
const SHRINKS_MAX: u32 = 300;
const QUEUES: [&str; 3] = ["a", "b", "c"];
/// What jobs require and nodes have; mostly nothing.
const LABELS: [&str; 6] = ["", "", "", "gpu", "os=linux", "gpu os=linux"];

/// One thing asked of the store. `pick`s choose among the jobs there are.
#[derive(Clone, Debug)]
enum Verb {
    Submit { after: Vec<usize>, wait_ms: u64, queue: usize, requires: usize, priority: i16, retries: u32, room: usize },
    Claim { slots: usize, holder: u128, labels: usize },
    Report { pick: usize, what: Report, stale: bool, room: usize },
    Renew { holder: u128 },
    GiveUp { limit: usize },
    PromoteDue { limit: usize },
    Expire { limit: usize },
    Settle { limit: usize },
    SetQueue { queue: usize, concurrency: u32 },
    Pin { pick: usize, pinned: bool },
    OutputExpired { pick: usize },
    Remove { picks: Vec<usize> },
    Reopen,
    Pass { ms: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Report {
    Start,
    End { exit_code: i32, stopped: bool },
    Lose,
    Expire,
    GiveBack,
    Cancel,
    Due,
    Deadline,
    Ask { count: usize, deadline_ms: u64 },
    Answer { pick: usize },
}

fn verb() -> impl Strategy<Value = Verb> {
    let pick = 0..1000usize;
    prop_oneof![
        6 => (prop::collection::vec(0..1000usize, 0..3), prop_oneof![Just(0), 1..5000u64], 0..3usize, 0..LABELS.len(), -2..3i16, 0..3u32, 0..2usize)
            .prop_map(|(after, wait_ms, queue, requires, priority, retries, room)| {
                Verb::Submit { after, wait_ms, queue, requires, priority, retries, room }
            }),
        3 => (0..5usize, 1..3u128, 0..LABELS.len())
            .prop_map(|(slots, holder, labels)| Verb::Claim { slots, holder, labels }),
        12 => (pick.clone(), what(), prop::bool::weighted(0.1), 0..2usize)
            .prop_map(|(pick, what, stale, room)| Verb::Report { pick, what, stale, room }),
        1 => (1..3u128).prop_map(|holder| Verb::Renew { holder }),
        2 => (0..4usize).prop_map(|limit| Verb::GiveUp { limit }),
        2 => (0..4usize).prop_map(|limit| Verb::PromoteDue { limit }),
        1 => (0..4usize).prop_map(|limit| Verb::Expire { limit }),
        3 => (0..4usize).prop_map(|limit| Verb::Settle { limit }),
        1 => (0..3usize, 0..4u32).prop_map(|(queue, concurrency)| Verb::SetQueue { queue, concurrency }),
        1 => (pick.clone(), any::<bool>()).prop_map(|(pick, pinned)| Verb::Pin { pick, pinned }),
        1 => pick.prop_map(|pick| Verb::OutputExpired { pick }),
        1 => prop::collection::vec(0..1000usize, 0..4).prop_map(|picks| Verb::Remove { picks }),
        1 => Just(Verb::Reopen),
        2 => prop_oneof![4 => 1..3000u64, 1 => 20_000..40_000u64].prop_map(|ms| Verb::Pass { ms }),
    ]
}

fn what() -> impl Strategy<Value = Report> {
    prop_oneof![
        4 => Just(Report::Start),
        5 => (0..2i32, prop::bool::weighted(0.2)).prop_map(|(exit_code, stopped)| Report::End { exit_code, stopped }),
        1 => Just(Report::Lose),
        2 => Just(Report::Expire),
        1 => Just(Report::GiveBack),
        2 => Just(Report::Cancel),
        1 => Just(Report::Due),
        1 => Just(Report::Deadline),
        3 => (0..3usize, prop_oneof![Just(0), 1..5000u64])
            .prop_map(|(count, deadline_ms)| Report::Ask { count, deadline_ms }),
        3 => (0..4usize).prop_map(|pick| Report::Answer { pick }),
    ]
}

pub async fn random_histories_agree_with_a_plain_model(place: &dyn Place) {
    search(CASES, |verbs| {
        let place = place.another();
        Box::pin(async move { agree(place.as_ref(), verbs).await })
    });
}

/// The same where the store moves house instead of being opened again: `move_on` shuts it and opens the next one.
#[cfg(test)]
pub(crate) async fn agree_while_moving(cases: u32, begin: impl Fn() -> Box<dyn Moving> + Sync) {
    search(cases, |mut verbs| {
        verbs.insert(verbs.len() / 2, Verb::Reopen);
        let mut house = begin();
        Box::pin(async move {
            let mut scene = Scene::over(house.open().await);
            let mut model = Model::default();
            for name in QUEUES {
                scene.set_queue(name, 2).await;
                model.queues.insert(queue(name), 2);
            }
            for verb in verbs.into_iter().chain([Verb::Reopen, Verb::Claim { slots: 2, holder: 1, labels: 0 }]) {
                match verb {
                    Verb::Reopen => {
                        scene.store.close().await;
                        scene = scene.with(house.move_on().await);
                    }
                    verb => model.ask(&scene, verb).await,
                }
                model.compare(&scene).await;
            }
            scene.store.close().await;
        })
    });
}

/// A store that moves from one place to another.
#[cfg(test)]
#[async_trait::async_trait]
pub(crate) trait Moving: Send {
    /// Opens it where it is.
    async fn open(&self) -> std::sync::Arc<dyn longshore_domain::store::Store>;

    /// Moves it, and opens it there. It was shut.
    async fn move_on(&mut self) -> std::sync::Arc<dyn longshore_domain::store::Store>;
}

type Run<'r> = std::pin::Pin<Box<dyn Future<Output = ()> + 'r>>;

/// Looks for a history that fails, and for the shortest one that does.
fn search<'r>(cases: u32, run: impl Fn(Vec<Verb>) -> Run<'r> + Sync) {
    // The runner is not async, and a runtime cannot be entered twice on one thread.
    let outcome = std::thread::scope(|scope| {
        let search = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            let config = ProptestConfig {
                cases,
                failure_persistence: None,
                max_shrink_iters: SHRINKS_MAX,
                ..ProptestConfig::default()
            };
            TestRunner::new(config).run(&prop::collection::vec(verb(), 1..VERBS_MAX), |verbs| {
                runtime.block_on(run(verbs));
                Ok(())
            })
        });
        search.join().expect("the runner catches panics")
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

async fn agree(place: &dyn Place, verbs: Vec<Verb>) {
    let mut scene = Scene::new(place).await;
    let mut model = Model::default();
    for name in QUEUES {
        scene.set_queue(name, 2).await;
        model.queues.insert(queue(name), 2);
    }
    for verb in verbs {
        match verb {
            Verb::Reopen => scene = scene.reopened(place).await,
            verb => model.ask(&scene, verb).await,
        }
        model.compare(&scene).await;
    }
    scene.store.close().await;
}

/// What a reader of the port's documentation would keep in mind.
#[derive(Default)]
struct Model {
    jobs: BTreeMap<JobNumber, Job>,
    queues: BTreeMap<QueueName, u32>,
    /// Who waits for whom.
    edges: BTreeSet<(JobNumber, JobNumber)>,
    /// Finished jobs whose dependents have not all been told.
    untold: BTreeSet<JobNumber>,
    lines: BTreeMap<JobId, usize>,
    questions: BTreeMap<QuestionId, Question>,
    given: u64,
}

impl Model {
    async fn ask(&mut self, scene: &Scene, verb: Verb) {
        let now = scene.now();
        match verb {
            Verb::Submit { .. } => self.submit(scene, verb, now).await,
            Verb::Claim { slots, holder, labels } => {
                let room = Claim { holder: node(holder), labels: labels_of(labels), ..scene.room(slots) };
                let taken = scene.store.claim(room.clone(), now).await.expect("answered");
                self.claim(&room, now, taken.into_iter().map(|taken| taken.job).collect());
            }
            Verb::Report { pick, what, stale, room } => {
                let Some(job) = self.pick(pick) else { return };
                let (id, event) = (job.id, event(scene, &job, what, stale));
                let room = (room > 0).then(|| scene.room(room));
                let expected = self.happen(job.number, event.clone(), now);
                let (change, taken) = scene.store.record(id, event, room.clone(), now).await;
                assert_eq!(change.ok().map(|change| (change.job, change.effects)), expected);
                if let Some(room) = room {
                    self.claim(&room, now, taken.into_iter().map(|taken| taken.job).collect());
                }
            }
            Verb::Renew { holder } => self.renew(scene, node(holder), now).await,
            Verb::GiveUp { limit } => self.give_up(scene, limit, now).await,
            Verb::PromoteDue { limit } => {
                let mut due: Vec<_> =
                    self.jobs.values().filter_map(|job| Some((job.state.due_at()?, job.number))).collect();
                due.retain(|(at, _)| *at <= now);
                due.sort_unstable();
                due.truncate(limit);
                let promoted = scene.store.promote_due(now, limit).await.expect("done");
                assert_eq!(promoted.len(), due.len());
                for (_, number) in due {
                    self.happen(number, Event::Due, now).expect("its time has come");
                }
            }
            Verb::Expire { limit } => self.expire(scene, limit, now).await,
            Verb::Settle { limit } => self.settle(scene, limit, now).await,
            Verb::SetQueue { queue: at, concurrency } => {
                scene.set_queue(QUEUES[at], concurrency).await;
                self.queues.insert(queue(QUEUES[at]), concurrency);
            }
            Verb::Pin { pick, pinned } => {
                let Some(mut job) = self.pick(pick) else { return };
                job.pinned = pinned;
                assert_eq!(scene.store.pin(job.id, pinned).await.expect("on record"), self.marked(job));
            }
            Verb::OutputExpired { pick } => {
                let Some(mut job) = self.pick(pick) else { return };
                let gone = scene.store.output_expired(vec![job.id]).await.expect("noted");
                let goes = job.is_finished() && !job.pinned && !job.output_expired;
                assert_eq!(gone.contains(&job.id), goes, "{job:?}");
                if goes {
                    job.output_expired = true;
                    self.marked(job);
                }
            }
            Verb::Remove { picks } => self.remove(scene, picks).await,
            Verb::Pass { ms } => scene.pass(Duration::from_millis(ms)),
            Verb::Reopen => unreachable!("done by the caller, who owns the scene"),
        }
    }

    fn pick(&self, pick: usize) -> Option<Job> {
        let at = pick.checked_rem(self.jobs.len())?;
        self.jobs.values().nth(at).cloned()
    }

    fn marked(&mut self, mut job: Job) -> Job {
        job.version += 1;
        self.jobs.insert(job.number, job.clone());
        job
    }

    /// Lets an event happen in the model; nothing if it is refused.
    fn happen(&mut self, number: JobNumber, event: Event, now: Timestamp) -> Option<(Job, Vec<Effect>)> {
        let news = !matches!(event, Event::Renewed { .. });
        let job = self.jobs.get_mut(&number)?;
        let step = apply(job, event, now).ok()?;
        let mut effects = job.advance(step, now);
        let job = job.clone();
        *self.lines.entry(job.id).or_default() += usize::from(news);
        for effect in &effects {
            match effect {
                Effect::Ask(question) => drop(self.questions.insert(question.id, *question.clone())),
                Effect::Close { question, answer } => {
                    let question = self.questions.get_mut(question).expect("it was asked");
                    question.closed_at = Some(now);
                    question.answer = answer.as_deref().cloned();
                }
                _ => {}
            }
        }
        match job.is_finished() && self.edges.iter().any(|(on, _)| *on == number) {
            true => drop(self.untold.insert(number)),
            false => effects.retain(|effect| *effect != Effect::Settle),
        }
        Some((job, effects))
    }

    async fn submit(&mut self, scene: &Scene, verb: Verb, now: Timestamp) {
        let Verb::Submit { after, wait_ms, queue: at, requires, priority, retries, room } = verb else { return };
        let after: Vec<_> = after.into_iter().filter_map(|pick| self.pick(pick)).collect();
        let new = NewJob {
            queue: queue(QUEUES[at]),
            requires: labels_of(requires),
            priority,
            retry: RetryPolicy::times(retries),
            not_before: (wait_ms > 0).then(|| When::In { length: Duration::from_millis(wait_ms) }),
            ..scene.job_after(&after.iter().collect::<Vec<_>>())
        };
        let room = (room > 0).then(|| scene.room(room));
        let (submitted, taken) = scene.store.submit(new.clone(), room.clone(), now).await.expect("accepted");
        self.given += 1;
        assert_eq!(submitted.job.number, JobNumber(self.given));
        self.accept(&new, &after, now);
        assert_eq!(Some(&submitted.job), self.jobs.get(&JobNumber(self.given)));
        if let Some(room) = room {
            self.claim(&room, now, taken.into_iter().map(|taken| taken.job).collect());
        }
    }

    fn accept(&mut self, new: &NewJob, after: &[Job], now: Timestamp) {
        let number = JobNumber(self.given);
        let open: BTreeSet<_> = after.iter().filter(|on| !on.is_finished()).map(|on| on.number).collect();
        let failed = after.iter().find(|on| on.outcome().is_some_and(|outcome| !outcome.is_success()));
        let after_left = open.len() as u32 + u32::from(failed.is_some());
        let job = Job {
            id: new.id,
            number,
            version: 1,
            kind: new.spec.kind(),
            principal: Principal::owner(),
            conversation: None,
            name: None,
            title: new.spec.title(),
            queue: new.queue.clone(),
            requires: new.requires.clone(),
            priority: new.priority,
            retry: new.retry.clone(),
            likeness: new.spec.likeness(),
            retry_of: None,
            state: initial_state(new.not_before.map(|when| when.at(now)), after_left, now).0,
            attempt: AttemptNumber(0),
            failures: 0,
            submitted_at: now,
            started_at: None,
            changed_at: now,
            pinned: false,
            output_expired: false,
        };
        self.lines.insert(job.id, 1);
        self.jobs.insert(number, job);
        match failed {
            Some(on) => {
                self.happen(number, Event::DependencyFailed { on: on.id }, now).expect("it waits for that job");
            }
            None => self.edges.extend(open.into_iter().map(|on| (on, number))),
        }
    }

    /// Checks that the store took whom the rules name, and takes them in the model.
    fn claim(&mut self, room: &Claim, now: Timestamp, taken: Vec<Job>) {
        let mut expected = vec![];
        for nonce in &room.nonces {
            let Some(number) = self.first_ready(&room.labels) else { break };
            let token = self.jobs[&number].attempt.next();
            let until = now.plus(room.lease);
            let lease = Lease { holder: room.holder, token, until, nonce: *nonce, boot: room.boot.clone() };
            let (job, _) = self.happen(number, Event::Claimed { lease }, now).expect("it is ready");
            expected.push(job);
        }
        assert_eq!(taken, expected);
    }

    fn first_ready(&self, labels: &Labels) -> Option<JobNumber> {
        let live = |queue: &QueueName| {
            self.jobs.values().filter(|job| job.queue == *queue && job.state.name().is_live()).count()
        };
        let ready = self.jobs.values().filter(|job| job.state == longshore_domain::JobState::Queued);
        let has_room = ready.filter(|job| live(&job.queue) < self.queues[&job.queue] as usize);
        let fits = has_room.filter(|job| labels.cover(&job.requires));
        let turn = |job: &&Job| (std::cmp::Reverse(job.priority), live(&job.queue), job.number);
        fits.min_by_key(turn).map(|job| job.number)
    }

    async fn renew(&mut self, scene: &Scene, holder: NodeId, now: Timestamp) {
        let lease = LEASE * 2;
        let held = self.jobs.values().filter_map(|job| {
            let token = job.state.lease().filter(|lease| lease.holder == holder)?.token;
            Some((job.number, HeldAttempt { job: job.id, attempt: token }))
        });
        let held: BTreeMap<_, _> = held.collect();
        let mut renewed = scene.store.renew(holder, lease, now).await.expect("renewed");
        renewed.sort_unstable();
        let mut expected: Vec<_> = held.values().copied().collect();
        expected.sort_unstable();
        assert_eq!(renewed, expected);
        for (number, HeldAttempt { attempt: token, .. }) in held {
            self.happen(number, Event::Renewed { token, lease }, now).expect("the lease is live");
        }
    }

    /// Ends of leases, the earliest first.
    fn expiries(&self) -> Vec<(Timestamp, JobNumber)> {
        let ends = self.jobs.values().filter_map(|job| Some((job.state.lease()?.until, job.number)));
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        ends
    }

    /// Gives up holders whose leases have run out.
    async fn give_up(&mut self, scene: &Scene, limit: usize, now: Timestamp) {
        let out = self.expiries().into_iter().filter(|(until, _)| *until <= now).map(|(_, number)| number);
        let out: Vec<_> = out.take(limit).collect();
        let found = scene.store.expired(now, limit).await.expect("read");
        assert_eq!(found.iter().map(|job| job.number).collect::<Vec<_>>(), out);
        for job in found {
            let event = expired(job.attempt);
            let expected = self.happen(job.number, event.clone(), now).expect("its lease has run out");
            let change = scene.store.record(job.id, event, None, now).await.0.expect("its lease has run out");
            assert_eq!((change.job, change.effects), expected);
        }
    }

    /// The order among questions of one instant is the store's own.
    async fn expire(&mut self, scene: &Scene, limit: usize, now: Timestamp) {
        let overdue = |question: &Question| question.deadline_at.is_some_and(|at| question.is_open() && at <= now);
        let due = self.questions.values().filter(|question| overdue(question)).count();
        let changes = scene.store.expire_questions(now, limit).await.expect("done");
        assert_eq!(changes.len(), due.min(limit));
        for change in changes {
            let [Effect::Close { question, answer: None }] = change.effects[..] else { panic!("{:?}", change.effects) };
            assert!(overdue(&self.questions[&question]));
            self.happen(change.job.number, Event::Unanswered { question }, now).expect("it was open");
        }
    }

    /// The order among dependents is the store's own: what it told is checked and followed.
    async fn settle(&mut self, scene: &Scene, limit: usize, now: Timestamp) {
        let told = scene.store.settle(now, limit).await.expect("done");
        assert!(told.len() <= limit);
        let told_all = told.len() < limit;
        for change in told {
            let number = change.job.number;
            let ends = self.edges.iter().filter(|(on, dependent)| *dependent == number && self.untold.contains(on));
            let followed = ends.copied().collect::<Vec<_>>().into_iter().any(|(on, _)| self.tell(on, &change.job, now));
            assert!(followed, "{number} was told something that nothing led to");
        }
        if told_all {
            let mut left = self.edges.iter().filter(|(on, _)| self.untold.contains(on));
            let unfinished = |number: &JobNumber| self.jobs.get(number).is_some_and(|job| !job.is_finished());
            assert_eq!(left.find(|(_, dependent)| unfinished(dependent)), None, "somebody was not told");
            self.untold.clear();
        }
    }

    fn tell(&mut self, on: JobNumber, expected: &Job, now: Timestamp) -> bool {
        let cause = &self.jobs[&on];
        let event = match cause.outcome().is_some_and(|outcome| outcome.is_success()) {
            true => Event::DependencySucceeded { on: cause.id },
            false => Event::DependencyFailed { on: cause.id },
        };
        let job = &self.jobs[&expected.number];
        let Ok(step) = apply(job, event.clone(), now) else { return false };
        let mut next = job.clone();
        next.advance(step, now);
        if next != *expected {
            return false;
        }
        self.edges.remove(&(on, expected.number));
        self.happen(expected.number, event, now).is_some()
    }

    async fn remove(&mut self, scene: &Scene, picks: Vec<usize>) {
        let jobs: Vec<_> = picks.into_iter().filter_map(|pick| self.pick(pick)).collect();
        let removed = scene.store.remove(jobs.iter().map(|job| job.id).collect()).await.expect("done");
        for job in jobs {
            let is_gone = scene.store.job(job.id).await.expect("read").is_none();
            assert!(is_gone || !removed.contains(&job.id), "{job:?} is there");
            if scene.store.job(job.id).await.expect("read").is_none() {
                assert!(job.is_finished() && !job.pinned, "{job:?} was removed");
                self.jobs.remove(&job.number);
                self.lines.remove(&job.id);
                self.questions.retain(|_, question| question.job != job.id);
                let waiting = |(on, dependent): &(JobNumber, JobNumber)| {
                    *on == job.number && self.jobs.get(dependent).is_some_and(|job| !job.is_finished())
                };
                assert!(!self.edges.iter().any(waiting), "{job:?} was removed before its dependents were told");
            } else {
                let untold = self.untold.contains(&job.number);
                assert!(!job.is_finished() || job.pinned || untold, "{job:?} was left");
            }
        }
    }

    async fn compare(&self, scene: &Scene) {
        let found = scene.store.jobs(JobFilter::default(), MANY).await.expect("read");
        assert_eq!(found, self.jobs.values().rev().cloned().collect::<Vec<_>>());
        let (now, store) = (scene.now(), &scene.store);
        let due = self.jobs.values().filter_map(|job| job.state.due_at()).min();
        assert_eq!(store.next_due(now).await.expect("read"), due.map(|at| at.since(now)));
        let expiry = self.expiries().first().map(|(until, _)| until.since(now));
        assert_eq!(store.next_expiry(now).await.expect("read"), expiry);
        let mut lines = BTreeMap::new();
        for line in scene.store.events(EventSeq(0), None, MANY).await.expect("read") {
            *lines.entry(line.job).or_default() += 1;
        }
        assert_eq!(lines, self.lines);
        self.compare_questions(scene).await;
        let queued = JobFilter { states: vec![StateName::Queued], ..JobFilter::default() };
        let found = scene.store.jobs(queued, MANY).await.expect("read");
        let ready = self.jobs.values().rev().filter(|job| job.state.name() == StateName::Queued);
        assert_eq!(found, ready.cloned().collect::<Vec<_>>());
        let counts = scene.store.counts().await.expect("read");
        assert_eq!(counts.unfinished.get(&StateName::Queued).copied().unwrap_or(0), found.len() as u64);
        let finished = self.jobs.values().filter(|job| job.is_finished()).count() as u64;
        assert_eq!(counts.finished, finished);
        assert_eq!(counts.unfinished.values().sum::<u64>(), self.jobs.len() as u64 - finished);
    }

    async fn compare_questions(&self, scene: &Scene) {
        for job in self.jobs.values() {
            let mut found = scene.questions(job).await;
            found.sort_by_key(|question| question.id);
            let expected: Vec<_> = self.questions.values().filter(|question| question.job == job.id).cloned().collect();
            assert_eq!(found, expected);
            let open: BTreeSet<_> = expected.iter().filter(|question| question.is_open()).map(|q| q.id).collect();
            assert_eq!(open, job.state.open_questions().iter().copied().collect());
        }
        let open = |question: &&Question| question.is_open();
        let found = scene.store.open_questions(QuestionFilter::default(), MANY).await.expect("read");
        assert_eq!(found.len(), self.questions.values().filter(open).count());
        let next = self.questions.values().filter(open).filter_map(|question| question.deadline_at).min();
        let now = scene.now();
        let wait = scene.store.next_question_deadline(now).await.expect("read");
        assert_eq!(wait, next.map(|at| at.since(now)));
    }
}

fn labels_of(at: usize) -> Labels {
    LABELS[at].parse().expect("labels")
}

fn event(scene: &Scene, job: &Job, what: Report, stale: bool) -> Event {
    let token = AttemptNumber(job.attempt.0.saturating_sub(u32::from(stale)));
    match what {
        Report::Start => Event::Started { token, process: None, deadline_at: None },
        Report::End { exit_code, stopped } => {
            Event::Ended { token, report: AttemptReport { stopped, ..report(exit_code) } }
        }
        Report::Lose => lost(token),
        Report::Expire => expired(token),
        Report::GiveBack => Event::GivenBack { token, reason: "no room".into() },
        Report::Cancel => cancel(),
        Report::Due => Event::Due,
        Report::Deadline => Event::DeadlinePassed { token },
        Report::Ask { count, deadline_ms } => {
            let deadline = (deadline_ms > 0).then(|| Duration::from_millis(deadline_ms));
            let question = |_| scene.question(&scene.fresh().to_string(), deadline);
            Event::Asked { token, questions: (0..count).map(question).collect() }
        }
        Report::Answer { pick } => {
            let open = job.state.open_questions();
            let unknown = QuestionId::new(job.submitted_at, 0);
            answered(open.get(pick).copied().unwrap_or(unknown), "yes")
        }
    }
}
