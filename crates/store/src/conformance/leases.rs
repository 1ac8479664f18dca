//! Only the live lease may write.

use std::time::Duration;

use longshore_domain::id::AttemptNumber;
use longshore_domain::job::{Event, Job, Refusal, RetryPolicy, StateName};
use longshore_domain::store::{Claim, NewJob, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene, cancel, ended, lost, node, report, started};

/// Every report that an attempt can make.
fn reports(scene: &Scene, token: AttemptNumber) -> Vec<Event> {
    vec![
        Event::GivenBack { token, reason: "late".into() },
        Event::Started { token, process: None, deadline_at: None },
        Event::Renewed { token, until: BEGIN.plus(Duration::from_secs(900)) },
        Event::Asked { token, questions: vec![scene.question("late", None)] },
        Event::DeadlinePassed { token },
        Event::Ended { token, report: report(0) },
        lost(token),
    ]
}

async fn refuses_all(scene: &Scene, job: &Job, token: AttemptNumber) {
    let before = (scene.read(job.id).await, scene.history(job.id).await);
    for event in reports(scene, token) {
        let refused = scene.record(job.id, event.clone()).await;
        let late = matches!(refused, Err(StoreError::Refused(Refusal::LeaseLost { .. })));
        assert!(late, "{event:?} was not refused as late: {refused:?}");
    }
    assert_eq!((scene.read(job.id).await, scene.history(job.id).await), before, "a late report changed something");
}

pub async fn late_reports_are_refused_and_change_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(NewJob { retry: RetryPolicy::times(3), ..scene.job() }).await;
    let waiting = scene.happen(job.id, lost(job.attempt)).await;
    refuses_all(&scene, &waiting, AttemptNumber(1)).await;
    scene.pass(Duration::from_secs(60));
    scene.store.promote_due(scene.now(), MANY).await.expect("done");
    refuses_all(&scene, &job, AttemptNumber(1)).await;
    let second = scene.take(1).await.remove(0).job;
    refuses_all(&scene, &job, AttemptNumber(1)).await;
    refuses_all(&scene, &job, AttemptNumber(3)).await;
    let second = scene.happen(job.id, started(&second)).await;
    refuses_all(&scene, &job, AttemptNumber(1)).await;
    assert!(scene.happen(job.id, ended(&second, 0)).await.is_finished());
}

pub async fn a_finished_job_takes_no_event_at_all(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.ran(scene.job(), 0).await;
    let history = scene.history(job.id).await;
    for event in reports(&scene, job.attempt).into_iter().chain([cancel(), Event::Due]) {
        let refused = scene.record(job.id, event).await;
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::Finished))));
    }
    assert_eq!((scene.read(job.id).await, scene.history(job.id).await), (job, history));
}

pub async fn a_renewal_reaches_every_live_lease_of_its_holder_and_no_other(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let claimed = scene.claimed(scene.job()).await;
    let running = scene.running(scene.job()).await;
    let stopping = scene.running(scene.job()).await;
    scene.happen(stopping.id, cancel()).await;
    let finished = scene.ran(scene.job(), 0).await;
    scene.accept(scene.job()).await;
    let other = Claim { holder: node(2), ..scene.room(1) };
    let other = scene.store.claim(other, scene.now()).await.expect("answered").remove(0).job;
    let untouched = (scene.read(finished.id).await, scene.read(other.id).await);
    let newest = scene.store.last_event().await.expect("read");
    let until = BEGIN.plus(Duration::from_secs(3600));
    let renewed = scene.store.renew(node(1), until, scene.now()).await.expect("renewed");
    assert_eq!(renewed, 3);
    for id in [claimed.id, running.id, stopping.id] {
        assert_eq!(scene.read(id).await.state.lease().map(|lease| lease.until), Some(until));
    }
    assert_eq!((scene.read(finished.id).await, scene.read(other.id).await), untouched);
    assert_eq!(scene.store.last_event().await.expect("read"), newest, "a renewal is no news");
    let sooner = scene.store.renew(node(1), BEGIN, scene.now()).await.expect("renewed");
    assert_eq!(sooner, 3);
    assert_eq!(scene.read(running.id).await.state.lease().map(|lease| lease.until), Some(until));
    assert_eq!(scene.store.renew(node(3), until, scene.now()).await.expect("renewed"), 0);
}

pub async fn a_renewed_job_can_still_be_reported_on(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    scene.store.renew(node(1), BEGIN.plus(Duration::from_secs(3600)), scene.now()).await.expect("renewed");
    let renewal = Event::Renewed { token: job.attempt, until: BEGIN.plus(Duration::from_secs(7200)) };
    let change = scene.record(job.id, renewal).await.expect("accepted");
    assert_eq!((change.seq, change.effects), (scene.store.last_event().await.expect("read"), vec![]));
    assert_eq!(change.job.version, job.version + 2);
    assert!(scene.happen(job.id, ended(&job, 0)).await.is_finished());
    assert_eq!(scene.history(job.id).await.len(), 4);
}

pub async fn live_jobs_are_those_with_a_lease(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let claimed = scene.claimed(scene.job()).await;
    let running = scene.running(scene.job()).await;
    let (asking, _) = scene.asking(scene.job(), &["branch"]).await;
    let stopping = scene.running(scene.job()).await;
    let stopping = scene.happen(stopping.id, cancel()).await;
    scene.ran(scene.job(), 1).await;
    scene.accept(scene.job()).await;
    let mut live = scene.store.live_jobs().await.expect("read");
    live.sort_by_key(|job| job.number);
    assert!(live.iter().all(|job| job.state.name().is_live()));
    assert_eq!(live, [claimed, running, asking, stopping]);
    assert_eq!(live[2].state.name(), StateName::Asking);
}
