//! Several nodes that apply the retention to what they share, also at the same time.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use longshore_domain::{AttemptNumber, FaultCode, Job};
use longshore_engine::ops::{OutputStart, Submit};
use longshore_engine::{Keeping, Settings};
use longshore_store::{ArtifactOptions, ObjectArtifacts};
use serde_json::Value;

use super::kit::{Kit, LIMIT, Shared, code, owner, shell};

/// Two nodes that both run commands, each those that require its label.
async fn pair(change: impl Fn(&mut Settings)) -> [Kit; 2] {
    let shared = Shared::new();
    let node = async |number: u128| {
        let settings = |settings: &mut Settings| {
            settings.node.labels = format!("of-{number}").parse().unwrap();
            change(settings);
        };
        Kit::node(&shared, number, settings).await
    };
    [node(1).await, node(2).await]
}

fn kept_at(folder: &Path) -> Keeping {
    let artifacts = Arc::new(ObjectArtifacts::open(&ArtifactOptions::folder(folder)).unwrap());
    Keeping { artifacts, output: true, patience: LIMIT }
}

fn on(node: u32, line: &str) -> Submit {
    Submit { requires: format!("of-{node}").parse().unwrap(), ..shell(line) }
}

async fn ran(kit: &Kit, submit: Submit) -> Job {
    kit.ended(&kit.submit(submit).await).await
}

fn has_files(kit: &Kit, job: &Job) -> bool {
    kit.settings.output_path(job, AttemptNumber(1)).exists()
}

/// Makes files look as if they had been written long ago.
fn age(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.metadata().unwrap().is_dir() {
            true => age(&entry.path()),
            false => std::fs::File::open(entry.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_of_one_node_takes_no_output_of_another() {
    let [mut one, two] = pair(|_| {}).await;
    let (here, there) = (ran(&one, on(1, "echo here")).await, ran(&one, on(2, "echo there")).await);
    one.restart(|settings| settings.retention.output_bytes_max = 0).await;
    let planned = one.engine.gc(true).await.unwrap();
    let done = one.engine.gc(false).await.unwrap();
    assert_eq!((done.outputs, planned.outputs, done.output_bytes), (1, 1, planned.output_bytes));
    assert!(!has_files(&one, &here) && has_files(&two, &there));
    assert_eq!(code(&two.output(&here, OutputStart::Head).await.unwrap_err()), FaultCode::OutputExpired);
    assert_eq!(one.printed(&there).await, "there\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_elsewhere_too_is_not_gone_with_the_files_that_gave_way() {
    let folder = tempfile::tempdir().unwrap();
    let [mut one, two] = pair(|settings| settings.artifacts = Some(kept_at(folder.path()))).await;
    let job = ran(&one, on(1, "echo kept")).await;
    one.restart(|settings| settings.retention.output_bytes_max = 0).await;
    let done = one.engine.gc(false).await.unwrap();
    assert!(done.outputs == 0 && done.output_bytes > 0 && !has_files(&one, &job), "{done:?}");
    assert_eq!((one.printed(&job).await, two.printed(&job).await), ("kept\n".into(), "kept\n".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_one_node_notes_as_gone_is_deleted_by_the_one_that_has_it() {
    let [mut one, two] = pair(|_| {}).await;
    let job = ran(&one, on(2, "echo there")).await;
    one.restart(|settings| settings.retention.output = Duration::ZERO).await;
    let done = one.engine.gc(false).await.unwrap();
    assert_eq!((done.outputs, done.output_bytes), (1, 0));
    assert_eq!(code(&two.output(&job, OutputStart::Head).await.unwrap_err()), FaultCode::OutputExpired);
    assert!(has_files(&two, &job), "its node has not cleaned yet");
    age(&two.settings.output_dir);
    let done = two.engine.gc(false).await.unwrap();
    assert!(done.outputs == 0 && done.orphans == 2 && !has_files(&two, &job), "{done:?}");
}

/// The lines that all nodes have archived.
fn archived(folder: &Path) -> Vec<Value> {
    let mut found = vec![];
    for file in std::fs::read_dir(folder.join("archive")).unwrap().flatten() {
        let name = file.file_name().into_string().unwrap();
        assert!(name.starts_with("jobs-2") && name.ends_with(".jsonl.zst"), "{name}");
        let lines = zstd::decode_all(std::fs::File::open(file.path()).unwrap()).unwrap();
        found.extend(serde_json::Deserializer::from_slice(&lines).into_iter::<Value>().map(Result::unwrap));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_clean_at_once_archive_all_and_lose_nothing() {
    const JOBS: u32 = 30;
    let folder = tempfile::tempdir().unwrap();
    let [mut one, mut two] = pair(|settings| settings.artifacts = Some(kept_at(folder.path()))).await;
    let mut old = vec![];
    for number in 0..JOBS {
        old.push(one.submit(on(1 + number % 2, &format!("echo {}", number / 2))).await);
    }
    for job in &old {
        one.ended(job).await;
    }
    let gate = one.gate("gate");
    let pinned = ran(&one, on(1, "echo pinned")).await;
    one.engine.pin(&owner(), &pinned.id.to_string(), true).await.unwrap();
    let running = one.submit(on(1, &format!("echo 0; {}", gate.wait()))).await;
    one.speaks(&running).await;
    for kit in [&mut one, &mut two] {
        kit.restart(|settings| settings.retention.record = Duration::ZERO).await;
    }
    age(folder.path());
    // What is printed meanwhile is the same as what is being collected.
    let again = async {
        let mut again = vec![];
        for number in 0..4 {
            again.push(one.submit(on(2, &format!("sleep 0.0{number}; echo {number}"))).await);
            tokio::task::yield_now().await;
        }
        again
    };
    let (first, second, again) = tokio::join!(one.engine.gc(false), two.engine.gc(false), again);
    let (first, second) = (first.unwrap(), second.unwrap());
    let lines = archived(folder.path());
    let both: BTreeSet<_> = lines.iter().map(|line| line["job"]["id"].as_str().unwrap()).collect();
    assert!(first.records + second.records >= u64::from(JOBS), "{first:?} {second:?}");
    assert_eq!(first.records + second.records, both.len() as u64, "each was removed once, after it was archived");
    assert!(old.iter().all(|job| both.contains(&*job.id.to_string())));
    for kit in [&one, &two] {
        assert_eq!(std::fs::read_dir(&kit.settings.archive_dir).unwrap().count(), 0, "it outlives the nodes");
    }
    for line in &lines {
        assert!(line["spec"].is_object() && line["events"].as_array().unwrap().len() == 4, "{line}");
    }
    gate.open().await;
    one.ended(&running).await;
    let is_over = async |job: &Job| {
        let found = one.engine.find(&owner().principal, &job.id.to_string()).await;
        found.map_or_else(|fault| code(&fault) == FaultCode::JobNotFound, |job| job.is_finished())
    };
    for job in &again {
        while !is_over(job).await {}
    }
    one.shared.as_ref().unwrap().peers.silence(&two);
    for (job, text) in [(&pinned, "pinned\n"), (&running, "0\n")] {
        assert_eq!(one.printed(job).await, text);
        std::fs::remove_file(one.settings.output_path(job, AttemptNumber(1))).unwrap();
        assert_eq!(one.printed(job).await, text, "its objects are there");
    }
    for (number, job) in again.iter().enumerate() {
        match one.output(job, OutputStart::Head).await {
            Ok(page) => assert_eq!(String::from_utf8(page.bytes).unwrap(), format!("{number}\n")),
            Err(fault) => assert_eq!(code(&fault), FaultCode::JobNotFound, "it was old at once"),
        }
    }
}
