//! Who serves, and what they share.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::node::{NODE_FORGOTTEN_AFTER, NewNode, NodeRecord};
use longshore_domain::store::StoreError;

use super::scene::{LEASE, Place, Scene, node};

pub(crate) fn new_node(number: u128) -> NewNode {
    NewNode {
        id: node(number),
        name: format!("build-{number}"),
        address: Some(format!("http://10.0.0.{number}:7717")),
        labels: "gpu os=linux".parse().expect("labels"),
        capacity: 4,
        version: "0.1.0".into(),
        boot: "boot-1".into(),
        incarnation: format!("first {number}"),
    }
}

async fn join(scene: &Scene, new: &NewNode) -> Result<NodeRecord, StoreError> {
    scene.store.join(new.clone(), LEASE, scene.now()).await
}

async fn nodes(scene: &Scene) -> Vec<NodeRecord> {
    scene.store.nodes(scene.now()).await.expect("read")
}

pub async fn nodes_that_join_are_listed_as_they_said(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(nodes(&scene).await, []);
    let at = scene.now();
    let bare = NewNode { address: None, labels: "".parse().expect("labels"), ..new_node(2) };
    let second = scene.store.join(bare.clone(), LEASE, at).await.expect("joined");
    let expected = NodeRecord { node: bare, started_at: at, seen_at: at, draining: false, alive: true };
    assert_eq!(second, expected);
    let first = join(&scene, &new_node(1)).await.expect("joined");
    assert_eq!(first.node, new_node(1));
    let scene = scene.reopened(place).await;
    assert_eq!(nodes(&scene).await, [first.clone(), second]);
    scene.store.leave(node(1), "another".into()).await.expect("nothing happens");
    assert_eq!(nodes(&scene).await.len(), 2);
    scene.store.leave(node(1), first.node.incarnation).await.expect("left");
    assert_eq!(nodes(&scene).await.into_iter().map(|record| record.node.id).collect::<Vec<_>>(), [node(2)]);
}

pub async fn a_node_is_alive_as_long_as_it_is_heard_of(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let new = new_node(1);
    let beat = async || scene.store.beat(new.id, new.incarnation.clone(), LEASE, scene.now()).await;
    assert!(matches!(beat().await, Err(StoreError::NodeNotFound(id)) if id == new.id));
    let joined = join(&scene, &new).await.expect("joined");
    scene.pass(LEASE / 2);
    let seen = beat().await.expect("noted");
    assert_eq!((seen.started_at, seen.alive), (joined.started_at, true));
    assert!(seen.seen_at >= joined.seen_at.plus(LEASE / 2));
    scene.pass(LEASE / 2);
    assert_eq!(nodes(&scene).await, std::slice::from_ref(&seen));
    scene.pass(LEASE / 2);
    assert_eq!(nodes(&scene).await, [NodeRecord { alive: false, ..seen }]);
    assert!(beat().await.expect("it was only late").alive);
}

pub async fn a_second_process_under_one_name_is_refused_while_the_first_is_alive(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let first = join(&scene, &new_node(1)).await.expect("joined");
    let copy = NewNode { name: "copy".into(), incarnation: "second".into(), ..new_node(1) };
    let refused = join(&scene, &copy).await.expect_err("the first is alive");
    let StoreError::NodeTaken { node: id, ref name, seen_at } = refused else { panic!("{refused:?}") };
    assert_eq!((id, name.as_str(), seen_at), (node(1), "build-1", first.seen_at));
    assert_eq!(nodes(&scene).await, std::slice::from_ref(&first));
    // One that is proved to be its successor need not wait.
    let successor = NewNode { version: "0.2.0".into(), ..new_node(1) };
    let again = join(&scene, &successor).await.expect("the same incarnation");
    assert_eq!((again.node.version.as_str(), again.started_at > first.started_at), ("0.2.0", true));
    scene.pass(LEASE);
    assert_eq!(join(&scene, &copy).await.expect("the first is gone").node, copy);
    let late = scene.store.beat(node(1), first.node.incarnation.clone(), LEASE, scene.now()).await;
    assert!(matches!(late, Err(StoreError::NodeTaken { name, .. }) if name == "copy"));
    scene.store.leave(node(1), first.node.incarnation).await.expect("nothing happens");
    assert_eq!(nodes(&scene).await.len(), 1);
}

pub async fn of_many_processes_under_one_name_one_joins(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    for round in 1..=5 {
        let calls = (0..6).map(|number| {
            let scene = Arc::clone(&scene);
            let new = NewNode { incarnation: number.to_string(), ..new_node(round) };
            tokio::spawn(async move { join(&scene, &new).await.is_ok() })
        });
        let mut joined = 0;
        for call in calls.collect::<Vec<_>>() {
            joined += u32::from(call.await.expect("no panic"));
        }
        assert_eq!(joined, 1);
    }
}

pub async fn nodes_long_gone_are_forgotten(place: &dyn Place) {
    let scene = Scene::new(place).await;
    join(&scene, &new_node(1)).await.expect("joined");
    scene.pass(NODE_FORGOTTEN_AFTER - Duration::from_secs(60));
    join(&scene, &new_node(2)).await.expect("joined");
    assert_eq!(nodes(&scene).await.len(), 2);
    scene.pass(Duration::from_secs(120));
    join(&scene, &new_node(3)).await.expect("joined");
    assert_eq!(nodes(&scene).await.iter().map(|record| record.node.id).collect::<Vec<_>>(), [node(2), node(3)]);
}

pub async fn a_secret_is_the_first_that_was_offered(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let calls = (1..=8).map(|number| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move { scene.store.secret("sessions".into(), [number; 32]).await.expect("kept") })
    });
    let mut answers = vec![];
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.expect("no panic"));
    }
    assert!((1..=8).contains(&answers[0][0]) && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(scene.store.secret("peers".into(), [9; 32]).await.expect("kept"), [9; 32]);
    let scene = Arc::into_inner(scene).expect("nobody else has it").reopened(place).await;
    assert_eq!(scene.store.secret("sessions".into(), [7; 32]).await.expect("kept"), answers[0]);
}
