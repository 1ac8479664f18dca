//! A database of every released schema is kept, and must open.

use std::path::PathBuf;
use std::time::Duration;

use longshore_domain::id::EventSeq;
use longshore_domain::job::{RetryPolicy, StateName};
use longshore_domain::label::Labels;
use longshore_domain::store::{Claim, JobFilter, NewDocument, NewJob, QuestionFilter, Store};

use super::{Folder, open};
use crate::conformance::nodes::new_node;
use crate::conformance::scene::{BEGIN, LEASE, MANY, Scene, answered, cancel, ended, node};
use crate::conformance::schedules::new_schedule;
use crate::sqlite::migrations::MIGRATIONS;

fn kept(migration: &str) -> PathBuf {
    let version = migration.split_once('_').unwrap().0;
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemas")).join(format!("{version}.db"))
}

#[test]
fn the_list_of_migrations_is_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/sqlite");
    let mut found: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, MIGRATIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (at, name) in found.iter().enumerate() {
        assert!(name.starts_with(&format!("{:04}_", at + 1)), "{name} is not number {}", at + 1);
    }
}

/// Jobs in most states, as each schema's file has them.
async fn fill(scene: &Scene) {
    let root = scene.running(scene.job()).await;
    scene.accept(scene.job_after(&[&root])).await;
    scene.accept(NewJob { not_before: Some(BEGIN.plus(Duration::from_secs(60)).into()), ..scene.job() }).await;
    scene.ran(scene.job(), 0).await;
    scene.ran(scene.job(), 3).await;
    scene.ran(NewJob { retry: RetryPolicy::times(1), ..scene.job() }, 3).await;
    let stopping = scene.running(scene.job()).await;
    scene.happen(stopping.id, cancel()).await;
    scene.claimed(scene.job()).await;
    scene.accept(NewJob { priority: 2, name: Some("last".into()), ..scene.job() }).await;
    let (asking, questions) = scene.asking(NewJob { priority: 3, ..scene.job() }, &["answered", "open"]).await;
    scene.happen(asking.id, answered(questions[0].id, "yes")).await;
    scene.accept(NewJob { requires: gpu(), ..scene.job() }).await;
    scene.store.join(new_node(1), LEASE, scene.now()).await.unwrap();
    scene.store.set_draining(node(1), true).await.unwrap();
    scene.store.secret("sessions".into(), [7; 32]).await.unwrap();
    let document = NewDocument { name: "tokens".into(), replaces: 0, text: "[]".into(), keep: None };
    assert!(scene.store.write_document(document, scene.now()).await.unwrap());
    let schedule = new_schedule(scene, "nightly", BEGIN.plus(Duration::from_secs(86_400)));
    assert!(scene.store.write_schedule(schedule).await.unwrap());
}

fn gpu() -> Labels {
    "gpu".parse().unwrap()
}

/// States of the jobs in the newest schema's file; older files have the first of them.
const STATES: [StateName; 11] = [
    StateName::Running,
    StateName::Waiting,
    StateName::Waiting,
    StateName::Finished,
    StateName::Finished,
    StateName::Waiting,
    StateName::Stopping,
    StateName::Claimed,
    StateName::Queued,
    StateName::Asking,
    StateName::Queued,
];

/// How many of [`STATES`] the file of a schema has.
fn jobs_in(schema: usize) -> usize {
    match schema {
        0..2 => 9,
        2..5 => 10,
        _ => STATES.len(),
    }
}

/// Before a schema is released its file is made by this test; afterwards it never changes.
#[tokio::test]
async fn a_file_of_the_newest_schema_is_kept() {
    let path = kept(MIGRATIONS.last().unwrap().0);
    if !path.exists() {
        let folder = Folder::new();
        let scene = Scene::new(&folder).await;
        fill(&scene).await;
        scene.store.close().await;
        std::fs::copy(folder.database(), &path).unwrap();
        panic!("{} was missing and has been written: commit it", path.display());
    }
}

#[tokio::test]
async fn databases_of_all_schemas_open_and_go_on() {
    for (at, (migration, _)) in MIGRATIONS.iter().enumerate() {
        let folder = Folder::new();
        std::fs::copy(kept(migration), folder.database()).unwrap();
        let store = open(&folder.database());
        let mut jobs = store.jobs(JobFilter::default(), MANY).await.unwrap();
        jobs.reverse();
        let states: Vec<_> = jobs.iter().map(|job| job.state.name()).collect();
        assert_eq!(states, STATES[..jobs_in(at + 1)], "{migration}");
        for job in &jobs {
            assert!(store.spec(job.id).await.unwrap().is_some());
            assert!(!store.events(EventSeq(0), Some(job.id), MANY).await.unwrap().is_empty());
        }
        let scene = Scene::over(std::sync::Arc::new(store));
        let day = Duration::from_secs(86_400);
        for expected in [usize::from(at < 8), 0] {
            assert_eq!(scene.store.forget_samples(day, 1, scene.now()).await.unwrap(), expected, "{migration}");
        }
        let open = scene.store.open_questions(QuestionFilter::default(), MANY).await.unwrap();
        assert_eq!(open.len(), states.iter().filter(|state| **state == StateName::Asking).count());
        for question in open {
            scene.happen(question.job, answered(question.id, "late")).await;
        }
        scene.pass(Duration::from_secs(3600));
        scene.happen(jobs[0].id, ended(&jobs[0], 0)).await;
        assert_eq!(scene.settle_all().await.len(), 1);
        assert_eq!(scene.store.promote_due(scene.now(), MANY).await.unwrap().len(), 2);
        let take = async |labels| {
            let room = Claim { holder: node(2), labels, ..scene.room(MANY) };
            scene.store.claim(room, scene.now()).await.unwrap().len()
        };
        assert_eq!((take(Labels::default()).await, take(gpu()).await), (4, jobs_in(at + 1).saturating_sub(10)));
        let nodes = scene.store.nodes(scene.now()).await.unwrap();
        let secret = scene.store.secret("sessions".into(), [8; 32]).await.unwrap();
        match at {
            0..4 => assert_eq!((nodes.len(), secret), (0, [8; 32])),
            _ => assert_eq!((nodes[0].node.clone(), nodes[0].draining, secret), (new_node(1), true, [7; 32])),
        }
        let document = scene.store.document("tokens".into()).await.unwrap();
        assert_eq!(document.map(|document| document.text), (at >= 6).then(|| "[]".into()), "{migration}");
        assert_eq!(scene.store.schedules().await.unwrap().len(), usize::from(at >= 7), "{migration}");
        scene.store.close().await;
    }
}
