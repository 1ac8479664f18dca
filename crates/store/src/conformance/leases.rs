//! Only the live lease may write.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::id::AttemptNumber;
use longshore_domain::job::{Event, EventKind, Job, Refusal, RetryPolicy, StateName};
use longshore_domain::store::{Claim, HeldAttempt, NewJob, StoreError};

use super::scene::{BEGIN, LEASE, MANY, Place, Scene, cancel, ended, expired, lost, node, report, started};

/// Every report that an attempt can make.
fn reports(scene: &Scene, token: AttemptNumber) -> Vec<Event> {
    vec![
        Event::GivenBack { token, reason: "late".into() },
        Event::Started { token, process: None, deadline_at: None },
        Event::Renewed { token, lease: Duration::from_secs(900) },
        Event::Asked { token, questions: vec![scene.question("late", None)] },
        Event::DeadlinePassed { token },
        Event::Ended { token, report: report(0) },
        lost(token),
        expired(token),
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
    let (now, lease) = (scene.now(), Duration::from_secs(3600));
    let until = now.plus(lease);
    let mut held = scene.store.renew(node(1), lease, now).await.expect("renewed");
    held.sort_unstable();
    let attempt = AttemptNumber(1);
    assert_eq!(held, [claimed.id, running.id, stopping.id].map(|job| HeldAttempt { job, attempt }));
    for id in [claimed.id, running.id, stopping.id] {
        assert_eq!(scene.read(id).await.state.lease().map(|lease| lease.until), Some(until));
    }
    assert_eq!((scene.read(finished.id).await, scene.read(other.id).await), untouched);
    assert_eq!(scene.store.last_event().await.expect("read"), newest, "a renewal is no news");
    let sooner = scene.store.renew(node(1), Duration::ZERO, scene.now()).await.expect("renewed");
    assert_eq!(sooner.len(), 3);
    assert_eq!(scene.read(running.id).await.state.lease().map(|lease| lease.until), Some(until));
    assert_eq!(scene.store.renew(node(3), lease, scene.now()).await.expect("renewed"), []);
}

pub async fn a_renewed_job_can_still_be_reported_on(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    scene.store.renew(node(1), Duration::from_secs(3600), scene.now()).await.expect("renewed");
    let renewal = Event::Renewed { token: job.attempt, lease: Duration::from_secs(7200) };
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

pub async fn leases_run_out_one_by_one_whoever_holds_them(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(scene.store.next_expiry(BEGIN).await.expect("read"), None);
    scene.accept_many(3).await;
    let mut held = vec![];
    for (holder, seconds) in [(2, 20), (1, 10), (3, 30)] {
        let room = Claim { holder: node(holder), lease: Duration::from_secs(seconds), ..scene.room(1) };
        held.push(scene.store.claim(room, BEGIN).await.expect("answered").remove(0).job);
    }
    let after = |seconds| BEGIN.plus(Duration::from_secs(seconds));
    let next = async |now| scene.store.next_expiry(now).await.expect("read");
    let expired = async |now, limit| scene.store.expired(now, limit).await.expect("read");
    assert_eq!((next(after(3)).await, next(after(60)).await), (Some(Duration::from_secs(7)), Some(Duration::ZERO)));
    let early = after(10).minus(Duration::from_millis(1));
    assert_eq!(expired(early, MANY).await, []);
    assert_eq!(expired(after(10), MANY).await, [held[1].clone()]);
    assert_eq!(expired(after(60), MANY).await, [held[1].clone(), held[0].clone(), held[2].clone()]);
    assert_eq!(expired(after(60), 2).await, [held[1].clone(), held[0].clone()]);
    // Renewed in time, or late but before somebody gave its holder up.
    scene.store.renew(node(1), LEASE, after(15)).await.expect("renewed");
    assert_eq!(expired(after(25), MANY).await, [held[0].clone()]);
    assert_eq!(next(after(25)).await, Some(Duration::ZERO));
}

pub async fn a_holder_is_given_up_only_when_its_lease_has_run_out(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(NewJob { retry: RetryPolicy::times(1), ..scene.job() }).await;
    let until = job.state.lease().expect("it is live").until;
    let before = (scene.read(job.id).await, scene.history(job.id).await);
    let early = until.minus(Duration::from_millis(1));
    let refused = scene.store.record(job.id, expired(job.attempt), None, early).await.0;
    let live = matches!(refused, Err(StoreError::Refused(Refusal::LeaseLive { holder, until: at })) if holder == node(1) && at == until);
    assert!(live, "{refused:?}");
    assert_eq!((scene.read(job.id).await, scene.history(job.id).await), before);
    let change = scene.store.record(job.id, expired(job.attempt), None, until).await.0.expect("it has run out");
    assert_eq!((change.job.state.name(), change.job.failures), (StateName::Waiting, 1));
    let line = scene.history(job.id).await.pop().expect("a line");
    assert_eq!((line.kind, line.detail.as_deref()), (EventKind::Expired, Some("its node is gone")));
    assert_eq!(scene.store.renew(node(1), LEASE, until).await.expect("renewed"), []);
    scene.pass(Duration::from_secs(60));
    scene.store.promote_due(scene.now(), MANY).await.expect("done");
    let other = Claim { holder: node(2), ..scene.room(1) };
    let second = scene.store.claim(other, scene.now()).await.expect("answered").remove(0).job;
    let refused = scene.record(job.id, ended(&job, 0)).await.expect_err("somebody else holds the lease");
    let StoreError::Refused(Refusal::LeaseLost { token, newest, holder }) = refused else { panic!("{refused:?}") };
    assert_eq!((token, newest, holder), (AttemptNumber(1), AttemptNumber(2), Some(node(2))));
    let second = scene.happen(job.id, started(&second)).await;
    assert!(scene.happen(job.id, ended(&second, 0)).await.is_finished());
}

pub async fn a_holder_whose_lease_ran_out_may_report_until_it_is_given_up(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    scene.pass(LEASE * 2);
    assert_eq!(scene.store.expired(scene.now(), MANY).await.expect("read"), std::slice::from_ref(&job));
    assert!(scene.happen(job.id, ended(&job, 0)).await.outcome().expect("finished").is_success());
    let late = scene.record(job.id, expired(job.attempt)).await;
    assert!(matches!(late, Err(StoreError::Refused(Refusal::Finished))));
    assert_eq!(scene.store.expired(scene.now(), MANY).await.expect("read"), []);
}

pub async fn of_many_that_give_a_holder_up_one_is_heard(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    for _ in 0..10 {
        let job = scene.running(NewJob { retry: RetryPolicy::times(1), ..scene.job() }).await;
        scene.pass(LEASE);
        let calls = (0..8).map(|_| {
            let (scene, id) = (Arc::clone(&scene), job.id);
            tokio::spawn(async move { scene.record(id, expired(AttemptNumber(1))).await.is_ok() })
        });
        let mut heard = 0;
        for call in calls.collect::<Vec<_>>() {
            heard += u32::from(call.await.expect("no panic"));
        }
        assert_eq!(heard, 1);
        scene.happen(job.id, cancel()).await;
    }
}
