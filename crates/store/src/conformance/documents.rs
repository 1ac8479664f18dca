//! Small things that are kept beside the jobs.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::store::{DOCUMENTS_PASSING_MAX, Document, NewDocument};

use super::scene::{Place, Scene};

fn new(name: &str, replaces: u64, text: &str) -> NewDocument {
    NewDocument { name: name.into(), replaces, text: text.into(), keep: None }
}

fn passing(name: &str, keep: Duration) -> NewDocument {
    NewDocument { keep: Some(keep), ..new(name, 0, "passes") }
}

async fn write(scene: &Scene, document: NewDocument) -> bool {
    scene.store.write_document(document, scene.now()).await.expect("answered")
}

async fn read(scene: &Scene, name: &str) -> Option<(u64, String)> {
    let found = scene.store.document(name.into()).await.expect("read");
    found.map(|Document { version, text }| (version, text))
}

pub async fn a_document_is_written_by_who_saw_its_last_version(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(read(&scene, "tokens").await, None);
    assert!(!write(&scene, new("tokens", 1, "of nothing")).await);
    assert!(write(&scene, new("tokens", 0, "one")).await);
    assert!(!write(&scene, new("tokens", 0, "another first")).await);
    assert!(write(&scene, new("tokens", 1, "two \u{1f980} \"words\"")).await);
    assert!(!write(&scene, new("tokens", 1, "late")).await);
    assert_eq!(read(&scene, "token").await, None);
    let scene = scene.reopened(place).await;
    assert_eq!(read(&scene, "tokens").await, Some((2, "two \u{1f980} \"words\"".into())));
}

pub async fn of_many_who_write_a_document_at_once_one_does(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    for seen in 0..5 {
        let calls = (0..6).map(|number| {
            let scene = Arc::clone(&scene);
            tokio::spawn(async move { write(&scene, new("tokens", seen, &number.to_string())).await })
        });
        let mut written = 0;
        for call in calls.collect::<Vec<_>>() {
            written += u32::from(call.await.expect("no panic"));
        }
        assert_eq!((written, read(&scene, "tokens").await.map(|(version, _)| version)), (1, Some(seen + 1)));
    }
}

pub async fn documents_pass_away_when_their_time_is_over(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let hour = Duration::from_secs(3600);
    assert!(write(&scene, new("stays", 0, "")).await);
    assert!(write(&scene, passing("short", hour)).await);
    assert!(write(&scene, passing("renewed", hour)).await);
    scene.pass(hour / 2);
    assert!(write(&scene, NewDocument { replaces: 1, ..passing("renewed", hour) }).await);
    scene.pass(hour / 2);
    assert!(write(&scene, passing("next", hour)).await);
    assert_eq!(read(&scene, "short").await, None);
    assert_eq!(read(&scene, "renewed").await.map(|(version, _)| version), Some(2));
    scene.pass(hour);
    assert!(write(&scene, new("later", 0, "")).await);
    assert_eq!((read(&scene, "renewed").await, read(&scene, "next").await), (None, None));
    assert_eq!(read(&scene, "stays").await, Some((1, String::new())));
}

pub async fn of_too_many_documents_that_pass_away_the_next_to_go_gives_way(place: &dyn Place) {
    let scene = Arc::new(Scene::new(place).await);
    let week = Duration::from_secs(7 * 86_400);
    assert!(write(&scene, passing("first", week)).await && write(&scene, new("stays", 0, "")).await);
    let all: Vec<u32> = (1..DOCUMENTS_PASSING_MAX).collect();
    for part in all.chunks(500) {
        let calls = part.iter().map(|number| {
            let (scene, name) = (Arc::clone(&scene), number.to_string());
            tokio::spawn(async move { write(&scene, passing(&name, week)).await })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(call.await.expect("no panic"));
        }
    }
    assert!(read(&scene, "first").await.is_some());
    assert!(write(&scene, passing("one more", week)).await);
    assert_eq!((read(&scene, "first").await, read(&scene, "stays").await), (None, Some((1, String::new()))));
    assert!(read(&scene, "one more").await.is_some());
}
