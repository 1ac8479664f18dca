//! Jobs that wait for others.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_domain::id::JobId;
use longshore_domain::job::{Effect, EventKind, FailReason, Job, JobState, StateName};
use longshore_domain::store::{JobFilter, NewJob, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene, cancel, ended, started};

fn after_left(job: &Job) -> Option<u32> {
    match job.state {
        JobState::Waiting { after_left, .. } => Some(after_left),
        _ => None,
    }
}

async fn finish(scene: &Scene, id: JobId, exit_code: i32) {
    let taken = scene.take(1).await.remove(0).job;
    assert_eq!(taken.id, id);
    scene.happen(id, started(&taken)).await;
    scene.happen(id, ended(&taken, exit_code)).await;
}

pub async fn a_chain_runs_in_its_order(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = scene.accept(scene.job()).await;
    let second = scene.accept(scene.job_after(&[&first])).await;
    let third = scene.accept(scene.job_after(&[&second])).await;
    assert_eq!((after_left(&second), after_left(&third)), (Some(1), Some(1)));
    for (done, next) in [(&first, Some(&second)), (&second, Some(&third)), (&third, None)] {
        finish(&scene, done.id, 0).await;
        let told = scene.settle_all().await;
        assert_eq!(
            told.iter().map(|change| change.job.id).collect::<Vec<_>>(),
            next.map_or(vec![], |next| vec![next.id])
        );
        assert!(told.iter().all(|change| change.effects == [Effect::Ready]));
    }
}

pub async fn a_diamond_waits_for_both_sides(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let top = scene.accept(scene.job()).await;
    let left = scene.accept(scene.job_after(&[&top])).await;
    let right = scene.accept(scene.job_after(&[&top])).await;
    let bottom = scene.accept(scene.job_after(&[&left, &right, &left])).await;
    assert_eq!(after_left(&bottom), Some(2), "a job named twice counts once");
    finish(&scene, top.id, 0).await;
    assert_eq!(scene.settle_all().await.len(), 2);
    finish(&scene, left.id, 0).await;
    let told = scene.settle_all().await;
    assert_eq!((told.len(), after_left(&told[0].job)), (1, Some(1)));
    assert_eq!(scene.read(bottom.id).await, told[0].job);
    finish(&scene, right.id, 0).await;
    assert_eq!(scene.settle_all().await[0].job.state, JobState::Queued);
    assert_eq!(scene.take_ids(5).await, [bottom.id]);
}

pub async fn an_unknown_job_to_wait_for_is_refused(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let known = scene.accept(scene.job()).await;
    let unknown = JobId::new(BEGIN, 999);
    let new = NewJob { after: vec![known.id, unknown], ..scene.job() };
    assert!(matches!(scene.submit(new).await, Err(StoreError::DependencyNotFound(id)) if id == unknown));
    let itself = scene.job();
    let id = itself.id;
    let itself = NewJob { after: vec![id], ..itself };
    assert!(matches!(scene.submit(itself).await, Err(StoreError::DependencyNotFound(found)) if found == id));
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read"), [known]);
}

pub async fn a_job_that_has_succeeded_need_not_be_waited_for(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let done = scene.ran(scene.job(), 0).await;
    let open = scene.accept(scene.job()).await;
    assert_eq!(scene.accept(scene.job_after(&[&done])).await.state, JobState::Queued);
    assert_eq!(after_left(&scene.accept(scene.job_after(&[&done, &open])).await), Some(1));
}

pub async fn a_job_after_a_failed_one_is_accepted_and_ends_blocked(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let failed = scene.ran(scene.job(), 1).await;
    let cancelled = scene.accept(scene.job()).await;
    scene.happen(cancelled.id, cancel()).await;
    let open = scene.accept(scene.job()).await;
    for cause in [&failed, &cancelled] {
        let job = scene.accept(scene.job_after(&[&open, cause])).await;
        let outcome = job.outcome().expect("finished").clone();
        assert_eq!((outcome.reason, outcome.cause), (Some(FailReason::Blocked), Some(cause.id)));
        assert_eq!(scene.read(job.id).await, job);
        let kinds: Vec<_> = scene.history(job.id).await.iter().map(|line| (line.kind, line.state)).collect();
        let blocked = (EventKind::DependencyFailed, StateName::Finished);
        assert_eq!(kinds, [(EventKind::Submitted, StateName::Waiting), blocked]);
    }
    finish(&scene, open.id, 0).await;
    assert_eq!(scene.settle_all().await, []);
}

pub async fn a_failure_blocks_all_that_hangs_on_it(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.accept(scene.job()).await;
    let child = scene.accept(scene.job_after(&[&root])).await;
    let grandchild = scene.accept(scene.job_after(&[&child])).await;
    let other = scene.accept(scene.job_after(&[&child])).await;
    finish(&scene, root.id, 2).await;
    let told = scene.settle_all().await;
    let causes: Vec<_> =
        told.iter().map(|change| (change.job.id, change.job.outcome().and_then(|o| o.cause))).collect();
    assert_eq!(causes, [(child.id, Some(root.id)), (grandchild.id, Some(child.id)), (other.id, Some(child.id))]);
    let settles: Vec<_> = told.iter().map(|change| change.effects == [Effect::Settle]).collect();
    assert_eq!(settles, [true, false, false], "only what others wait for is to be settled");
    assert!(told.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

pub async fn more_dependents_than_the_limit_are_told_in_turns(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.accept(scene.job()).await;
    let mut waiting = BTreeSet::new();
    for _ in 0..25 {
        waiting.insert(scene.accept(scene.job_after(&[&root])).await.id);
    }
    finish(&scene, root.id, 0).await;
    let scene = scene.reopened(place).await;
    assert_eq!(scene.store.settle(scene.now(), 0).await.expect("done"), []);
    let mut told = BTreeSet::new();
    for expected in [10, 10, 5, 0] {
        let changes = scene.store.settle(scene.now(), 10).await.expect("done");
        assert_eq!(changes.len(), expected);
        told.extend(changes.iter().map(|change| change.job.id));
    }
    assert_eq!(told, waiting);
}

pub async fn a_dependent_that_has_ended_is_not_told(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.accept(scene.job()).await;
    let mut cancelled = vec![];
    for _ in 0..12 {
        let job = scene.accept(scene.job_after(&[&root])).await;
        cancelled.push(scene.happen(job.id, cancel()).await);
    }
    let last = scene.accept(scene.job_after(&[&root])).await;
    finish(&scene, root.id, 0).await;
    let told = scene.store.settle(scene.now(), 3).await.expect("done");
    assert_eq!(told.iter().map(|change| change.job.id).collect::<Vec<_>>(), [last.id]);
    for job in cancelled {
        assert_eq!(scene.read(job.id).await, job);
    }
}

pub async fn a_job_may_wait_for_others_and_for_its_time(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.accept(scene.job()).await;
    let at = BEGIN.plus(Duration::from_secs(60));
    let job = scene.accept(NewJob { not_before: Some(at), ..scene.job_after(&[&root]) }).await;
    assert_eq!(scene.store.next_due(BEGIN).await.expect("read"), None);
    assert_eq!(scene.store.promote_due(at, MANY).await.expect("done"), []);
    finish(&scene, root.id, 0).await;
    let told = scene.settle_all().await;
    assert_eq!(told[0].effects, [Effect::Timer(at)]);
    assert_eq!(scene.store.next_due(BEGIN).await.expect("read"), Some(at.since(BEGIN)));
    assert_eq!(scene.store.promote_due(at, MANY).await.expect("done")[0].job.id, job.id);
}
