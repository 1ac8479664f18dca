//! The history: every change, in its order, once.

use std::collections::HashMap;
use std::sync::Arc;

use longshore_domain::id::{AttemptNumber, EventSeq};
use longshore_domain::job::{EventKind, EventRecord, JobState, StateName};
use longshore_domain::store::StoreError;

use super::scene::{MANY, Place, Scene, cancel, ended, started};

pub async fn every_change_leaves_a_line_with_its_detail(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    let change = scene.record(job.id, cancel()).await.expect("accepted");
    let lines = scene.history(job.id).await;
    let kinds: Vec<_> = lines.iter().map(|line| (line.kind, line.state, line.attempt.0)).collect();
    assert_eq!(
        kinds,
        [
            (EventKind::Submitted, StateName::Queued, 0),
            (EventKind::Claimed, StateName::Claimed, 1),
            (EventKind::Started, StateName::Running, 1),
            (EventKind::CancelRequested, StateName::Stopping, 1),
        ]
    );
    let last = EventRecord {
        seq: change.seq,
        job: job.id,
        number: job.number,
        at: change.job.changed_at,
        kind: EventKind::CancelRequested,
        state: StateName::Stopping,
        attempt: AttemptNumber(1),
        detail: Some("not needed".into()),
    };
    assert_eq!(lines.last(), Some(&last));
    assert_eq!(scene.store.last_event().await.expect("read"), change.seq);
}

pub async fn a_refused_event_leaves_no_line(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(scene.job()).await;
    let newest = scene.store.last_event().await.expect("read");
    assert!(matches!(scene.record(job.id, ended(&job, 0)).await, Err(StoreError::Refused(_))));
    assert_eq!(scene.store.last_event().await.expect("read"), newest);
    assert_eq!(scene.history(job.id).await.len(), 1);
}

pub async fn history_is_read_on_from_any_point(place: &dyn Place) {
    let scene = Scene::new(place).await;
    for _ in 0..4 {
        scene.ran(scene.job(), 0).await;
    }
    let all = scene.store.events(EventSeq(0), None, MANY).await.expect("read");
    assert_eq!(all.len(), 16);
    let mut read = vec![];
    let mut after = EventSeq(0);
    loop {
        let page = scene.store.events(after, None, 3).await.expect("read");
        let Some(last) = page.last() else { break };
        after = last.seq;
        read.extend(page);
    }
    assert_eq!(read, all);
    assert_eq!(scene.store.events(EventSeq(u64::MAX >> 1), None, 3).await.expect("read"), []);
    let one = scene.store.events(all[4].seq, Some(all[4].job), 2).await.expect("read");
    assert_eq!(one, all[5..7]);
}

/// Many callers at once: the order of the history is the order of the changes, without gaps in any job's life.
pub async fn the_order_of_lines_is_the_order_of_changes(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    scene.set_queue("default", 1_000).await;
    let callers = (0..20).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            let mut seen = vec![];
            for _ in 0..5 {
                scene.accept(scene.job()).await;
                for taken in scene.take(1).await {
                    let begun = scene.record(taken.job.id, started(&taken.job)).await.expect("accepted");
                    let done = scene.record(taken.job.id, ended(&taken.job, 0)).await.expect("accepted");
                    seen.extend([(begun.seq, begun.job), (done.seq, done.job)]);
                }
            }
            seen
        })
    });
    let mut seen = HashMap::new();
    for caller in callers.collect::<Vec<_>>() {
        seen.extend(caller.await.expect("no panic"));
    }
    let all = scene.store.events(EventSeq(0), None, MANY).await.expect("read");
    assert!(all.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let mut versions = HashMap::new();
    for line in &all {
        let version = versions.entry(line.job).or_insert(0);
        *version += 1;
        if let Some(job) = seen.get(&line.seq) {
            assert_eq!((job.id, job.version, job.state.name()), (line.job, *version, line.state));
        }
    }
    let complete = versions.values().filter(|lines| **lines == 4).count();
    assert_eq!((all.len(), complete), (400, 100));
}

pub async fn a_line_is_there_as_soon_as_its_change_was_answered(place: &dyn Place) {
    let scene = Scene::new(place).await;
    for _ in 0..50 {
        let job = scene.accept(scene.job()).await;
        assert_eq!(scene.read(job.id).await, job);
        let taken = scene.take(1).await.remove(0).job;
        assert_eq!(scene.read(job.id).await, taken);
        let change = scene.record(job.id, ended(&taken, 0)).await.expect("accepted");
        assert!(matches!(scene.read(job.id).await.state, JobState::Finished { .. }));
        assert_eq!(scene.store.last_event().await.expect("read"), change.seq);
    }
}
