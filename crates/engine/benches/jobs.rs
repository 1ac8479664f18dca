//! Whole jobs through the engine with everything on: store, spawner, shims, captured output, exit records.
//!
//! `cargo bench -p longshore-engine --bench jobs`. Ratios are against the same machine in the same run: one fsync,
//! and the rate at which it can start `sh -c true` at all.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use longshore_domain::job::QueueName;
use longshore_domain::label::Labels;
use longshore_domain::node::NewNode;
use longshore_domain::{NodeId, Timestamp};
use longshore_engine::ops::{Caller, Submit};
use longshore_engine::{Clock, Engine, Retention, Settings};
use longshore_store::{SqliteOptions, SqliteStore};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("shim") {
        return ExitCode::from(longshore_engine::shim::run_spawner());
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // A task of the runtime, as every caller in the daemon is.
    let measuring = runtime.spawn(measure(folder.path().to_owned()));
    runtime.block_on(measuring).expect("measured");
    ExitCode::SUCCESS
}

async fn measure(folder: PathBuf) {
    let folder = folder.as_path();
    let fsync = fsync_p50(folder);
    println!("fsync p50 (append 300 B + fdatasync): {:.3} ms", millis(fsync));
    let engine = open(folder).await;
    let (sender, starts) = mpsc::channel();
    let starts = Mutex::new(starts);
    tracing::subscriber::set_global_default(Starts(sender)).expect("the only one");
    for round in 1..=3 {
        let (p50, p99) = submit_to_start(&engine, &starts, 200).await;
        println!(
            "submit to start, idle, round {round}: p50 {:.3} ms = {:.1} x fsync, p99 {:.3} ms",
            millis(p50),
            p50.as_secs_f64() / fsync.as_secs_f64(),
            millis(p99)
        );
    }
    for parallel in [2, 8, 32] {
        let raw = raw_spawns(parallel, 3000);
        let jobs = whole_jobs(&engine, parallel, 3000).await;
        println!(
            "no-op shell jobs, {parallel} at once: {jobs:.0}/s, raw `sh -c true` {raw:.0}/s, ratio {:.2}",
            jobs / raw
        );
    }
    engine.close(Duration::from_secs(5)).await;
}

fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    samples[((samples.len() - 1) as f64 * share) as usize]
}

fn fsync_p50(folder: &Path) -> Duration {
    let mut file = std::fs::File::create(folder.join("fsync")).expect("a file");
    let mut samples: Vec<Duration> = (0..500)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[7; 300]).expect("room on the disk");
            file.sync_data().expect("a sync");
            start.elapsed()
        })
        .collect();
    percentile(&mut samples, 0.5)
}

async fn open(folder: &Path) -> Engine {
    let store = SqliteStore::open(folder.join("jobs.db"), SqliteOptions::default()).expect("a store");
    let settings = Settings {
        node: NewNode {
            id: NodeId::new(Timestamp::from_millis(0), 1),
            name: "bench".into(),
            address: None,
            labels: Labels::default(),
            capacity: 64,
            version: "0".into(),
            boot: "bench".into(),
            incarnation: "this process".into(),
        },
        run_dir: folder.join("run"),
        output_dir: folder.join("output"),
        archive_dir: folder.join("archive"),
        shim_program: std::env::current_exe().expect("this program"),
        shim_args: vec!["shim".into()],
        shim_scope: false,
        cgroup: None,
        open_files: None,
        queues: BTreeMap::from([(QueueName::default(), 64)]),
        lease: Duration::from_secs(30),
        env_allow: vec![],
        retention: Retention::default(),
        artifacts: None,
        fixtures: false,
    };
    Engine::open(Arc::new(store), Clock::system(), settings).await.expect("an engine")
}

fn no_op() -> Submit {
    Submit { command: vec!["sh".into(), "-c".into(), "true".into()], cwd: "/".into(), ..Submit::default() }
}

/// Notes when the shim's word arrives that a command runs. What the clock of the command's own record says is as good,
/// but has whole milliseconds only.
struct Starts(mpsc::Sender<Instant>);

impl Subscriber for Starts {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "longshore_engine::command" && *metadata.level() == Level::DEBUG
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.0.send(Instant::now()).expect("somebody waits");
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// From the call of submit to the news that the command runs.
async fn submit_to_start(
    engine: &Engine,
    starts: &Mutex<mpsc::Receiver<Instant>>,
    count: usize,
) -> (Duration, Duration) {
    let caller = Caller::owner();
    let mut samples = vec![];
    for _ in 0..count {
        let called = Instant::now();
        let job = engine.submit(&caller, no_op()).await.expect("accepted").job;
        let job = engine.wait_one(job, Duration::from_secs(5)).await.expect("waited");
        assert!(job.outcome().is_some_and(|outcome| outcome.is_success()), "{:?}", job.state);
        samples.push(starts.lock().expect("only here").recv().expect("a start") - called);
    }
    (percentile(&mut samples.clone(), 0.5), percentile(&mut samples, 0.99))
}

async fn whole_jobs(engine: &Engine, parallel: usize, count: usize) -> f64 {
    let start = Instant::now();
    let callers: Vec<_> = (0..parallel)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let caller = Caller::owner();
                for _ in 0..count / parallel {
                    let job = engine.submit(&caller, no_op()).await.expect("accepted").job;
                    let job = engine.wait_one(job, Duration::from_secs(30)).await.expect("waited");
                    assert!(job.outcome().is_some_and(|outcome| outcome.is_success()), "{:?}", job.state);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
    (count / parallel * parallel) as f64 / start.elapsed().as_secs_f64()
}

fn raw_spawns(parallel: usize, count: usize) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..parallel {
            scope.spawn(|| {
                for _ in 0..count / parallel {
                    let output = Command::new("sh").args(["-c", "true"]).stdin(Stdio::null()).output();
                    assert!(output.is_ok_and(|output| output.status.success()));
                }
            });
        }
    });
    (count / parallel * parallel) as f64 / start.elapsed().as_secs_f64()
}
