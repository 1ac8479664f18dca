//! Shutting, and finding everything again.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::access::Conversation;
use longshore_domain::id::{EventSeq, JobId, JobNumber};
use longshore_domain::store::{Ages, JobFilter, Keep, Notice, OldJobs, QuestionFilter, Queue, StoreError};

use super::scene::{LEASE, MANY, Place, Scene, cancel, node, queue};

pub async fn everything_is_there_after_opening_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.running(scene.job()).await;
    scene.accept(scene.job_after(&[&root])).await;
    scene.ran(scene.job(), 3).await;
    scene.accept_many(3).await;
    let jobs = scene.store.jobs(JobFilter::default(), MANY).await.expect("read");
    let events = scene.store.events(EventSeq(0), None, MANY).await.expect("read");
    let counts = scene.store.counts().await.expect("read");
    let scene = scene.reopened(place).await;
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read"), jobs);
    assert_eq!(scene.store.events(EventSeq(0), None, MANY).await.expect("read"), events);
    assert_eq!(scene.store.counts().await.expect("read"), counts);
    assert_eq!(scene.take_ids(9).await.len(), 3);
}

pub async fn a_shut_store_says_so_at_every_verb(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let id = scene.accept(scene.job()).await.id;
    let (store, now) = (Arc::clone(&scene.store), scene.now());
    store.close().await;
    store.close().await;
    let queue = Queue { name: queue("q"), concurrency: 1 };
    let notice = |peek| Notice {
        owner: "owner".into(),
        conversation: Conversation::new("chat"),
        except: vec![],
        limit: 1,
        peek,
    };
    let answers = [
        store.submit(scene.job(), None, now).await.map(drop),
        store.claim(scene.room(1), now).await.map(drop),
        store.record(id, cancel(), Some(scene.room(1)), now).await.0.map(drop),
        store.renew(node(1), LEASE, now).await.map(drop),
        store.expired(now, 1).await.map(drop),
        store.next_expiry(now).await.map(drop),
        store.beat(node(1), "first".into(), LEASE, now).await.map(drop),
        store.leave(node(1), "first".into()).await,
        store.nodes(now).await.map(drop),
        store.set_draining(node(1), true).await,
        store.secret("peers".into(), [0; 32]).await.map(drop),
        store.promote_due(now, 1).await.map(drop),
        store.next_due(now).await.map(drop),
        store.settle(now, 1).await.map(drop),
        store.expire_questions(now, 1).await.map(drop),
        store.next_question_deadline(now).await.map(drop),
        store.questions(id).await.map(drop),
        store.open_questions(QuestionFilter::default(), 1).await.map(drop),
        store.job(id).await.map(drop),
        store.job_by_number(JobNumber(1)).await.map(drop),
        store.spec(id).await.map(drop),
        store.jobs(JobFilter::default(), 1).await.map(drop),
        store.announce(notice(true)).await.map(drop),
        store.announce(notice(false)).await.map(drop),
        store.live_jobs().await.map(drop),
        store.position(id).await.map(drop),
        store.events(EventSeq(0), None, 1).await.map(drop),
        store.last_event().await.map(drop),
        store.samples(0).await.map(drop),
        store.counts().await.map(drop),
        store.queues().await.map(drop),
        store.set_queue(queue).await,
        store.pin(id, true).await.map(drop),
        store.output_expired(vec![id]).await.map(drop),
        store.artifacts(id).await.map(drop),
        store.newest_collection().await.map(drop),
        store.keep(id, Keep::default()).await.map(drop),
        store.unneeded(vec![], Ages::default(), now).await.map(drop),
        store.collect(vec![], now).await.map(drop),
        store.collected(vec![], now).await,
        store.take_over_collections(Duration::ZERO, 1, now).await.map(drop),
        store.old_jobs(OldJobs::default(), now, 1).await.map(drop),
        store.remove(vec![id]).await.map(drop),
        store.document("tokens".into()).await.map(drop),
        store.facts().await.map(drop),
        store.changed(0).await.map(drop),
    ];
    for (verb, answer) in answers.into_iter().enumerate() {
        assert!(matches!(answer, Err(StoreError::Closed)), "verb {verb}");
    }
}

/// Whatever was handed over before the store was shut is either done, and found again, or answered as not done.
pub async fn shutting_finishes_the_writes_under_way(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let submits = (0..200).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            let job = scene.job();
            (job.id, scene.submit(job).await)
        })
    });
    let submits: Vec<_> = submits.collect();
    tokio::task::yield_now().await;
    scene.store.close().await;
    let again = place.open().await;
    for submit in submits {
        let (id, answer): (JobId, _) = submit.await.expect("no panic");
        let found = again.job(id).await.expect("read");
        match answer {
            Ok(submitted) => assert_eq!(found, Some(submitted.job)),
            Err(error) => assert!(matches!(error, StoreError::Closed) && found.is_none()),
        }
    }
}

pub async fn waiting_for_others_ends_when_the_store_is_shut(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let mark = scene.store.changed(0).await.expect("the first mark comes at once");
    let store = Arc::clone(&scene.store);
    let waiting = tokio::spawn(async move {
        let mut mark = mark;
        // It may come for nothing.
        loop {
            match store.changed(mark).await {
                Ok(next) => assert_ne!(std::mem::replace(&mut mark, next), next, "no hint without a new mark"),
                Err(error) => break error,
            }
        }
    });
    scene.accept(scene.job()).await;
    scene.store.close().await;
    assert!(matches!(waiting.await.expect("no panic"), StoreError::Closed));
}

pub async fn a_store_knows_what_it_is(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let facts = scene.store.facts().await.expect("known");
    assert!(facts.engine.contains(|c: char| c.is_ascii_digit()), "product and version: {}", facts.engine);
    assert!(!facts.location.is_empty() && !facts.durability.is_empty());
    assert!(facts.schema >= 1);
}
