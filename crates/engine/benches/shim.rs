//! What shims cost: whole attempts against bare process starts, capture against `cat`, and memory.
//!
//! `cargo bench -p longshore-engine --bench shim`. All figures are ratios within one run on one machine; the goals
//! are printed beside them. An argument chooses one part: `rate`, `capture` or `memory`. The argument `shim` makes
//! this program the spawner it needs.

#![expect(clippy::print_stdout, reason = "the figures are what this program is for")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_domain::job::{CommandLimits, CommandSpec};
use longshore_domain::{AttemptNumber, JobId, JobNumber, Nonce, Timestamp};
use longshore_engine::process::{AttemptPlan, ShimReport, Spawner, SpawnerOptions, forget};

const ATTEMPTS: u64 = 4_000;
const BIG_BYTES: u64 = 1 << 30;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("shim") {
        return ExitCode::from(longshore_engine::shim::run_spawner());
    }
    let folder = tempfile::tempdir_in(".").expect("a temporary folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with('-'));
    let wants = |part: &str| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if wants("rate") {
        rates(&runtime, folder.path());
    }
    if wants("capture") {
        runtime.block_on(capture(folder.path()));
    }
    if wants("memory") {
        runtime.block_on(memory(folder.path()));
    }
    ExitCode::SUCCESS
}

fn rates(runtime: &tokio::runtime::Runtime, folder: &Path) {
    println!("one fsynced record: {:.0} us", fsync_micros(folder));
    for parallel in [2, 8, 32] {
        let raw = raw_rate(parallel);
        let ours = runtime.block_on(attempt_rate(folder, None, "true", parallel));
        println!("P={parallel}: raw {raw:.0}/s, attempts {ours:.0}/s, ratio {:.2} (goal 0.60)", ours / raw);
    }
    let printing = runtime.block_on(attempt_rate(folder, None, "echo hello", 8));
    println!("P=8: attempts that print a line {printing:.0}/s");
    if let Some(parent) = cgroup_parent() {
        let with = runtime.block_on(attempt_rate(folder, Some(parent.clone()), "true", 8));
        let without = runtime.block_on(attempt_rate(folder, None, "true", 8));
        println!("P=8: with a cgroup each {with:.0}/s, without {without:.0}/s");
        std::fs::remove_dir(parent).ok();
    }
}

/// A temporary file written, synced, renamed, and its folder synced: what every attempt does at least.
fn fsync_micros(folder: &Path) -> f64 {
    const ROUNDS: u32 = 100;
    let directory = std::fs::File::open(folder).expect("a folder");
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        let path = folder.join("probe");
        std::fs::write(&path, [b'x'; 500]).expect("a file");
        std::fs::File::open(&path).and_then(|file| file.sync_data()).expect("a sync");
        std::fs::rename(&path, folder.join("probe.done")).expect("a rename");
        directory.sync_all().expect("a sync");
    }
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
}

fn raw_rate(parallel: u64) -> f64 {
    let left = Arc::new(AtomicU64::new(ATTEMPTS));
    let begin = Instant::now();
    let threads: Vec<_> = (0..parallel)
        .map(|_| {
            let left = Arc::clone(&left);
            std::thread::spawn(move || {
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    let mut command = Command::new("/bin/sh");
                    command.args(["-c", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
                    command.output().expect("sh starts");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
    ATTEMPTS as f64 / begin.elapsed().as_secs_f64()
}

async fn launch(folder: &Path, cgroup: Option<PathBuf>) -> (Spawner, PathBuf) {
    let run_dir = folder.join("run");
    std::fs::create_dir_all(&run_dir).expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let (args, run_dir_too) = (vec!["shim".into()], run_dir.clone());
    let options = SpawnerOptions { program, args, run_dir: run_dir_too, cgroup, scope: false, open_files: None };
    (Spawner::launch(options).await.expect("a spawner"), run_dir)
}

fn plan(folder: &Path, number: u64, line: &str) -> AttemptPlan {
    AttemptPlan {
        job: JobId::new(Timestamp::from_millis(1_795_000_000_000), u128::from(number)),
        number: JobNumber(number),
        attempt: AttemptNumber(1),
        nonce: Nonce::new(u128::from(number)),
        boot: "8f9f6a5e-1f7e-4f1e-9f43-000000000000".into(),
        spec: CommandSpec {
            shell: true,
            limits: CommandLimits { output_bytes_max: 2 * BIG_BYTES, ..CommandLimits::default() },
            ..CommandSpec::new(&[line], "/tmp", &[("PATH", "/usr/bin:/bin"), ("HOME", "/root")])
        },
        output_path: folder.join(format!("{number}.log")),
    }
}

async fn attempt_rate(folder: &Path, cgroup: Option<PathBuf>, line: &'static str, parallel: u64) -> f64 {
    let (spawner, run_dir) = launch(folder, cgroup).await;
    let spawner = Arc::new(spawner);
    let next = Arc::new(AtomicU64::new(1));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..parallel)
        .map(|_| {
            let (spawner, next, run_dir) = (Arc::clone(&spawner), Arc::clone(&next), run_dir.clone());
            let folder = folder.to_owned();
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number > ATTEMPTS {
                        return;
                    }
                    run(&spawner, plan(&folder, number, line)).await;
                    forget(&run_dir, JobNumber(number), AttemptNumber(1));
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    ATTEMPTS as f64 / begin.elapsed().as_secs_f64()
}

async fn run(spawner: &Spawner, plan: AttemptPlan) -> Duration {
    let begin = Instant::now();
    let mut link = spawner.spawn(plan).await.expect("an attempt");
    loop {
        if let ShimReport::Ended(report) = link.next().await.expect("an end") {
            assert_eq!(report.exit_code, Some(0), "{report:?}");
            return begin.elapsed();
        }
    }
}

async fn capture(folder: &Path) {
    let big = folder.join("big");
    let line: Vec<u8> = b"a line of text that is neither short nor very long, as build logs have them\n".repeat(14_000);
    let mut bytes = 0;
    let mut file = std::fs::File::create(&big).expect("a file");
    while bytes < BIG_BYTES {
        std::io::Write::write_all(&mut file, &line).expect("room on the disk");
        bytes += line.len() as u64;
    }
    file.sync_data().expect("a sync");
    let (spawner, _) = launch(folder, None).await;
    let mib = bytes as f64 / 1048576.0;
    for round in 0..3u64 {
        let copy = folder.join("copy");
        let begin = Instant::now();
        let line = format!("cat '{}' > '{}'; sync -d '{}'", big.display(), copy.display(), copy.display());
        let plain = format!("cat '{}' > '{}'", big.display(), copy.display());
        plain_status(Command::new("/bin/sh").args(["-c", &plain]));
        let cat = begin.elapsed();
        plain_status(Command::new("/bin/sh").args(["-c", &line]));
        let synced = begin.elapsed() - cat;
        std::fs::remove_file(&copy).expect("the copy");
        let absolute = std::path::absolute(&big).expect("a path");
        let plan = plan(&std::path::absolute(folder).expect("a path"), round, &format!("cat '{}'", absolute.display()));
        let output = plan.output_path.clone();
        let (shim, ran) = run_timed(&spawner, plan).await;
        std::fs::remove_file(&output).expect("the output");
        println!(
            "capture: cat > file {:.0} MiB/s (then synced {:.0}), captured {:.0} MiB/s until exit, {:.0} until durable; \
             ratio {:.2} (goal 0.50)",
            mib / cat.as_secs_f64(),
            mib / synced.as_secs_f64(),
            mib / ran.as_secs_f64(),
            mib / shim.as_secs_f64(),
            cat.as_secs_f64() / ran.as_secs_f64(),
        );
    }
}

async fn run_timed(spawner: &Spawner, plan: AttemptPlan) -> (Duration, Duration) {
    let begin = Instant::now();
    let mut link = spawner.spawn(plan).await.expect("an attempt");
    loop {
        if let ShimReport::Ended(report) = link.next().await.expect("an end") {
            assert_eq!(report.output.omitted_bytes, 0);
            return (begin.elapsed(), report.ran);
        }
    }
}

fn plain_status(command: &mut Command) {
    assert!(command.status().expect("sh starts").success());
}

async fn memory(folder: &Path) {
    let (spawner, _) = launch(folder, None).await;
    for (number, line) in [(7, "exec sleep 1000"), (8, "echo x; exec sleep 1000")] {
        let folder = std::path::absolute(folder).expect("a path");
        let mut link = spawner.spawn(plan(&folder, number, line)).await.expect("an attempt");
        let Some(ShimReport::Started { process, .. }) = link.next().await else { panic!("it starts") };
        tokio::time::sleep(Duration::from_millis(200)).await;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).expect("it runs");
        let shim = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().nth(1)).expect("a parent");
        let rollup = std::fs::read_to_string(format!("/proc/{shim}/smaps_rollup")).expect("a shim");
        let facts: Vec<String> = rollup
            .lines()
            .filter(|line| line.starts_with("Rss:") || line.starts_with("Pss:") || line.starts_with("Private_Dirty:"))
            .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        println!("memory of a shim running `{line}`: {} (goal 3072 kB resident)", facts.join(", "));
        link.control().stop(true);
        while !matches!(link.next().await, Some(ShimReport::Ended(_)) | None) {}
    }
}

fn cgroup_parent() -> Option<PathBuf> {
    let folder = PathBuf::from(format!("/sys/fs/cgroup/unified/longshore-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).ok()?;
    Some(folder)
}
