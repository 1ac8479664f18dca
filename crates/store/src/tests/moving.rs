//! Stores that move from SQLite to PostgreSQL and back, by way of a file, and go on there.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::access::{Conversation, Principal};
use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::{EventSeq, JobId};
use longshore_domain::store::{IdempotencyKey, Keep, NewJob, Notice, Store};
use longshore_domain::time::Timestamp;
use tempfile::TempDir;

use super::Folder;
use super::postgres::Schema;
use crate::conformance::Place;
use crate::conformance::model::{Moving, agree_while_moving};
use crate::conformance::nodes::new_node;
use crate::conformance::scene::{BEGIN, LEASE, MANY, Scene, cancel, node};
use crate::conformance::schedules::new_schedule;
use crate::moving::{Blob, BlobKind, Entry, House, MovingError, Packed, PackedReader, Summary};
use crate::{PostgresStore, SqliteOptions};

fn sqlite(folder: &Folder) -> House {
    House::Sqlite(folder.database(), SqliteOptions::default())
}

/// Packs a house into a file; what is in it.
async fn pack(house: &House, path: &Path) -> Summary {
    let mut packed = Packed::create(path, "longshore test", BEGIN).unwrap();
    let mut summary = Summary::default();
    let sink = &mut |item| {
        summary.add(&item)?;
        Ok(packed.entry(&Entry::Item(item))?)
    };
    house.pack(sink).await.unwrap();
    packed.entry(&Entry::Summary(summary)).unwrap();
    packed.finish().unwrap();
    summary
}

async fn unpack(house: &House, path: &Path) -> Result<(), MovingError> {
    let mut items = PackedReader::open(path).unwrap().items().map(|item| Ok(item?));
    house.unpack(&mut items).await
}

/// Where a store lives at present: each time it moves it is in the other kind.
enum Home {
    Folder(Folder),
    Schema(Schema),
}

impl Home {
    fn house(&self) -> House {
        match self {
            Self::Folder(folder) => sqlite(folder),
            Self::Schema(schema) => House::Postgres(schema.options()),
        }
    }
}

#[async_trait]
impl Moving for Home {
    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Folder(folder) => folder.open().await,
            Self::Schema(schema) => schema.open().await,
        }
    }

    async fn move_on(&mut self) -> Arc<dyn Store> {
        let file = TempDir::new().unwrap();
        let path = file.path().join("house");
        let packed = pack(&self.house(), &path).await;
        assert_eq!(PackedReader::check(&path, |_| ()).unwrap().0, packed);
        let next = match self {
            Self::Folder(_) => Self::Schema(Schema::new()),
            Self::Schema(_) => Self::Folder(Folder::new()),
        };
        unpack(&next.house(), &path).await.unwrap();
        assert_eq!(next.house().summary().await.unwrap(), packed);
        assert!(
            next.house().summary().await.unwrap() == self.house().summary().await.unwrap(),
            "packing changes nothing"
        );
        *self = next;
        self.open().await
    }
}

#[tokio::test]
async fn random_stores_move_and_go_on() {
    agree_while_moving(12, || Box::new(Home::Folder(Folder::new()))).await;
}

/// A store with what random ones do not have: chats, keys, artifacts, texts of all sorts.
async fn furnish(scene: &Scene) -> Vec<JobId> {
    let chat = Some(Conversation::new("chat \u{1f6a2}"));
    let of_chat = || NewJob { conversation: chat.clone(), principal: Principal::agent("it's \"me\""), ..scene.job() };
    let told = scene.ran(of_chat(), 0).await;
    scene.store.announce(notice(false)).await.unwrap();
    let untold = scene.ran(of_chat(), 3).await;
    let key = Some(IdempotencyKey { key: "k\u{e9}y\\x".into(), digest: [7; 32] });
    let name = Some("\\x00 tab\t newline\n \u{1f6a2}".to_owned());
    let keyed = scene.running(NewJob { key, name, priority: -3, ..scene.job() }).await;
    let artifact = Artifact { name: "output/1/0".into(), digest: Digest::new([9; 32]), bytes: 1 << 40, made_at: BEGIN };
    let keep = Keep { add: vec![artifact], remove: vec![], since: 0 };
    assert_eq!(scene.store.keep(keyed.id, keep).await.unwrap(), []);
    let waiting = scene.accept(scene.job_after(&[&keyed, &untold])).await;
    let picky = scene.accept(NewJob { requires: "gpu linux".parse().unwrap(), ..scene.job() }).await;
    let removed = scene.ran(scene.job(), 0).await;
    assert_eq!(scene.store.remove(vec![removed.id]).await.unwrap(), [removed.id]);
    let mut schedule = new_schedule(scene, "it's \"nightly\" \\x00", BEGIN);
    schedule = schedule.fired(BEGIN, told.id, Some(BEGIN.plus(Duration::from_secs(60))));
    assert!(scene.store.write_schedule(schedule).await.unwrap());
    vec![told.id, untold.id, keyed.id, waiting.id, picky.id]
}

fn notice(peek: bool) -> Notice {
    let conversation = Conversation::new("chat \u{1f6a2}");
    Notice { owner: "it's \"me\"".into(), conversation, except: vec![], limit: MANY, peek }
}

#[tokio::test]
async fn everything_comes_along() {
    let mut home = Home::Folder(Folder::new());
    let mut scene = Scene::over(home.open().await);
    let jobs = furnish(&scene).await;
    for _ in 0..2 {
        let mut before = vec![];
        for id in &jobs {
            let (store, id) = (&scene.store, *id);
            before.push((
                store.job(id).await.unwrap(),
                store.spec(id).await.unwrap(),
                store.artifacts(id).await.unwrap(),
            ));
        }
        let events = scene.store.events(EventSeq(0), None, MANY).await.unwrap();
        let last = scene.store.last_event().await.unwrap();
        let schedules = scene.store.schedules().await.unwrap();
        scene.store.close().await;
        scene = scene.with(home.move_on().await);
        let store = &scene.store;
        for (id, before) in jobs.iter().zip(before) {
            let after =
                (store.job(*id).await.unwrap(), store.spec(*id).await.unwrap(), store.artifacts(*id).await.unwrap());
            assert_eq!(after, before);
        }
        assert_eq!(store.events(EventSeq(0), None, MANY).await.unwrap(), events);
        assert_eq!(store.last_event().await.unwrap(), last);
        assert_eq!((store.schedules().await.unwrap(), schedules.len()), (schedules, 1));
        let untold = store.announce(notice(true)).await.unwrap();
        assert_eq!(untold.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), jobs[1..2]);
        let likeness = store.job(jobs[0]).await.unwrap().unwrap().likeness;
        assert_eq!(store.samples(likeness).await.unwrap().len(), 2);
    }
    let key = Some(IdempotencyKey { key: "k\u{e9}y\\x".into(), digest: [7; 32] });
    let again = scene.submit(NewJob { key, ..scene.job() }).await.unwrap();
    assert!(again.existing && again.job.id == jobs[2]);
    let new = scene.accept(scene.job()).await;
    assert_eq!(new.number.0, 7, "numbers of removed jobs are not given again");
    scene.happen(jobs[2], cancel()).await;
    scene.store.close().await;
}

#[tokio::test]
async fn nobody_moves_into_a_house_that_is_lived_in() {
    let file = TempDir::new().unwrap();
    let path = file.path().join("house");
    let (from, folder, schema) = (Folder::new(), Folder::new(), Schema::new());
    let scene = Scene::new(&from).await;
    furnish(&scene).await;
    scene.store.close().await;
    pack(&sqlite(&from), &path).await;
    for (place, house) in [(&folder as &dyn Place, sqlite(&folder)), (&schema, House::Postgres(schema.options()))] {
        let mut scene = Scene::new(place).await;
        let job = scene.ran(scene.job(), 0).await;
        for left in [1, 0] {
            scene.store.close().await;
            let summary = house.summary().await.unwrap();
            assert!(matches!(unpack(&house, &path).await, Err(MovingError::Inhabited)));
            assert_eq!(house.summary().await.unwrap(), summary);
            scene = scene.with(place.open().await);
            assert_eq!(scene.store.counts().await.unwrap().finished, left);
            scene.store.remove(vec![job.id]).await.unwrap();
        }
        scene.store.close().await;
    }
}

#[tokio::test]
async fn nobody_moves_into_a_house_that_a_node_serves() {
    let file = TempDir::new().unwrap();
    let path = file.path().join("house");
    let (from, schema) = (Folder::new(), Schema::new());
    pack(&sqlite(&from), &path).await;
    let store = PostgresStore::open(schema.options()).await.unwrap();
    store.join(new_node(1), LEASE, BEGIN).await.unwrap();
    let house = House::Postgres(schema.options());
    let refused = unpack(&house, &path).await;
    assert!(matches!(&refused, Err(MovingError::Served { node }) if *node == new_node(1).name), "{refused:?}");
    store.leave(node(1), new_node(1).incarnation).await.unwrap();
    unpack(&house, &path).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_move_that_is_cut_off_leaves_an_empty_house() {
    let file = TempDir::new().unwrap();
    let path = file.path().join("house");
    let from = Folder::new();
    let scene = Scene::new(&from).await;
    furnish(&scene).await;
    scene.store.close().await;
    let packed = pack(&sqlite(&from), &path).await;
    let (folder, schema) = (Folder::new(), Schema::new());
    for house in [sqlite(&folder), House::Postgres(schema.options())] {
        let items = PackedReader::open(&path).unwrap().items().map(|item| Ok(item?));
        let mut cut = items.take(4).chain([Err("the disk is gone".into())]);
        assert!(matches!(house.unpack(&mut cut).await, Err(MovingError::Other(_))));
        unpack(&house, &path).await.unwrap();
        assert_eq!(house.summary().await.unwrap(), packed, "it can be repeated");
    }
}

#[test]
fn blobs_come_back_and_damage_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("house");
    let mut packed = Packed::create(&path, "longshore test", Timestamp::from_millis(5)).unwrap();
    packed.entry(&Entry::Summary(Summary::default())).unwrap();
    let contents = [vec![], b"short\n{}\n".to_vec(), vec![b'\n'; 3_000_000]];
    let kind = |at: usize| BlobKind::Artifact(Digest::new([at as u8; 32]));
    for (at, bytes) in contents.iter().enumerate() {
        packed.begin_blob(Blob { what: kind(at), bytes: bytes.len() as u64 }).unwrap();
        packed.write(bytes).unwrap();
        packed.end_blob().unwrap();
    }
    assert!(!path.exists(), "it has no name before it is finished");
    assert_eq!(packed.finish().unwrap().count, 3);
    assert_eq!(PackedReader::check(&path, |_| ()).unwrap().1.bytes, 3_000_009);
    let mut reader = PackedReader::open(&path).unwrap();
    for skip in [None, Some(1)] {
        reader = PackedReader::open(&path).unwrap();
        assert!(matches!(reader.next().unwrap(), Some(Entry::Summary(_))));
        for (at, bytes) in contents.iter().enumerate() {
            let Some(Entry::Blob(blob)) = reader.next().unwrap() else { panic!("a blob") };
            assert_eq!((blob.what, blob.bytes), (kind(at), bytes.len() as u64));
            if skip == Some(at) {
                continue;
            }
            let mut read = vec![];
            loop {
                let part = reader.blob().unwrap();
                if part.is_empty() {
                    break;
                }
                read.extend(part);
            }
            assert!(read == *bytes);
        }
        assert!(matches!(reader.next().unwrap(), Some(Entry::End(_))));
    }
    assert!(reader.next().unwrap().is_none());
    let whole = std::fs::read(&path).unwrap();
    for at in [3, 30, 100, whole.len() - 2] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for damaged in [flipped, whole[..at].to_vec()] {
            std::fs::write(&path, damaged).unwrap();
            let error = PackedReader::check(&path, |_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{at}: {error}");
        }
    }
}
