//! Files that are shared, copied, full, read-only, damaged, or from the future.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use longshore_domain::job::StateName;
use longshore_domain::store::{JobFilter, Store, StoreError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{Folder, open};
use crate::conformance::Place;
use crate::conformance::scene::{MANY, Scene};
use crate::sqlite::errors::failed;
use crate::sqlite::migrations::SCHEMA_NEWEST;
use crate::{Durability, SqliteOptions, SqliteStore};

fn log(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

/// What a process leaves behind that is gone from one moment to the next.
fn copy_as_it_is(from: &Folder) -> Folder {
    let copy = Folder::new();
    std::fs::copy(from.database(), copy.database()).unwrap();
    std::fs::copy(log(&from.database()), log(&copy.database())).unwrap();
    copy
}

fn bytes(folder: &Folder) -> [Option<Vec<u8>>; 2] {
    let read = |path| std::fs::read(path).ok().filter(|bytes| !bytes.is_empty());
    [folder.database(), log(&folder.database())].map(read)
}

fn open_error(path: &Path) -> StoreError {
    SqliteStore::open(path, SqliteOptions::default()).err().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_survives_a_sudden_end() {
    let folder = Folder::new();
    let scene = Arc::new(Scene::new(&folder).await);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (scene, acknowledge) = (Arc::clone(&scene), acknowledge.clone());
            tokio::spawn(async move {
                for _ in 0..60 {
                    let job = scene.accept(scene.job()).await;
                    acknowledge.send(job).unwrap();
                }
            })
        })
        .collect();
    let mut kept = vec![];
    while kept.len() < 200 {
        kept.push(acknowledged.recv().await.unwrap());
    }
    let copy = copy_as_it_is(&folder);
    for caller in callers {
        caller.await.unwrap();
    }
    let found = copy.open().await;
    for job in kept {
        assert_eq!(found.job(job.id).await.unwrap(), Some(job));
    }
    let all = found.jobs(JobFilter::default(), MANY).await.unwrap();
    assert_eq!(all.len(), all[0].number.0 as usize, "what is there has no gaps");
}

#[tokio::test]
async fn a_database_has_one_owner() {
    let folder = Folder::new();
    let store = open(&folder.database());
    assert!(matches!(open_error(&folder.database()), StoreError::InUse));
    store.close().await;
    open(&folder.database()).close().await;
}

#[tokio::test]
async fn a_shut_database_is_one_file_without_a_log() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    scene.accept(scene.job()).await;
    scene.store.close().await;
    assert!(!log(&folder.database()).exists());
}

#[tokio::test]
async fn a_newer_database_is_left_as_it_is() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    scene.accept(scene.job()).await;
    let copy = copy_as_it_is(&folder);
    let newer = Connection::open(copy.database()).unwrap();
    newer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    newer.pragma_update(None, "user_version", 4_000).unwrap();
    drop(newer);
    let before = bytes(&copy);
    assert!(before[1].is_some());
    let error = open_error(&copy.database());
    assert!(matches!(error, StoreError::Newer { found: 4_000, known: SCHEMA_NEWEST }), "{error:?}");
    assert!(bytes(&copy) == before);
}

#[test]
fn a_file_that_is_no_database_is_left_as_it_is() {
    let folder = Folder::new();
    std::fs::write(folder.database(), vec![b'x'; 10_000]).unwrap();
    let before = bytes(&folder);
    assert!(matches!(open_error(&folder.database()), StoreError::Corrupt(_)));
    assert!(bytes(&folder) == before);
}

#[test]
fn a_database_of_something_else_is_left_as_it_is() {
    for version in [0, 3] {
        let folder = Folder::new();
        let other = Connection::open(folder.database()).unwrap();
        other.execute_batch("CREATE TABLE bookmark (address TEXT)").unwrap();
        other.pragma_update(None, "user_version", version).unwrap();
        drop(other);
        let before = bytes(&folder);
        assert!(matches!(open_error(&folder.database()), StoreError::Corrupt(_)));
        assert!(bytes(&folder) == before);
    }
}

#[tokio::test]
async fn an_overwritten_database_is_left_as_it_is() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    scene.accept_many(50).await;
    scene.store.close().await;
    let mut damaged = std::fs::read(folder.database()).unwrap();
    damaged[4096..].fill(0xa5);
    std::fs::write(folder.database(), damaged).unwrap();
    let before = bytes(&folder);
    let error = open_error(&folder.database());
    assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    assert!(bytes(&folder) == before);
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_damage() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    let job = scene.accept(scene.job()).await;
    scene.store.close().await;
    let outsider = Connection::open(folder.database()).unwrap();
    outsider.execute("UPDATE job SET content = '{\"state\":\"asleep\"}'", []).unwrap();
    drop(outsider);
    let store = open(&folder.database());
    assert!(matches!(store.job(job.id).await, Err(StoreError::Corrupt(_))));
    let claim = store.claim(scene.room(1), scene.now()).await;
    assert!(matches!(claim, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_heals_once_there_is_room() {
    let folder = Folder::new();
    let options = SqliteOptions { bytes_max: Some(400 * 1024), ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(folder.database(), options).unwrap());
    let scene = Scene::over(store);
    let mut old = vec![];
    for _ in 0..50 {
        old.push(scene.ran(scene.job(), 0).await);
    }
    let mut accepted = vec![];
    let error = loop {
        match scene.submit(scene.job()).await {
            Ok(submitted) => accepted.push(submitted.job),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(accepted.len() > 10);
    for job in accepted.iter().chain(&old) {
        assert_eq!(scene.read(job.id).await, *job);
    }
    scene.store.remove(old.iter().map(|job| job.id).collect()).await.unwrap();
    let next = scene.accept(scene.job()).await;
    assert_eq!(next.number.0, (old.len() + accepted.len() + 1) as u64, "what was refused took no number");
    let taken = scene.take_ids(2).await;
    assert_eq!(taken, accepted[..2].iter().map(|job| job.id).collect::<Vec<_>>());
    let counts = scene.store.counts().await.unwrap();
    assert_eq!(counts.unfinished[&StateName::Queued], accepted.len() as u64 - 1);
}

#[test]
fn a_place_that_cannot_be_written_is_read_only() {
    let folder = Folder::new();
    let nowhere = folder.database().join("deeper.db");
    assert!(matches!(open_error(&nowhere), StoreError::ReadOnly(_)));
    std::fs::create_dir(folder.database()).unwrap();
    let error = open_error(&folder.database());
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error:?}");
}

/// Permissions do not bind the super-user, so what SQLite says of a file it may not write is provoked otherwise.
#[test]
fn a_refused_write_is_read_only() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE t (x); PRAGMA query_only = ON").unwrap();
    let error = connection.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
    assert!(matches!(failed("write")(error), StoreError::ReadOnly(_)));
}

#[tokio::test]
async fn normal_durability_is_said() {
    let folder = Folder::new();
    let options = SqliteOptions { durability: Durability::Normal, ..SqliteOptions::default() };
    let store = SqliteStore::open(folder.database(), options).unwrap();
    assert_eq!(store.facts().await.unwrap().durability, "wal, durability=normal");
    store.close().await;
}

#[tokio::test]
async fn an_outsiders_change_is_noticed_and_undoes_nothing_else() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    let job = scene.running(scene.job()).await;
    let outsider = Connection::open(folder.database()).unwrap();
    outsider.execute("UPDATE job SET version = version + 1", []).unwrap();
    let end = crate::conformance::scene::ended(&job, 0);
    let error = scene.record(job.id, end.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    assert!(scene.happen(job.id, end).await.is_finished(), "the writer has read the row anew");
}

#[tokio::test]
async fn a_batch_that_fails_leaves_no_trace_in_memory() {
    let folder = Folder::new();
    let scene = Scene::new(&folder).await;
    scene.set_queue("default", 1).await;
    let running = scene.running(scene.job()).await;
    let next = scene.accept(scene.job()).await;
    let newest = scene.store.last_event().await.unwrap();
    let outsider = Connection::open(folder.database()).unwrap();
    outsider.execute("UPDATE job SET version = 7 WHERE number = ?1", [next.number.0 as i64]).unwrap();
    // The end is accepted, which frees a place; then the claim of the next job fails, and with it everything.
    let end = crate::conformance::scene::ended(&running, 0);
    let (change, taken) = scene.store.record(running.id, end.clone(), Some(scene.room(1)), scene.now()).await;
    assert!(matches!(change, Err(StoreError::Failed { .. })) && taken.is_empty());
    assert_eq!(scene.read(running.id).await, running);
    assert_eq!(scene.store.last_event().await.unwrap(), newest);
    assert!(scene.take_ids(1).await.is_empty(), "the place is still taken");
    let change = scene.record(running.id, end).await.unwrap();
    assert_eq!(change.seq.0, newest.0 + 1);
    assert_eq!(scene.take_ids(1).await, [next.id]);
}
