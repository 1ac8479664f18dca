//! What time fires is fired once, however many nodes look at the same time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::id::{EventSeq, JobId};
use longshore_domain::job::{Event, EventKind, StateName};
use longshore_domain::store::{Change, NewJob, Store, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene, ended};

const RACERS: usize = 6;
const JOBS: usize = 40;

/// Has many ask for the same until nobody gets anything any more; gives the jobs that were changed, each as often as it
/// was.
async fn race<F>(scene: &Arc<Scene>, ask: impl Fn(Arc<dyn Store>) -> F) -> Vec<JobId>
where
    F: Future<Output = Result<Vec<Change>, StoreError>> + Send + 'static,
{
    let mut changed = vec![];
    loop {
        let calls: Vec<_> = (0..RACERS).map(|_| tokio::spawn(ask(Arc::clone(&scene.store)))).collect();
        let before = changed.len();
        for call in calls {
            let changes = call.await.expect("no panic").expect("the store answers");
            changed.extend(changes.into_iter().map(|change| change.job.id));
        }
        if changed.len() == before {
            return changed;
        }
    }
}

/// Each of `expected` was changed once, and its history says so.
async fn fired_once(scene: &Scene, fired: Vec<JobId>, expected: &[JobId], kind: EventKind) {
    let expected: HashSet<_> = expected.iter().copied().collect();
    assert_eq!((fired.len(), fired.into_iter().collect::<HashSet<_>>()), (expected.len(), expected.clone()));
    let history = scene.store.events(EventSeq(0), None, MANY).await.expect("read");
    let told = history.iter().filter(|line| line.kind == kind).map(|line| line.job);
    let told: Vec<_> = told.collect();
    assert_eq!((told.len(), told.into_iter().collect::<HashSet<_>>()), (expected.len(), expected));
}

pub async fn delayed_jobs_fire_once(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let due = BEGIN.plus(Duration::from_secs(60));
    let mut jobs = vec![];
    for _ in 0..JOBS {
        jobs.push(scene.accept(NewJob { not_before: Some(due), ..scene.job() }).await.id);
    }
    let fired = race(&scene, |store| async move { store.promote_due(due, 7).await }).await;
    fired_once(&scene, fired, &jobs, EventKind::Due).await;
}

pub async fn questions_run_out_once(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    scene.set_queue("default", JOBS as u32).await;
    let mut jobs = vec![];
    for _ in 0..JOBS {
        let job = scene.running(scene.job()).await;
        let questions = vec![scene.question("branch", Some(Duration::from_secs(60)))];
        scene.happen(job.id, Event::Asked { token: job.attempt, questions }).await;
        jobs.push(job.id);
    }
    scene.pass(Duration::from_secs(120));
    let now = scene.now();
    let fired = race(&scene, |store| async move { store.expire_questions(now, 7).await }).await;
    fired_once(&scene, fired, &jobs, EventKind::Unanswered).await;
}

pub async fn dependents_are_told_once(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let roots = [scene.running(scene.job()).await, scene.running(scene.job()).await];
    let mut jobs = vec![];
    for at in 0..JOBS {
        jobs.push(scene.accept(scene.job_after(&[&roots[at % 2]])).await.id);
    }
    for root in &roots {
        scene.happen(root.id, ended(root, 0)).await;
    }
    let now = scene.now();
    let fired = race(&scene, |store| async move { store.settle(now, 7).await }).await;
    fired_once(&scene, fired, &jobs, EventKind::DependencySucceeded).await;
    for id in jobs {
        assert_eq!(scene.read(id).await.state.name(), StateName::Queued);
    }
}
