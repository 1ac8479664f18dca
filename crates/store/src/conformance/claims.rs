//! Who is taken next, how many at once, and each only once.

use std::collections::HashSet;
use std::sync::Arc;

use longshore_domain::id::AttemptNumber;
use longshore_domain::job::{Event, JobState, Lease, StateName};
use longshore_domain::label::Labels;
use longshore_domain::position::Position;
use longshore_domain::store::{Claim, JobFilter, NewJob, Queue, StoreError};

use super::nodes::new_node;
use super::scene::{LEASE, Place, Scene, cancel, ended, node, queue, started};

pub async fn a_claim_takes_no_more_than_it_has_room_for(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let jobs = scene.accept_many(3).await;
    assert!(scene.take(0).await.is_empty());
    let room = scene.room(2);
    let now = scene.now();
    let taken = scene.store.claim(room.clone(), now).await.expect("answered");
    assert_eq!(taken.len(), 2);
    for ((taken, job), nonce) in taken.iter().zip(&jobs).zip(&room.nonces) {
        let lease = Lease {
            holder: room.holder,
            token: AttemptNumber(1),
            until: now.plus(room.lease),
            nonce: *nonce,
            boot: room.boot.clone(),
        };
        assert_eq!((taken.job.id, &taken.job.state), (job.id, &JobState::Claimed { lease }));
        assert_eq!((taken.job.attempt, taken.job.version), (AttemptNumber(1), 2));
        assert_eq!(scene.read(job.id).await, taken.job);
        assert_eq!(scene.store.spec(job.id).await.expect("read").as_ref(), Some(&taken.spec));
    }
    assert_eq!(scene.take_ids(5).await, [jobs[2].id]);
}

pub async fn the_highest_priority_goes_first_then_the_oldest(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let mut expected = vec![];
    for priority in [0, 5, -5, 5, 0, i16::MAX, i16::MIN] {
        let job = scene.accept(NewJob { priority, ..scene.job() }).await;
        expected.push((std::cmp::Reverse(priority), job.number, job.id));
    }
    expected.sort_unstable();
    let mut taken = vec![];
    while let [id] = scene.take_ids(1).await[..] {
        taken.push(id);
    }
    assert_eq!(taken, expected.iter().map(|(_, _, id)| *id).collect::<Vec<_>>());
}

pub async fn a_job_that_leaves_the_line_with_a_claim_does_not_stand_in_its_way(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let next = scene.accept(scene.job()).await;
    let first = scene.accept(NewJob { priority: 1, ..scene.job() }).await;
    let (cancelled, taken) = scene.store.record(first.id, cancel(), Some(scene.room(1)), scene.now()).await;
    assert!(cancelled.expect("recorded").job.is_finished());
    assert_eq!(taken.iter().map(|claimed| claimed.job.id).collect::<Vec<_>>(), [next.id]);
}

pub async fn a_queue_lends_no_more_places_than_it_has(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("default", 2).await;
    let jobs = scene.accept_many(4).await;
    let taken = scene.take(10).await;
    assert_eq!(taken.len(), 2);
    assert!(scene.take(10).await.is_empty());
    // A job that is asked to stop holds its place until the stop is proved.
    let running = scene.happen(jobs[0].id, started(&taken[0].job)).await;
    scene.happen(running.id, cancel()).await;
    assert!(scene.take(10).await.is_empty());
    scene.happen(running.id, ended(&running, 0)).await;
    assert_eq!(scene.take_ids(10).await, [jobs[2].id]);
    scene.set_queue("default", 1).await;
    let back = Event::GivenBack { token: AttemptNumber(1), reason: "no room".into() };
    scene.happen(jobs[1].id, back).await;
    assert!(scene.take(10).await.is_empty(), "a limit that was lowered holds for what runs");
    scene.set_queue("default", 3).await;
    assert_eq!(scene.take_ids(10).await, [jobs[1].id, jobs[3].id]);
}

pub async fn a_paused_queue_gives_nothing_and_holds_up_no_other(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("slow", 0).await;
    let slow = scene.accept(NewJob { queue: queue("slow"), priority: 9, ..scene.job() }).await;
    let other = scene.accept(scene.job()).await;
    assert_eq!(scene.take_ids(5).await, [other.id]);
    scene.set_queue("slow", 1).await;
    assert_eq!(scene.take_ids(5).await, [slow.id]);
}

pub async fn queues_are_made_when_first_named_and_keep_their_limits(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("b", 3).await;
    scene.accept(NewJob { queue: queue("a"), ..scene.job() }).await;
    scene.accept(NewJob { queue: queue("b"), ..scene.job() }).await;
    scene.set_queue("c", 0).await;
    let scene = scene.reopened(place).await;
    let queues = scene.store.queues().await.expect("read");
    let find = |name: &str| queues.iter().find(|queue| queue.name.as_str() == name).map(|queue| queue.concurrency);
    assert_eq!(queues.len(), 3);
    assert!(find("a").is_some_and(|concurrency| concurrency > 0));
    assert_eq!((find("b"), find("c")), (Some(3), Some(0)));
    assert!(queues.is_sorted_by_key(|Queue { name, .. }| name.clone()));
}

pub async fn limits_hold_after_the_store_was_opened_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("default", 2).await;
    let jobs = scene.accept_many(3).await;
    let taken = scene.take(1).await;
    let scene = scene.reopened(place).await;
    assert_eq!(scene.take_ids(5).await, [jobs[1].id]);
    let running = scene.happen(jobs[0].id, started(&taken[0].job)).await;
    scene.happen(jobs[0].id, ended(&running, 0)).await;
    assert_eq!(scene.take_ids(5).await, [jobs[2].id]);
}

pub async fn a_queue_that_was_idle_keeps_its_limit_and_takes_its_turn(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let of = |name: &str| NewJob { queue: queue(name), ..scene.job() };
    scene.set_queue("one", 1).await;
    scene.ran(of("one"), 0).await;
    // More than any store remembers.
    for name in 0..1_500 {
        let (once, _) = scene.store.submit(of(&format!("once-{name}")), None, scene.now()).await.expect("accepted");
        scene.happen(once.job.id, cancel()).await;
    }
    assert_eq!(scene.take_ids(5).await, []);
    scene.set_queue("once-7", 0).await;
    let paused = scene.accept(of("once-7")).await;
    let line = [scene.accept(of("one")).await, scene.accept(of("one")).await];
    let other = scene.accept(of("once-8")).await;
    let [first, second] = &scene.take(5).await[..] else { panic!("each queue that is not paused lends a place") };
    assert_eq!((first.job.id, second.job.id), (line[0].id, other.id));
    // One that goes back into a queue that was empty is taken with what happened to it.
    let back = Event::GivenBack { token: AttemptNumber(1), reason: "no room".into() };
    let (change, taken) = scene.store.record(other.id, back, Some(scene.room(5)), scene.now()).await;
    assert_eq!(change.expect("given back").job.state, JobState::Queued);
    assert_eq!(taken.iter().map(|taken| taken.job.id).collect::<Vec<_>>(), [other.id]);
    let scene = scene.reopened(place).await;
    scene.happen(line[0].id, cancel()).await;
    assert_eq!(scene.take_ids(5).await, [], "whoever stops holds its place, also over a new start");
    scene.set_queue("once-7", 1).await;
    scene.happen(line[0].id, ended(&first.job, 0)).await;
    assert_eq!(scene.take_ids(5).await, [paused.id, line[1].id]);
    assert_eq!(scene.store.queues().await.expect("read").len(), 1_501);
}

pub async fn concurrent_claims_take_each_job_once(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    scene.set_queue("default", 10_000).await;
    let submits = (0..1_000).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.accept(scene.job()).await })
    });
    for submit in submits.collect::<Vec<_>>() {
        submit.await.expect("accepted");
    }
    let claims = (0..100).map(|slots| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            let mut taken = vec![];
            loop {
                let more = scene.take_ids(1 + slots % 7).await;
                if more.is_empty() {
                    return taken;
                }
                taken.extend(more);
            }
        })
    });
    let mut taken = vec![];
    for claim in claims.collect::<Vec<_>>() {
        taken.extend(claim.await.expect("no panic"));
    }
    assert_eq!(taken.len(), 1_000);
    assert_eq!(taken.into_iter().collect::<HashSet<_>>().len(), 1_000);
}

pub async fn a_long_line_keeps_its_order_while_others_join_and_leave(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("default", 10_000).await;
    let mut line = vec![];
    for round in 0..700_u32 {
        let priority = (round * 7919 % 13) as i16;
        let job = scene.accept(NewJob { priority, ..scene.job() }).await;
        line.push((std::cmp::Reverse(priority), job.number, job.id));
        // Now and then the first are taken and one far behind leaves.
        if round % 3 == 2 {
            line.sort_unstable();
            assert_eq!(scene.take_ids(1).await, [line.remove(0).2]);
        }
        if round % 50 == 49 {
            let (_, _, id) = line.remove(line.len() / 2);
            scene.happen(id, cancel()).await;
        }
    }
    // One leaves at the front, then one joins behind everybody.
    line.sort_unstable();
    assert_eq!(scene.take_ids(1).await, [line.remove(0).2]);
    let last = scene.accept(NewJob { priority: -1, ..scene.job() }).await;
    line.push((std::cmp::Reverse(-1), last.number, last.id));
    let rest = scene.take_ids(1_000).await;
    assert_eq!(rest, line.iter().map(|(_, _, id)| *id).collect::<Vec<_>>());
}

pub async fn a_position_counts_those_who_come_before(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let jobs = scene.accept_many(3).await;
    let first = scene.accept(NewJob { priority: 1, ..scene.job() }).await;
    scene.accept(NewJob { priority: 9, queue: queue("other"), ..scene.job() }).await;
    for (id, expected) in [(first.id, 0), (jobs[0].id, 1), (jobs[1].id, 2), (jobs[2].id, 3)] {
        assert_eq!(scene.store.position(id).await.expect("read"), Some(Position::behind(expected)));
    }
    scene.happen(jobs[1].id, cancel()).await;
    assert_eq!(scene.store.position(jobs[2].id).await.expect("read"), Some(Position::behind(2)));
    assert_eq!(scene.store.position(jobs[1].id).await.expect("read"), None);
}

pub async fn a_position_is_counted_to_a_hundred(place: &dyn Place) {
    const LINE: u64 = 205;
    let scene = Scene::new(place).await;
    let jobs = scene.accept_many(LINE as usize).await;
    for before in [0, 1, 98, 99, 100, 101, LINE - 1] {
        let found = scene.store.position(jobs[before as usize].id).await.expect("read").expect("queued");
        assert_eq!(found.jobs(), before.min(100));
    }
    scene.accept(NewJob { priority: 1, ..scene.job() }).await;
    let found = scene.store.position(jobs[98].id).await.expect("read").expect("queued");
    assert_eq!(found.jobs(), 99);
}

pub async fn a_job_given_back_takes_its_old_place_with_a_new_number(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let jobs = scene.accept_many(2).await;
    assert_eq!(scene.take_ids(1).await, [jobs[0].id]);
    let back = Event::GivenBack { token: AttemptNumber(1), reason: "no memory".into() };
    assert_eq!(scene.happen(jobs[0].id, back).await.state, JobState::Queued);
    let again = scene.take(1).await;
    assert_eq!((again[0].job.id, again[0].job.attempt), (jobs[0].id, AttemptNumber(2)));
    assert_eq!(again[0].job.failures, 0);
}

pub async fn a_report_with_room_claims_even_when_it_is_refused(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    let next = scene.accept_many(3).await;
    let store = &scene.store;
    let (change, taken) = store.record(job.id, ended(&job, 0), Some(scene.room(1)), scene.now()).await;
    assert!(change.expect("accepted").job.is_finished());
    assert_eq!(taken[0].job.id, next[0].id);
    let (change, taken) = store.record(job.id, ended(&job, 0), Some(scene.room(1)), scene.now()).await;
    assert!(matches!(change, Err(StoreError::Refused(_))));
    assert_eq!(taken[0].job.id, next[1].id);
    let unknown = longshore_domain::JobId::new(scene.now(), 999_999);
    let (change, taken) = store.record(unknown, cancel(), Some(scene.room(1)), scene.now()).await;
    assert!(matches!(change, Err(StoreError::JobNotFound(id)) if id == unknown));
    assert_eq!((taken[0].job.id, &scene.read(next[2].id).await), (next[2].id, &taken[0].job));
}

pub async fn the_queue_with_the_fewest_running_goes_first(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("long", 100).await;
    scene.set_queue("short", 100).await;
    let submit =
        async |name: &str, priority| scene.accept(NewJob { queue: queue(name), priority, ..scene.job() }).await.id;
    let mut long = vec![];
    for _ in 0..8 {
        long.push(submit("long", 0).await);
    }
    assert_eq!(scene.take_ids(3).await, long[..3]);
    let short = [submit("short", 0).await, submit("short", 0).await];
    // It is behind by three.
    assert_eq!(scene.take_ids(2).await, short);
    let urgent = submit("long", 1).await;
    assert_eq!(scene.take_ids(1).await, [urgent], "fairness is among equals");
    let third = submit("short", 0).await;
    assert_eq!(scene.take_ids(4).await, [third, long[3], long[4], long[5]]);
    for id in &short {
        let job = scene.happen(*id, started(&scene.read(*id).await)).await;
        scene.happen(*id, ended(&job, 0)).await;
    }
    let late = submit("short", 0).await;
    assert_eq!(scene.take_ids(9).await, [late, long[6], long[7]]);
}

pub async fn what_a_job_requires_the_holder_must_have(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.set_queue("default", 100).await;
    let labels = |text: &str| text.parse::<Labels>().expect("labels");
    let submit = async |requires: &str| {
        let new = NewJob { requires: labels(requires), ..scene.job() };
        let job = scene.accept(new.clone()).await;
        assert_eq!((&job.requires, &scene.read(job.id).await), (&new.requires, &job));
        job.id
    };
    let gpu = submit("gpu").await;
    let both = submit("gpu os=linux").await;
    let nothing = submit("").await;
    let later = submit("gpu").await;
    let take = async |have: &str| {
        let room = Claim { labels: labels(have), ..scene.room(9) };
        let taken = scene.store.claim(room, scene.now()).await.expect("answered");
        taken.iter().map(|taken| taken.job.id).collect::<Vec<_>>()
    };
    let positions = [(gpu, 0), (both, 0), (nothing, 0), (later, 1)];
    for (id, position) in positions {
        assert_eq!(scene.store.position(id).await.expect("read"), Some(Position::behind(position)));
    }
    let queued = JobFilter { states: vec![StateName::Queued], ..JobFilter::default() };
    assert_eq!(scene.store.jobs(queued, 9).await.expect("read").len(), 4);
    assert_eq!(scene.store.counts().await.expect("read").unfinished[&StateName::Queued], 4);
    assert_eq!(take("os=linux arm").await, [nothing]);
    assert_eq!(take("").await, []);
    let scene_job = scene.read(gpu).await;
    scene.happen(later, cancel()).await;
    assert_eq!(take("arm gpu").await, [gpu]);
    let back = Event::GivenBack { token: scene_job.attempt.next(), reason: "no room".into() };
    scene.happen(gpu, back).await;
    assert_eq!(take("").await, [], "a job given back requires what it did");
    assert_eq!(take("arm gpu os=linux").await, [gpu, both]);
}

pub async fn what_jobs_require_holds_after_the_store_was_opened_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let gpu = "gpu".parse::<Labels>().expect("labels");
    let job = scene.accept(NewJob { requires: gpu.clone(), ..scene.job() }).await;
    let scene = scene.reopened(place).await;
    assert_eq!(scene.take_ids(9).await, []);
    let room = Claim { labels: gpu, ..scene.room(9) };
    assert_eq!(scene.store.claim(room, scene.now()).await.expect("answered")[0].job.id, job.id);
}

pub async fn a_claim_that_rides_along_takes_what_its_holder_may(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let gpu = "gpu".parse::<Labels>().expect("labels");
    let new = NewJob { requires: gpu.clone(), ..scene.job() };
    let (submitted, taken) = scene.store.submit(new, Some(scene.room(1)), scene.now()).await.expect("accepted");
    assert_eq!((submitted.job.state, taken), (JobState::Queued, vec![]));
    let room = Claim { labels: gpu, ..scene.room(2) };
    let (other, taken) = scene.store.submit(scene.job(), Some(room), scene.now()).await.expect("accepted");
    let taken: Vec<_> = taken.iter().map(|taken| taken.job.id).collect();
    assert_eq!(taken, [submitted.job.id, other.job.id]);
}

pub async fn a_draining_node_takes_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let draining = async |draining| scene.store.set_draining(node(1), draining).await;
    assert!(matches!(draining(true).await, Err(StoreError::NodeNotFound(id)) if id == node(1)));
    scene.store.join(new_node(1), LEASE, scene.now()).await.expect("joined");
    let running = scene.running(scene.job()).await;
    draining(true).await.expect("it drains");
    assert!(scene.store.nodes(scene.now()).await.expect("read")[0].draining);
    let (submitted, taken) = scene.store.submit(scene.job(), Some(scene.room(1)), scene.now()).await.expect("accepted");
    assert_eq!((submitted.job.state, taken), (JobState::Queued, vec![]));
    assert_eq!(scene.take_ids(5).await, []);
    let (change, taken) = scene.store.record(running.id, ended(&running, 0), Some(scene.room(1)), scene.now()).await;
    assert!(change.expect("what it runs it may finish").job.is_finished() && taken.is_empty());
    // Neither a new start of its process nor one of the store makes it forget.
    scene.store.join(new_node(1), LEASE, scene.now()).await.expect("joined");
    let scene = scene.reopened(place).await;
    assert_eq!(scene.take_ids(5).await, []);
    let other = Claim { holder: node(2), ..scene.room(5) };
    assert_eq!(scene.store.claim(other, scene.now()).await.expect("answered").len(), 1);
    scene.accept(scene.job()).await;
    scene.store.set_draining(node(1), false).await.expect("it drains no more");
    assert_eq!(scene.take_ids(5).await.len(), 1);
    // Whoever left and comes back begins anew.
    scene.store.set_draining(node(1), true).await.expect("it drains");
    scene.store.leave(node(1), new_node(1).incarnation).await.expect("left");
    scene.store.join(new_node(1), LEASE, scene.now()).await.expect("joined");
    scene.accept(scene.job()).await;
    assert_eq!(scene.take_ids(5).await.len(), 1);
}
