//! Nodes whose own clocks are wrong: time is the database's, so that they neither take live leases nor fire anything
//! early or late. Here, and only here, stores go by the clock that they go by in earnest.

use std::time::Duration;

use longshore_domain::job::{Event, JobState, Refusal};
use longshore_domain::store::{Claim, NewJob, OldJobs, Store, StoreError};
use longshore_domain::time::{Timestamp, When};

use super::{Schema, client};
use crate::PostgresStore;
use crate::conformance::scene::{LEASE, MANY, Scene, expired, node, started};
use crate::postgres::clock::PRESENT;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A database, and the only right clock.
struct Database {
    schema: Schema,
    outsider: tokio_postgres::Client,
}

impl Database {
    async fn new() -> (Self, Scene) {
        let schema = Schema::new();
        let scene = Scene::over(std::sync::Arc::new(PostgresStore::open(schema.options()).await.unwrap()));
        let outsider = client(&schema).await;
        (Self { schema, outsider }, scene)
    }

    async fn now(&self) -> Timestamp {
        let row = self.outsider.query_one(&format!("SELECT {PRESENT}"), &[]).await.unwrap();
        Timestamp::from_millis(row.get(0))
    }

    async fn node(&self) -> PostgresStore {
        PostgresStore::open(self.schema.options()).await.unwrap()
    }
}

#[tokio::test]
async fn a_node_that_is_an_hour_fast_takes_no_live_lease() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let job = scene.running(scene.job()).await;
    let fast = database.now().await.plus(HOUR);
    assert_eq!(other.expired(fast, MANY).await.unwrap(), []);
    let wait = other.next_expiry(fast).await.unwrap().unwrap();
    assert!(wait > LEASE / 2 && wait <= LEASE, "{wait:?}");
    let refused = other.record(job.id, expired(job.attempt), None, fast).await.0;
    assert!(matches!(refused, Err(StoreError::Refused(Refusal::LeaseLive { holder, .. })) if holder == node(1)));
    assert_eq!(scene.read(job.id).await, job);
}

#[tokio::test]
async fn leases_of_a_node_whose_clock_is_wrong_are_as_long_as_any() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let now = database.now().await;
    for wrong in [now.plus(HOUR), now.minus(HOUR)] {
        scene.accept(scene.job()).await;
        let before = database.now().await;
        let room = Claim { holder: node(2), ..scene.room(1) };
        let job = other.claim(room, wrong).await.unwrap().remove(0).job;
        let between = database.now().await;
        let until = job.state.lease().unwrap().until;
        assert!((before.plus(LEASE)..=between.plus(LEASE)).contains(&until), "{until}");
        assert_eq!(job.changed_at, until.minus(LEASE));
        other.renew(node(2), 2 * LEASE, wrong).await.unwrap();
        let until = scene.read(job.id).await.state.lease().unwrap().until;
        assert!((between.plus(2 * LEASE)..=database.now().await.plus(2 * LEASE)).contains(&until), "{until}");
    }
}

#[tokio::test]
async fn a_node_that_is_an_hour_slow_still_gives_up_holders_that_are_gone() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let room = Claim { lease: Duration::from_millis(1), ..scene.room(1) };
    let job = scene.accept(scene.job()).await;
    scene.store.claim(room, scene.now()).await.unwrap();
    let slow = database.now().await.minus(HOUR);
    while other.expired(slow, MANY).await.unwrap().is_empty() {}
    assert_eq!(other.next_expiry(slow).await.unwrap(), Some(Duration::ZERO));
    let token = scene.read(job.id).await.attempt;
    assert!(other.record(job.id, expired(token), None, slow).await.0.unwrap().job.is_finished());
}

#[tokio::test]
async fn nothing_fires_early_on_a_node_that_is_an_hour_fast() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let asking = scene.running(scene.job()).await;
    let questions = vec![scene.question("branch", Some(MINUTE))];
    scene.happen(asking.id, Event::Asked { token: asking.attempt, questions }).await;
    let now = database.now().await;
    let due = Some(now.plus(MINUTE));
    let job = other
        .submit(NewJob { not_before: due.map(Into::into), ..scene.job() }, None, now.plus(HOUR))
        .await
        .unwrap()
        .0
        .job;
    assert_eq!(job.state, JobState::Waiting { until: due, after_left: 0 });
    let fast = now.plus(HOUR);
    assert_eq!(other.promote_due(fast, MANY).await.unwrap(), []);
    let early = other.record(job.id, Event::Due, None, fast).await.0;
    assert!(matches!(early, Err(StoreError::Refused(Refusal::NotDue(_)))));
    assert_eq!(other.expire_questions(fast, MANY).await.unwrap(), []);
    let waits = [other.next_due(fast).await.unwrap(), other.next_question_deadline(fast).await.unwrap()];
    for wait in waits.map(Option::unwrap) {
        assert!(wait > MINUTE / 2 && wait <= MINUTE, "{wait:?}");
    }
}

#[tokio::test]
async fn everything_fires_in_time_on_a_node_that_is_an_hour_slow() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let slow = || async { database.now().await.minus(HOUR) };
    let past = Some(database.now().await.minus(MINUTE));
    let job = other
        .submit(NewJob { not_before: past.map(Into::into), ..scene.job() }, None, slow().await)
        .await
        .unwrap()
        .0
        .job;
    assert_eq!(job.state, JobState::Queued, "its time has come, whatever the node thinks");
    let job = other.claim(scene.room(1), slow().await).await.unwrap().remove(0).job;
    let running = other.record(job.id, started(&job), None, slow().await).await.0.unwrap().job;
    let questions = vec![scene.question("branch", Some(Duration::from_millis(1)))];
    other.record(job.id, Event::Asked { token: running.attempt, questions }, None, slow().await).await.0.unwrap();
    while other.expire_questions(slow().await, MANY).await.unwrap().is_empty() {}
    let soon = database.now().await.plus(Duration::from_millis(20));
    let later =
        other.submit(NewJob { not_before: Some(soon.into()), ..scene.job() }, None, slow().await).await.unwrap().0.job;
    loop {
        let fired = other.promote_due(slow().await, MANY).await.unwrap();
        if let [change] = &fired[..] {
            assert_eq!(change.job.id, later.id);
            assert!(change.job.changed_at >= soon, "fired early");
            break;
        }
    }
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_takes_nothing_for_old_that_is_not() {
    let (database, scene) = Database::new().await;
    let other = database.node().await;
    let job = scene.ran(scene.job(), 0).await;
    let now = database.now().await;
    for wrong in [now.plus(HOUR), now.minus(HOUR)] {
        let old = async |age| other.old_jobs(OldJobs { age, ..OldJobs::default() }, wrong, MANY).await.unwrap();
        assert_eq!(old(MINUTE).await, []);
        while old(Duration::ZERO).await.is_empty() {}
        assert_eq!(old(Duration::ZERO).await[0].id, job.id);
    }
}

#[tokio::test]
async fn a_delay_is_as_long_on_a_node_whose_clock_is_wrong() {
    let (database, scene) = Database::new().await;
    let now = database.now().await;
    for wrong in [now.plus(HOUR), now.minus(HOUR)] {
        let before = database.now().await;
        let new = NewJob { not_before: Some(When::In { length: MINUTE }), ..scene.job() };
        let job = scene.store.submit(new, None, wrong).await.unwrap().0.job;
        let due = job.state.due_at().unwrap();
        assert!((before.plus(MINUTE)..=database.now().await.plus(MINUTE)).contains(&due), "{due}");
    }
}
