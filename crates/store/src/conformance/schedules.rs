//! Schedules, and the jobs that they make.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::access::Principal;
use longshore_domain::id::{JobId, ScheduleId};
use longshore_domain::job::{QueueName, RetryPolicy, StateName};
use longshore_domain::schedule::{Calendar, Overlap, SCHEDULED_AT, Schedule, ScheduleState, Template};
use longshore_domain::store::{Fire, Fired, JobFilter, NewJob};
use longshore_domain::time::Timestamp;

use super::scene::{BEGIN, MANY, Place, Scene, spec};

const MINUTE: Duration = Duration::from_secs(60);

/// A schedule of the owner that is not on record yet and fires first at that instant.
pub(crate) fn new_schedule(scene: &Scene, name: &str, next_at: Timestamp) -> Schedule {
    Schedule {
        id: ScheduleId::new(BEGIN, scene.fresh()),
        version: 0,
        principal: Principal::owner(),
        name: name.into(),
        calendar: Calendar { cron: "* * * * *".into(), time_zone: "Europe/Berlin".into() },
        overlap: Overlap::Skip,
        template: Template {
            spec: spec(&["make", "\u{1f6a2} \"all\""]),
            queue: QueueName::try_from("nightly".to_owned()).expect("a name"),
            requires: "gpu".parse().expect("labels"),
            priority: 7,
            retry: RetryPolicy::times(2),
        },
        made_at: BEGIN,
        state: ScheduleState::Active { next_at },
        last: None,
        skipped_at: None,
    }
}

async fn write(scene: &Scene, schedule: &Schedule) -> bool {
    scene.store.write_schedule(schedule.clone()).await.expect("answered")
}

async fn all(scene: &Scene) -> Vec<Schedule> {
    scene.store.schedules().await.expect("listed")
}

async fn only(scene: &Scene) -> Schedule {
    all(scene).await.pop().expect("there is one")
}

async fn due(scene: &Scene, limit: usize) -> Vec<String> {
    let due = scene.store.due_schedules(scene.now(), limit).await.expect("listed");
    due.into_iter().map(|schedule| schedule.name).collect()
}

/// A schedule that is on record and fires first a minute after the beginning.
async fn in_a_minute(scene: &Scene) -> Schedule {
    assert!(write(scene, &new_schedule(scene, "nightly", BEGIN.plus(MINUTE))).await);
    only(scene).await
}

/// The schedule fires for its time, and goes on a minute later.
fn firing(scene: &Scene, schedule: &Schedule) -> Fire {
    let due_at = schedule.state.next_at().expect("it is active");
    let id = JobId::new(BEGIN, scene.fresh());
    let job = Some(NewJob::scheduled(schedule, id, due_at));
    Fire { schedule: schedule.clone().fired(due_at, id, Some(due_at.plus(MINUTE))), job }
}

async fn fire(scene: &Scene, fire: Fire) -> Fired {
    scene.store.fire(fire, scene.now()).await.expect("answered")
}

async fn jobs(scene: &Scene) -> usize {
    scene.store.jobs(JobFilter::default(), MANY).await.expect("listed").len()
}

pub async fn a_schedule_is_written_by_who_saw_its_last_version(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let fresh = new_schedule(&scene, "nightly \u{1f980}", BEGIN);
    assert!(!write(&scene, &Schedule { version: 1, ..fresh.clone() }).await);
    assert!(write(&scene, &fresh).await);
    assert!(!write(&scene, &fresh).await);
    let paused = Schedule { version: 1, state: ScheduleState::Paused, ..fresh.clone() };
    assert_eq!(all(&scene).await, [Schedule { version: 1, ..fresh.clone() }]);
    assert!(write(&scene, &paused).await);
    assert!(!write(&scene, &paused).await);
    let scene = scene.reopened(place).await;
    assert_eq!(all(&scene).await, [Schedule { version: 2, ..paused }]);
    assert_eq!(scene.store.remove_schedule(fresh.id).await.ok(), Some(true));
    assert_eq!(scene.store.remove_schedule(fresh.id).await.ok(), Some(false));
    assert_eq!(all(&scene).await, []);
}

pub async fn names_of_schedules_are_apart_by_principal(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let of = |principal, name: &str| Schedule { principal, ..new_schedule(&scene, name, BEGIN) };
    assert!(write(&scene, &of(Principal::owner(), "b")).await);
    assert!(!write(&scene, &of(Principal::owner(), "b")).await);
    assert!(write(&scene, &of(Principal::agent("a"), "b")).await);
    assert!(write(&scene, &of(Principal::owner(), "a")).await);
    let names: Vec<_> = all(&scene).await.into_iter().map(|found| (found.principal.name, found.name)).collect();
    let owner = || Principal::OWNER.to_owned();
    assert_eq!(names, [("a".into(), "b".into()), (owner(), "a".into()), (owner(), "b".into())]);
}

pub async fn schedules_are_due_in_the_order_of_their_times(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let next = async || scene.store.next_firing(scene.now()).await.expect("read");
    assert_eq!(next().await, None);
    for (name, minutes) in [("third", 3), ("first", 1), ("second", 2)] {
        assert!(write(&scene, &new_schedule(&scene, name, BEGIN.plus(minutes * MINUTE))).await);
    }
    let paused = Schedule { state: ScheduleState::Paused, ..new_schedule(&scene, "paused", BEGIN) };
    assert!(write(&scene, &paused).await);
    assert_eq!(due(&scene, MANY).await, [""; 0]);
    assert!(next().await.is_some_and(|wait| wait <= MINUTE && wait > MINUTE / 2));
    scene.pass(2 * MINUTE);
    assert_eq!(due(&scene, MANY).await, ["first", "second"]);
    assert_eq!(due(&scene, 1).await, ["first"]);
    assert_eq!(next().await, Some(Duration::ZERO));
    assert!(scene.store.present(scene.now()).await.is_ok_and(|present| present >= BEGIN.plus(2 * MINUTE)));
}

pub async fn a_time_makes_one_job_and_moves_the_schedule_on(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let schedule = in_a_minute(&scene).await;
    scene.pass(MINUTE);
    let fires = firing(&scene, &schedule);
    let Fired::Job(job) = fire(&scene, fires.clone()).await else { panic!("it fires") };
    assert_eq!(job.state.name(), StateName::Queued);
    assert_eq!((job.name.as_deref(), job.queue.as_str(), job.priority), (Some("nightly"), "nightly", 7));
    assert_eq!((&job.requires, &job.retry), (&schedule.template.requires, &schedule.template.retry));
    assert_eq!(*job, scene.read(job.id).await);
    let spec = scene.store.spec(job.id).await.expect("read").expect("it is there");
    assert!(
        serde_json::to_string(&spec).expect("JSON").contains(&format!("\"{SCHEDULED_AT}\":\"{}\"", BEGIN.plus(MINUTE)))
    );
    assert_eq!(scene.history(job.id).await.len(), 1);
    assert_eq!(only(&scene).await, Schedule { version: 2, ..fires.schedule });
    assert_eq!(due(&scene, MANY).await, [""; 0]);
    let scene = scene.reopened(place).await;
    scene.pass(MINUTE);
    let fires = firing(&scene, &only(&scene).await);
    let Fired::Job(next) = fire(&scene, fires).await else { panic!("it fires again") };
    assert_eq!(next.number.0, job.number.0 + 1);
}

pub async fn a_time_that_has_not_come_or_was_used_makes_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let schedule = in_a_minute(&scene).await;
    assert_eq!(fire(&scene, firing(&scene, &schedule)).await, Fired::Not);
    scene.pass(5 * MINUTE);
    assert!(matches!(fire(&scene, firing(&scene, &schedule)).await, Fired::Job(_)));
    assert_eq!(fire(&scene, firing(&scene, &schedule)).await, Fired::Not);
    assert_eq!((jobs(&scene).await, only(&scene).await.version), (1, 2));
}

pub async fn a_time_may_be_passed_over(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let schedule = in_a_minute(&scene).await;
    scene.pass(MINUTE);
    let passed = schedule.clone().skipped(BEGIN.plus(MINUTE), None);
    let over = Fire { schedule: passed.clone(), job: None };
    assert_eq!(fire(&scene, over.clone()).await, Fired::Skipped);
    assert_eq!(fire(&scene, over).await, Fired::Not);
    assert_eq!((jobs(&scene).await, only(&scene).await), (0, Schedule { version: 2, ..passed }));
    assert_eq!(scene.store.next_firing(scene.now()).await.ok(), Some(None));
}

pub async fn of_many_who_fire_at_once_one_does(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let mut schedule = in_a_minute(&scene).await;
    scene.pass(10 * MINUTE);
    for round in 1..=5 {
        let calls = (0..6).map(|_| {
            let (scene, fires) = (Arc::clone(&scene), firing(&scene, &schedule));
            tokio::spawn(async move { fire(&scene, fires).await })
        });
        let mut made = vec![];
        for call in calls.collect::<Vec<_>>() {
            if let Fired::Job(job) = call.await.expect("no panic") {
                made.push(job.id);
            }
        }
        schedule = only(&scene).await;
        assert_eq!((made.len(), jobs(&scene).await, schedule.version), (1, round, round as u64 + 1));
        assert_eq!(schedule.last.map(|last| last.job), made.pop());
    }
}

pub async fn a_removed_or_paused_schedule_makes_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let schedule = in_a_minute(&scene).await;
    scene.pass(MINUTE);
    assert!(write(&scene, &Schedule { state: ScheduleState::Paused, ..schedule.clone() }).await);
    assert_eq!(fire(&scene, firing(&scene, &schedule)).await, Fired::Not);
    let seen = Schedule { version: 2, ..schedule };
    assert_eq!(fire(&scene, firing(&scene, &seen)).await, Fired::Not);
    assert_eq!(scene.store.remove_schedule(seen.id).await.ok(), Some(true));
    assert_eq!(fire(&scene, firing(&scene, &seen)).await, Fired::Not);
    assert_eq!(jobs(&scene).await, 0);
}
