//! Which job has which artifacts, and that nothing is collected that a job has.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::JobId;
use longshore_domain::store::{Ages, Keep, StoreError};

use super::scene::{BEGIN, MANY, Place, Scene};

fn digest(of: u8) -> Digest {
    Digest::new([of; 32])
}

fn artifact(name: &str, of: u8) -> Artifact {
    Artifact { name: name.into(), digest: digest(of), bytes: 1 << 40 | u64::from(of), made_at: BEGIN }
}

fn add(artifacts: &[Artifact], since: u64) -> Keep {
    Keep { add: artifacts.to_vec(), remove: vec![], since }
}

/// Gives a job artifacts whose objects were just put.
async fn give(scene: &Scene, job: JobId, artifacts: &[Artifact]) {
    let since = scene.store.newest_collection().await.expect("read");
    assert_eq!(scene.store.keep(job, add(artifacts, since)).await.expect("kept"), []);
}

async fn collect(scene: &Scene, objects: &[u8]) -> Vec<Digest> {
    let objects = objects.iter().copied().map(digest).collect();
    let mut begun = scene.store.collect(objects, scene.now()).await.expect("begun");
    begun.sort();
    begun
}

async fn end(scene: &Scene, objects: &[u8]) {
    let objects = objects.iter().copied().map(digest).collect();
    scene.store.collected(objects, scene.now()).await.expect("ended");
}

async fn of_job(scene: &Scene, job: JobId) -> Vec<Artifact> {
    scene.store.artifacts(job).await.expect("read")
}

pub async fn what_a_job_keeps_is_listed_by_name(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(scene.job()).await;
    let other = scene.accept(scene.job()).await;
    let kept = [artifact("A", 3), artifact("a/10", 1), artifact("a/2", 2), artifact("\u{e9}", 1)];
    let unsorted = [&kept[2], &kept[3], &kept[0], &kept[1]].map(Clone::clone);
    give(&scene, job.id, &unsorted).await;
    give(&scene, other.id, &kept[..1]).await;
    let scene = scene.reopened(place).await;
    assert_eq!(of_job(&scene, job.id).await, kept);
    assert_eq!(of_job(&scene, other.id).await, kept[..1]);
    assert_eq!(scene.read(job.id).await, job, "artifacts are no change of the job");
    assert_eq!(scene.history(job.id).await.len(), 1);
}

pub async fn names_are_replaced_and_taken_away_in_one_step(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(scene.job()).await;
    give(&scene, job.id, &[artifact("a", 1), artifact("b", 2), artifact("c", 3)]).await;
    let keep = Keep { add: vec![artifact("b", 4), artifact("d", 5)], remove: vec!["a".into(), "x".into()], since: 0 };
    assert_eq!(scene.store.keep(job.id, keep).await.expect("kept"), []);
    assert_eq!(of_job(&scene, job.id).await, [artifact("b", 4), artifact("c", 3), artifact("d", 5)]);
}

pub async fn unknown_jobs_keep_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let nobody = JobId::new(BEGIN, scene.fresh());
    let refused = scene.store.keep(nobody, add(&[artifact("a", 1)], 0)).await;
    assert!(matches!(refused, Err(StoreError::JobNotFound(id)) if id == nobody));
    assert_eq!(of_job(&scene, nobody).await, []);
    assert_eq!(collect(&scene, &[1]).await, [digest(1)]);
}

pub async fn artifacts_go_with_their_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (old, kept) = (scene.ran(scene.job(), 0).await, scene.ran(scene.job(), 0).await);
    give(&scene, old.id, &[artifact("a", 1), artifact("b", 2)]).await;
    give(&scene, kept.id, &[artifact("a", 2)]).await;
    assert_eq!(scene.store.remove(vec![old.id]).await.expect("removed"), [old.id]);
    assert_eq!(of_job(&scene, old.id).await, []);
    assert_eq!(of_job(&scene, kept.id).await, [artifact("a", 2)]);
    assert_eq!(collect(&scene, &[1, 2]).await, [digest(1)]);
}

pub async fn output_that_is_gone_takes_its_artifacts_along(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (gone, open) = (scene.ran(scene.job(), 0).await, scene.running(scene.job()).await);
    let others = [artifact("output", 4), artifact("outputs/1", 5), artifact("report", 6)];
    let output = [artifact("output/1/0", 1), artifact("output/2/0", 2)];
    for job in [&gone, &open] {
        give(&scene, job.id, &[&others[..], &output[..]].concat()).await;
    }
    scene.store.output_expired(vec![gone.id, open.id]).await.expect("noted");
    assert_eq!(of_job(&scene, gone.id).await, others);
    assert_eq!(of_job(&scene, open.id).await.len(), 5, "the output of an unfinished job does not expire");
}

pub async fn only_what_no_job_has_is_collected(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(scene.job()).await;
    give(&scene, job.id, &[artifact("a", 1), artifact("b", 2)]).await;
    assert_eq!(collect(&scene, &[]).await, []);
    assert_eq!(collect(&scene, &[1, 3, 2, 4]).await, [digest(3), digest(4)]);
    let replace = Keep { remove: vec!["a".into()], ..add(&[artifact("b", 5)], 0) };
    assert_eq!(scene.store.keep(job.id, replace).await.expect("kept"), []);
    assert_eq!(collect(&scene, &[1, 2, 5]).await, [digest(1), digest(2)]);
}

pub async fn what_will_be_unneeded_is_known_before(place: &dyn Place) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let scene = Scene::new(place).await;
    let [old, pinned, fresh, open] = [
        scene.ran(scene.job(), 0).await,
        scene.ran(scene.job(), 0).await,
        scene.ran(scene.job(), 0).await,
        scene.running(scene.job()).await,
    ];
    scene.store.pin(pinned.id, true).await.expect("pinned");
    give(&scene, old.id, &[artifact("output/1/0", 1), artifact("report", 2), artifact("shared", 3)]).await;
    give(&scene, fresh.id, &[artifact("output/1/0", 3)]).await;
    give(&scene, pinned.id, &[artifact("output/1/0", 4)]).await;
    give(&scene, open.id, &[artifact("output/1/0", 5)]).await;
    let later = old.finished_at().expect("finished").plus(HOUR + Duration::from_millis(1));
    let unneeded = async |output, record| {
        let objects = (1..=6).map(digest).collect();
        let mut found = scene.store.unneeded(objects, Ages { output, record }, later).await.expect("read");
        found.sort();
        found
    };
    assert_eq!(unneeded(2 * HOUR, 2 * HOUR).await, [digest(6)], "nobody ever had it");
    assert_eq!(unneeded(HOUR, 2 * HOUR).await, [digest(1), digest(6)]);
    assert_eq!(unneeded(2 * HOUR, HOUR).await, [digest(1), digest(2), digest(6)]);
    assert_eq!(unneeded(Duration::ZERO, Duration::ZERO).await, [digest(1), digest(2), digest(3), digest(6)]);
    assert_eq!(collect(&scene, &[1]).await, [], "nothing was changed");
}

pub async fn what_may_have_been_collected_is_to_be_put_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.accept(scene.job()).await;
    let since = scene.store.newest_collection().await.expect("read");
    let wanted = [artifact("a", 1), artifact("b", 2)];
    let keep = |since| scene.store.keep(job.id, add(&wanted, since));
    collect(&scene, &[1]).await;
    let begun = scene.store.newest_collection().await.expect("read");
    assert!(begun > since);
    for since in [since, begun] {
        assert_eq!(keep(since).await.expect("answered"), [digest(1)], "it is being deleted");
    }
    end(&scene, &[1]).await;
    assert_eq!(keep(since).await.expect("answered"), [digest(1)], "it was looked for before");
    assert_eq!(of_job(&scene, job.id).await, [], "all or nothing");
    // Ended collections are forgotten after some days, their numbers never come again.
    scene.pass(Duration::from_secs(30 * 86_400));
    collect(&scene, &[9]).await;
    end(&scene, &[9]).await;
    scene.pass(Duration::from_secs(30 * 86_400));
    collect(&scene, &[8]).await;
    let newest = scene.store.newest_collection().await.expect("read");
    assert!(newest > begun);
    assert_eq!(keep(newest).await.expect("kept"), []);
    assert_eq!(of_job(&scene, job.id).await, wanted);
}

pub async fn a_collection_is_nobody_elses_until_it_is_taken_over(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(collect(&scene, &[1, 2]).await, [digest(1), digest(2)]);
    assert_eq!(collect(&scene, &[2, 3]).await, [digest(3)]);
    end(&scene, &[2]).await;
    assert_eq!(collect(&scene, &[2]).await, [digest(2)], "it was put again meanwhile");
    let take_over = async |age, limit| {
        let mut taken = scene.store.take_over_collections(age, limit, scene.now()).await.expect("taken over");
        taken.sort();
        taken
    };
    const HOUR: Duration = Duration::from_secs(3_600);
    assert_eq!(take_over(HOUR, MANY).await, []);
    scene.pass(HOUR);
    assert_eq!(take_over(HOUR, 1).await.len(), 1);
    assert_eq!(take_over(HOUR, MANY).await.len(), 2, "what was taken over begins anew");
    end(&scene, &[1, 2, 3]).await;
    scene.pass(HOUR);
    assert_eq!(take_over(HOUR, MANY).await, []);
}

/// One side puts an object and gives it to a job, the other collects it, as fast as they can. Neither ever finds that a
/// job has what was deleted.
pub async fn keeping_and_collecting_at_once_lose_nothing(place: &dyn Place) {
    const ROUNDS: usize = 10;
    let scene = Arc::new(Scene::new(place).await);
    let job = scene.accept(scene.job()).await;
    let object = Arc::new(std::sync::Mutex::new(false));
    let keeper = {
        let (scene, object) = (Arc::clone(&scene), Arc::clone(&object));
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                loop {
                    let since = scene.store.newest_collection().await.expect("read");
                    *object.lock().expect("whole") = true;
                    tokio::task::yield_now().await;
                    let again = scene.store.keep(job.id, add(&[artifact("a", 1)], since)).await.expect("answered");
                    if again.is_empty() {
                        break;
                    }
                }
                assert!(*object.lock().expect("whole"), "what the job has is there");
                let gone = Keep { remove: vec!["a".into()], ..Keep::default() };
                scene.store.keep(job.id, gone).await.expect("taken away");
            }
        })
    };
    while !keeper.is_finished() {
        if !collect(&scene, &[1]).await.is_empty() {
            *object.lock().expect("whole") = false;
            end(&scene, &[1]).await;
        }
        tokio::task::yield_now().await;
    }
    keeper.await.expect("nothing was lost");
}
