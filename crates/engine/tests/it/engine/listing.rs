//! Who hears that the list of its jobs changed, and of what.

use std::time::Duration;

use longshore_domain::Principal;
use longshore_engine::ops::{Caller, ListFollower};

use super::kit::{Kit, LIMIT, Shared, shell};

fn agent(name: &str) -> Caller {
    Caller { principal: Principal::agent(name), conversation: None }
}

async fn changed(follower: &mut ListFollower) {
    tokio::time::timeout(LIMIT, follower.changed()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_come_and_go_change_the_list_of_their_owner_once_however_many() {
    let kit = Kit::with(|settings| settings.retention.record = Duration::ZERO).await;
    let (mine, other) = (agent("mine"), agent("other"));
    let mut own = kit.engine.follow_list("mine").await.unwrap();
    let mut foreign = kit.engine.follow_list("other").await.unwrap();
    let mut jobs = vec![];
    for _ in 0..20 {
        jobs.push(kit.engine.submit(&mine, shell("true")).await.unwrap().job);
    }
    changed(&mut own).await;
    for job in &jobs {
        kit.ended(job).await;
    }
    // Neither a burst that was told of, nor ends, nor what happens to others, for as long as they hear of two changes.
    let others = async {
        for _ in 0..2 {
            kit.engine.submit(&other, shell("true")).await.unwrap();
            changed(&mut foreign).await;
        }
    };
    tokio::select! {
        told = own.changed() => panic!("{told:?}"),
        () = others => {}
    }
    kit.engine.remove(&mine, &jobs[0].id.to_string()).await.unwrap();
    changed(&mut own).await;
    kit.engine.gc(false).await.unwrap();
    changed(&mut own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_other_nodes_change_are_told_of_too() {
    let shared = Shared::new();
    let runs = Kit::node(&shared, 1, |_| {}).await;
    let shows = Kit::node(&shared, 2, |settings| settings.node.capacity = 0).await;
    let mine = agent("mine");
    let mut follower = shows.engine.follow_list("mine").await.unwrap();
    let job = runs.engine.submit(&mine, shell("true")).await.unwrap().job;
    changed(&mut follower).await;
    runs.ended(&job).await;
    runs.engine.remove(&mine, &job.id.to_string()).await.unwrap();
    changed(&mut follower).await;
}
