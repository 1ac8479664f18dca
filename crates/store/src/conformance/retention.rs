//! What becomes of jobs after their time: only finished ones, only unpinned ones, and never a number twice.

use std::time::Duration;

use longshore_domain::access::Principal;
use longshore_domain::id::EventSeq;
use longshore_domain::job::{Effect, Job};
use longshore_domain::store::{IdempotencyKey, JobFilter, NewJob, OldJobs};
use longshore_domain::time::Timestamp;

use super::scene::{BEGIN, MANY, Place, Scene, cancel, ended};

fn numbers(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(|job| job.number.0).collect()
}

pub async fn old_jobs_come_oldest_first_without_the_pinned_and_the_unfinished(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let slow = scene.running(scene.job()).await;
    for _ in 0..4 {
        scene.ran(scene.job(), 0).await;
    }
    scene.accept(NewJob { not_before: Some(BEGIN.plus(Duration::from_secs(60)).into()), ..scene.job() }).await;
    let pinned = scene.store.job_by_number(longshore_domain::JobNumber(3)).await.expect("read").expect("is there");
    let pinned = scene.store.pin(pinned.id, true).await.expect("pinned");
    assert!(pinned.pinned && scene.read(pinned.id).await == pinned);
    scene.happen(slow.id, ended(&slow, 0)).await;
    let later = scene.now();
    let since = |instant: Timestamp| OldJobs { age: later.since(instant), ..OldJobs::default() };
    let old = async |query, limit| scene.store.old_jobs(query, later, limit).await.expect("read");
    for with_output in [false, true] {
        let query = OldJobs { with_output, ..OldJobs::default() };
        for (limit, expected) in [(MANY, vec![2, 4, 5, 1]), (2, vec![2, 4]), (0, vec![])] {
            assert_eq!(numbers(&old(query, limit).await), expected);
        }
    }
    let third = old(OldJobs::default(), MANY).await[2].finished_at().expect("finished");
    assert_eq!(numbers(&old(since(third), MANY).await), [2, 4], "not yet more than that long ago");
    scene.store.pin(pinned.id, false).await.expect("unpinned");
    assert_eq!(numbers(&old(OldJobs::default(), MANY).await), [2, 3, 4, 5, 1]);
    scene.store.output_expired(vec![pinned.id]).await.expect("noted");
    for (with_output, expected) in [(false, vec![2, 3, 4, 5, 1]), (true, vec![2, 4, 5, 1])] {
        let (mut paged, mut after) = (vec![], None);
        while let Some(job) = old(OldJobs { with_output, after, ..OldJobs::default() }, 1).await.pop() {
            after = job.finished_at().map(|at| (at, job.number));
            paged.push(job.number.0);
        }
        assert_eq!(paged, expected, "page by page");
    }
}

pub async fn output_that_is_gone_is_noted_once(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let gone = scene.ran(scene.job(), 0).await;
    let kept = scene.ran(scene.job(), 0).await;
    let pinned = scene.ran(scene.job(), 0).await;
    let pinned = scene.store.pin(pinned.id, true).await.expect("pinned");
    let open = scene.running(scene.job()).await;
    for expected in [vec![gone.id], vec![]] {
        let all = vec![gone.id, open.id, pinned.id];
        assert_eq!(scene.store.output_expired(all).await.expect("noted"), expected);
    }
    let noted = scene.read(gone.id).await;
    assert!(noted.output_expired);
    assert_eq!((noted.version, &noted.state), (gone.version + 1, &gone.state));
    for job in [open, kept.clone(), pinned] {
        assert_eq!(scene.read(job.id).await, job);
    }
    let later = scene.now();
    let with_output = OldJobs { with_output: true, ..OldJobs::default() };
    assert_eq!(scene.store.old_jobs(with_output, later, MANY).await.expect("read"), [kept]);
    assert_eq!(numbers(&scene.store.old_jobs(OldJobs::default(), later, MANY).await.expect("read")), [1, 2]);
}

pub async fn removing_takes_all_that_belongs_to_a_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let key = || Some(IdempotencyKey { key: "once".into(), digest: [1; 32] });
    let old = scene.ran(NewJob { key: key(), ..scene.job() }, 0).await;
    let kept = scene.ran(scene.job(), 0).await;
    assert_eq!(scene.store.remove(vec![old.id, old.id]).await.expect("removed"), [old.id]);
    assert_eq!(scene.store.job(old.id).await.expect("read"), None);
    assert_eq!(scene.store.spec(old.id).await.expect("read"), None);
    assert_eq!(scene.history(old.id).await, []);
    let lines = scene.store.events(EventSeq(0), None, MANY).await.expect("read");
    assert!(lines.iter().all(|line| line.job == kept.id));
    assert_eq!(scene.store.jobs(JobFilter::default(), MANY).await.expect("read"), [kept]);
    assert_eq!(scene.store.counts().await.expect("read").finished, 1);
    let again = scene.submit(NewJob { key: key(), ..scene.job() }).await.expect("accepted");
    assert!(!again.existing, "the key went with its job");
}

pub async fn removing_leaves_the_unfinished_and_the_pinned_alone(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let running = scene.running(scene.job()).await;
    let waiting =
        scene.accept(NewJob { not_before: Some(BEGIN.plus(Duration::from_secs(60)).into()), ..scene.job() }).await;
    let pinned = scene.ran(scene.job(), 0).await;
    let pinned = scene.store.pin(pinned.id, true).await.expect("pinned");
    let queued = scene.accept(scene.job()).await;
    let jobs = [running, waiting, pinned, queued];
    assert_eq!(scene.store.remove(jobs.iter().map(|job| job.id).collect()).await.expect("done"), []);
    for job in jobs {
        assert_eq!(scene.read(job.id).await, job);
        assert!(!scene.history(job.id).await.is_empty());
    }
}

pub async fn a_job_is_not_removed_before_its_dependents_were_told(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.running(scene.job()).await;
    let child = scene.accept(scene.job_after(&[&root])).await;
    scene.happen(root.id, ended(&root, 0)).await;
    assert_eq!(scene.store.remove(vec![root.id]).await.expect("done"), []);
    assert_eq!(scene.settle_all().await[0].effects, [Effect::Ready]);
    assert_eq!(scene.store.remove(vec![root.id]).await.expect("done"), [root.id]);
    assert_eq!(scene.take_ids(1).await, [child.id]);
}

pub async fn a_removed_dependent_is_not_missed(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let root = scene.running(scene.job()).await;
    let child = scene.accept(scene.job_after(&[&root])).await;
    scene.happen(child.id, cancel()).await;
    assert_eq!(scene.store.remove(vec![child.id]).await.expect("done"), [child.id]);
    scene.happen(root.id, ended(&root, 0)).await;
    assert_eq!(scene.settle_all().await, []);
    assert_eq!(scene.store.remove(vec![root.id]).await.expect("done"), [root.id]);
}

pub async fn numbers_are_never_given_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    for _ in 0..3 {
        let job = scene.ran(scene.job(), 0).await;
        scene.store.remove(vec![job.id]).await.expect("removed");
    }
    let newest = scene.store.last_event().await.expect("read");
    assert_eq!(newest, EventSeq(12));
    let scene = scene.reopened(place).await;
    assert_eq!(scene.store.last_event().await.expect("read"), newest);
    let job = scene.accept(scene.job()).await;
    assert_eq!(job.number.0, 4);
    assert_eq!(scene.store.last_event().await.expect("read"), EventSeq(13));
}

pub async fn a_pin_survives_what_happens_to_the_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(NewJob { principal: Principal::agent("a"), ..scene.job() }).await;
    let pinned = scene.store.pin(job.id, true).await.expect("pinned");
    assert_eq!((pinned.version, &pinned.state), (job.version + 1, &job.state));
    let ended = scene.happen(job.id, ended(&job, 0)).await;
    assert!(ended.pinned && scene.read(job.id).await == ended);
    assert_eq!(scene.store.old_jobs(OldJobs::default(), scene.now(), MANY).await.expect("read"), []);
    assert_eq!(scene.history(job.id).await.len(), 4, "a pin is no news");
}
