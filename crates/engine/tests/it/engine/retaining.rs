//! What is removed when, and what never is.

use std::time::Duration;

use longshore_domain::{AttemptNumber, FaultCode};
use longshore_engine::Retention;
use longshore_engine::ops::OutputStart;

use super::kit::{Kit, code, owner, shell};

#[tokio::test(flavor = "multi_thread")]
async fn old_output_goes_first_then_the_record_into_the_archive() {
    let mut kit = Kit::new().await;
    let old = kit.ended(&kit.submit(shell("echo old")).await).await;
    let pinned = kit.ended(&kit.submit(shell("echo pinned")).await).await;
    kit.engine.pin(&owner(), &pinned.id.to_string(), true).await.unwrap();
    let log = kit.settings.output_path(&old, AttemptNumber(1));
    assert_eq!(kit.engine.gc(false).await.unwrap().outputs, 0, "nothing is old yet");

    kit.restart(|settings| settings.retention.output = Duration::ZERO).await;
    let planned = kit.engine.gc(true).await.unwrap();
    assert!(planned.dry_run && planned.outputs == 1 && planned.output_bytes > 0 && log.exists(), "{planned:?}");
    let done = kit.engine.gc(false).await.unwrap();
    assert!(done.outputs == 1 && done.records == 0 && !log.exists(), "{done:?}");
    assert_eq!(code(&kit.output(&old, OutputStart::Head).await.unwrap_err()), FaultCode::OutputExpired);
    assert!(kit.engine.show(&owner(), &old.id.to_string()).await.unwrap().job.outcome().is_some());
    assert_eq!(kit.printed(&pinned).await, "pinned\n");

    kit.restart(|settings| settings.retention.record = Duration::ZERO).await;
    let done = kit.engine.gc(false).await.unwrap();
    assert_eq!(done.records, 1);
    assert_eq!(code(&kit.engine.show(&owner(), &old.id.to_string()).await.unwrap_err()), FaultCode::JobNotFound);
    assert!(kit.engine.show(&owner(), &pinned.id.to_string()).await.is_ok());
    let archive = std::fs::read_dir(&kit.settings.archive_dir).unwrap().next().unwrap().unwrap().path();
    let lines = zstd::decode_all(std::fs::File::open(archive).unwrap()).unwrap();
    let kept: serde_json::Value = serde_json::from_slice(&lines).unwrap();
    assert_eq!(kept["job"]["id"], old.id.to_string());
    assert_eq!(kept["events"].as_array().unwrap().len(), 4);
    assert_eq!(kept["spec"]["argv"][0], "echo old");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_space_ceiling_the_oldest_output_goes() {
    let retention = Retention { output_bytes_max: 150_000, ..Retention::default() };
    let kit = Kit::with(|settings| settings.retention = retention).await;
    let mut jobs = vec![];
    for _ in 0..3 {
        jobs.push(kit.ended(&kit.submit(shell("head -c 70000 /dev/zero")).await).await);
    }
    let done = kit.engine.gc(false).await.unwrap();
    assert_eq!(done.outputs, 1, "{done:?}");
    assert_eq!(code(&kit.output(&jobs[0], OutputStart::Head).await.unwrap_err()), FaultCode::OutputExpired);
    assert_eq!(kit.output(&jobs[2], OutputStart::Head).await.unwrap().bytes.len(), 70_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_never_removed() {
    let retention = Retention { output: Duration::ZERO, record: Duration::ZERO, output_bytes_max: 0 };
    let kit = Kit::with(|settings| settings.retention = retention).await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo begun; {}", gate.wait()))).await;
    kit.speaks(&job).await;
    let done = kit.engine.gc(false).await.unwrap();
    assert_eq!((done.outputs, done.records), (0, 0));
    gate.open().await;
    assert_eq!(kit.printed(&job).await, "begun\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_no_record_leads_to_is_swept_once_it_is_old() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let running = kit.submit(shell(format!("echo begun; {}", gate.wait()))).await;
    kit.speaks(&running).await;
    let kept = kit.ended(&kit.submit(shell("echo kept")).await).await;
    let removed = kit.ended(&kit.submit(shell("echo removed")).await).await;
    let path = |job| kit.settings.output_path(job, AttemptNumber(1));
    let day = path(&removed).parent().unwrap().to_owned();
    // Killed between the record and the files.
    kit.engine.store().remove(vec![removed.id]).await.unwrap();
    let foreign = day.join("notes.txt");
    std::fs::write(&foreign, "mine").unwrap();

    let fresh = kit.engine.gc(false).await.unwrap();
    assert!(fresh.orphans == 0 && path(&removed).exists(), "{fresh:?}");
    for entry in std::fs::read_dir(&day).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let planned = kit.engine.gc(true).await.unwrap();
    assert!(planned.orphans > 0 && planned.orphan_bytes > 0 && path(&removed).exists(), "{planned:?}");
    let done = kit.engine.gc(false).await.unwrap();
    assert_eq!((done.orphans, done.orphan_bytes, done.outputs), (planned.orphans, planned.orphan_bytes, 0));
    assert!(!path(&removed).exists() && path(&kept).exists() && path(&running).exists() && foreign.exists());
    assert_eq!(kit.engine.gc(false).await.unwrap().orphans, 0, "a second time there is nothing left");
    gate.open().await;
    assert_eq!((kit.printed(&running).await, kit.printed(&kept).await), ("begun\n".into(), "kept\n".into()));
}
