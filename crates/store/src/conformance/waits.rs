//! Jobs that wait for their time.

use std::time::Duration;

use longshore_domain::job::{Effect, Event, JobState, Refusal};
use longshore_domain::store::{NewJob, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene};

pub async fn a_job_for_later_waits_until_its_time(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let at = BEGIN.plus(Duration::from_secs(60));
    let job = scene.accept(NewJob { not_before: Some(at), ..scene.job() }).await;
    assert_eq!(job.state, JobState::Waiting { until: Some(at), after_left: 0 });
    let wait = scene.store.next_due(BEGIN).await.expect("read");
    assert_eq!(wait, Some(Duration::from_secs(60)));
    assert_eq!(scene.take_ids(5).await, []);
    assert_eq!(scene.store.promote_due(scene.now(), MANY).await.expect("done"), []);
    let early = scene.record(job.id, Event::Due).await.expect_err("too early");
    assert!(matches!(early, StoreError::Refused(Refusal::NotDue(until)) if until == at));
    let promoted = scene.store.promote_due(at, MANY).await.expect("done");
    assert_eq!((promoted.len(), &promoted[0].effects), (1, &vec![Effect::Ready]));
    assert_eq!(scene.read(job.id).await, promoted[0].job);
    assert_eq!(scene.store.next_due(at).await.expect("read"), None);
    assert_eq!(scene.take_ids(5).await, [job.id]);
}

pub async fn due_jobs_are_queued_in_the_order_of_their_times(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let mut by_time = vec![];
    for seconds in [30, 10, 20, 40] {
        let at = BEGIN.plus(Duration::from_secs(seconds));
        by_time.push((seconds, scene.accept(NewJob { not_before: Some(at), ..scene.job() }).await.id));
    }
    by_time.sort_unstable();
    let later = BEGIN.plus(Duration::from_secs(35));
    let mut promoted = vec![];
    for expected in [2, 1, 0] {
        let changes = scene.store.promote_due(later, 2).await.expect("done");
        assert_eq!(changes.len(), expected);
        promoted.extend(changes.iter().map(|change| change.job.id));
    }
    assert_eq!(promoted, by_time[..3].iter().map(|(_, id)| *id).collect::<Vec<_>>());
    for (now, left) in [(BEGIN, 40), (later, 5), (later.plus(Duration::from_secs(60)), 0)] {
        assert_eq!(scene.store.next_due(now).await.expect("read"), Some(Duration::from_secs(left)));
    }
}

pub async fn a_time_that_has_passed_is_no_wait(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(NewJob { not_before: Some(BEGIN), ..scene.job() }).await;
    assert_eq!(job.state, JobState::Queued);
}
