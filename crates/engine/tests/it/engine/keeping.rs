//! Output that outlives its node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longshore_domain::job::CommandLimits;
use longshore_domain::{FaultCode, Job, Timestamp};
use longshore_engine::ops::{OutputCursor, OutputStart, Submit};
use longshore_engine::{Keeping, Settings};
use longshore_store::{ArtifactOptions, ObjectArtifacts};

use super::kit::{Kit, LIMIT, Shared, code, owner, shell};
use super::labelling::{both_streams, expected, streams};

fn kept_at(folder: &Path, patience: Duration) -> impl FnOnce(&mut Settings) {
    let artifacts = Arc::new(ObjectArtifacts::open(&ArtifactOptions::folder(folder)).unwrap());
    move |settings| settings.artifacts = Some(Keeping { artifacts, output: true, patience })
}

/// A node that runs commands, another that has no room for any, and where both keep output.
async fn pair() -> (Kit, Kit, tempfile::TempDir) {
    let (shared, folder) = (Shared::new(), tempfile::tempdir().unwrap());
    let runs = Kit::node(&shared, 1, kept_at(folder.path(), LIMIT)).await;
    let keep = kept_at(folder.path(), LIMIT);
    let other = Kit::node(&shared, 2, |settings| {
        keep(settings);
        settings.node.capacity = 0;
    });
    (runs, other.await, folder)
}

/// Everything that can be read: where each stretch begins, its bytes, and what was left out before it.
async fn read_all(kit: &Kit, job: &Job, start: OutputStart) -> (Vec<u8>, u64, u64) {
    let (mut bytes, mut omitted, mut start) = (vec![], 0, start);
    loop {
        let page = kit.output(job, start).await.unwrap();
        bytes.extend(page.bytes);
        omitted += page.omitted;
        if page.end {
            return (bytes, omitted, page.total);
        }
        start = OutputStart::Cursor(page.next);
    }
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(&folder.join("objects")).flat_map(|folder| entries(&folder).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_on_when_its_node_is_gone() {
    let (runs, other, _folder) = pair().await;
    let limits = CommandLimits { output_bytes_max: 4_000_000, ..CommandLimits::default() };
    let jobs = [
        runs.submit(shell("seq 1 9")).await,
        runs.submit(shell("true")).await,
        runs.submit(shell("seq 1 400000")).await,
        runs.submit(Submit { limits, ..shell("seq 1 1000000") }).await,
    ];
    let tails = [1, 7, 300_000, 500_000].map(OutputStart::TailLines);
    let starts = [&[OutputStart::Head], tails.as_slice()].concat();
    let mut seen = vec![];
    for job in &jobs {
        runs.ended(job).await;
        for &start in &starts {
            seen.push(read_all(&runs, job, start).await);
        }
    }
    let left_out = [seen[15].1, seen[18].1, seen[19].1].map(|omitted| omitted > 0);
    assert_eq!(left_out, [true, false, true], "the last is longer than what is kept of it");
    runs.engine.close(LIMIT).await;
    other.shared.as_ref().unwrap().peers.silence(&runs);
    let mut seen = seen.into_iter();
    for job in &jobs {
        for &start in &starts {
            assert!(read_all(&other, job, start).await == seen.next().unwrap(), "{}, {start:?}", job.title);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_come_from_another_node_and_are_kept_with_the_output() {
    let (runs, other, _folder) = pair().await;
    let job = both_streams(&runs).await;
    assert_eq!(streams(&other, &job).await, expected());
    runs.engine.close(LIMIT).await;
    other.shared.as_ref().unwrap().peers.silence(&runs);
    assert_eq!(streams(&other, &job).await, expected());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_printed_is_kept_while_it_runs() {
    let (runs, other, _folder) = pair().await;
    let gate = runs.gate("gate");
    let job = runs.submit(shell(format!("echo begun; {}; echo ended", gate.wait()))).await;
    runs.speaks(&job).await;
    other.shared.as_ref().unwrap().peers.silence(&runs);
    let page = loop {
        match other.output(&job, OutputStart::Head).await {
            Ok(page) if !page.bytes.is_empty() => break page,
            Ok(_) => {}
            Err(fault) => assert_eq!(code(&fault), FaultCode::NodeUnreachable),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((page.bytes, page.end), (b"begun\n".to_vec(), false));
    let labels = other.labelled(&job, OutputStart::Head).await.unwrap().labels;
    assert_eq!(labels, [], "what tells them is kept last");
    gate.open().await;
    runs.ended(&job).await;
    assert_eq!(read_all(&other, &job, OutputStart::Head).await, (b"begun\nended\n".to_vec(), 0, 12));
    let next = OutputStart::Cursor(OutputCursor { offset: 6, ..page.from });
    assert_eq!(read_all(&other, &job, next).await.0, b"ended\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_does_not_wait_for_ever_and_output_is_kept_later() {
    let (shared, folder) = (Shared::new(), tempfile::tempdir().unwrap());
    let place = folder.path().join("place");
    let mut kit = Kit::node(&shared, 1, kept_at(&place, Duration::ZERO)).await;
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, "a file where a folder should be").unwrap();
    let job = kit.ended(&kit.submit(shell("echo kept later")).await).await;
    let output = kit.settings.output_path(&job, job.attempt);
    let note = PathBuf::from(format!("{}.unsent", output.display()));
    kit.engine.close(LIMIT).await;
    assert!(note.exists(), "the next daemon knows");
    std::fs::remove_file(&place).unwrap();
    kit.restart(kept_at(&place, LIMIT)).await;
    while note.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(output).unwrap();
    assert_eq!(kit.printed(&job).await, "kept later\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_go_with_the_last_job_that_has_them() {
    let (runs, _other, folder) = pair().await;
    let twin = "echo the same";
    let (first, second) = (runs.submit(shell(twin)).await, runs.submit(shell(twin)).await);
    runs.ended(&first).await;
    runs.ended(&second).await;
    let age = |days: u64| {
        for object in objects(folder.path()) {
            let now = runs.engine.clock().now().since(Timestamp::from_millis(0));
            let at = SystemTime::UNIX_EPOCH + now - Duration::from_secs(days * 86_400);
            std::fs::File::open(object).unwrap().set_modified(at).unwrap();
        }
    };
    let all = objects(folder.path()).len() as u64;
    assert!(all >= 2, "what was printed, and when");
    runs.engine.remove(&owner(), &first.id.to_string()).await.unwrap();
    assert_eq!(runs.engine.gc(false).await.unwrap().objects, 0, "nothing is old yet");
    age(2);
    let index = runs.engine.gc(false).await.unwrap().objects;
    assert_eq!(index, all - 2, "the second has its own");
    runs.engine.remove(&owner(), &second.id.to_string()).await.unwrap();
    let planned = runs.engine.gc(true).await.unwrap();
    let report = runs.engine.gc(false).await.unwrap();
    assert!(report.objects == 2 && report.object_bytes > 0, "{report:?}");
    assert_eq!((planned.objects, planned.object_bytes), (report.objects, report.object_bytes));
    assert!(objects(folder.path()).is_empty());
}
