//! Durable transitions per second against what the disk itself allows, in one run on one machine.
//!
//! `cargo bench -p longshore-store -- [--big] [--seconds N] [--callers N] [--normal]`. `--big` first fills a store with 1,000,000
//! finished and 100,000 queued jobs and compares it with an empty one.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people, which may simply stop")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use longshore_domain::Labels;
use longshore_domain::access::Principal;
use longshore_domain::id::{AttemptNumber, JobId, NodeId, Nonce};
use longshore_domain::job::{AttemptReport, CommandSpec, Event, JobSpec, QueueName};
use longshore_domain::store::{Claim, JobFilter, NewJob, OldJobs, Queue, Store};
use longshore_domain::time::Timestamp;
use longshore_store::{Durability, SqliteOptions, SqliteStore};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const CALLERS: [usize; 4] = [1, 8, 32, 64];
const RECORD_BYTES: usize = 300;
const FINISHED: u64 = 1_000_000;
const QUEUED: u64 = 100_000;

static IDS: AtomicU64 = AtomicU64::new(1);
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Arguments {
    big: bool,
    length: Duration,
    callers: Vec<usize>,
    durability: Durability,
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let after = |name: &str| words.get(words.iter().position(|word| word == name)? + 1).cloned();
    let seconds = after("--seconds").map(|seconds| seconds.parse().unwrap());
    let callers = after("--callers").map(|callers| vec![callers.parse().unwrap()]);
    let arguments = Arguments {
        big: words.iter().any(|word| word == "--big"),
        length: Duration::from_secs_f64(seconds.unwrap_or(3.0)),
        callers: callers.unwrap_or(CALLERS.to_vec()),
        durability: if words.iter().any(|word| word == "--normal") { Durability::Normal } else { Durability::Full },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(run(&arguments));
}

async fn run(arguments: &Arguments) {
    let folder = tempfile::tempdir_in(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target")).unwrap();
    println!("callers   raw/s      transitions/s  ratio   p50 ms  p99 ms  p99.9 ms  max ms");
    for &callers in &arguments.callers {
        // The baseline is taken before and after, for the disk is not ours alone.
        let before = raw(folder.path(), callers, arguments.length / 4);
        let store = open(&folder.path().join(format!("{callers}.db")), arguments).await;
        let (rate, latencies) = transitions(&store, callers, arguments.length).await;
        store.close().await;
        let raw = f64::midpoint(before, raw(folder.path(), callers, arguments.length / 4));
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{callers:>7} {raw:>9.0} {rate:>14.0}  {:>6.2} {:>8.2} {:>7.2} {:>9.2} {:>7.2}",
            rate / raw,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
    if arguments.big {
        big(folder.path(), arguments).await;
    }
}

/// Durable records per second if `callers` records are written and synced together.
fn raw(folder: &Path, callers: usize, length: Duration) -> f64 {
    let mut file = File::create(folder.join("raw")).unwrap();
    let record = vec![b'x'; callers * RECORD_BYTES];
    let begin = Instant::now();
    let mut written = 0;
    while begin.elapsed() < length {
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
        written += callers;
    }
    written as f64 / begin.elapsed().as_secs_f64()
}

async fn open(path: &Path, arguments: &Arguments) -> Arc<dyn Store> {
    let options = SqliteOptions { durability: arguments.durability, ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::open(path, options).unwrap());
    store.set_queue(Queue { name: QueueName::default(), concurrency: 100_000 }).await.unwrap();
    store
}

fn id() -> u128 {
    u128::from(IDS.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn new_job() -> NewJob {
    let words = ["cargo", "test", "--workspace", "--all-features"];
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/home/dev"), ("LANG", "C.UTF-8")];
    let spec = JobSpec::Command(CommandSpec::new(&words, "/home/dev/project", &env));
    // Ids sort by time, as they do in life: the index of ids grows at its end.
    NewJob::new(JobId::new(NOW.plus(BEGIN.elapsed()), id()), Principal::agent("coder"), spec)
}

fn room() -> Claim {
    Claim {
        holder: NodeId::new(NOW, 1),
        labels: Labels::default(),
        boot: "2f1c3a5e-0b1d-4c2e-9f3a-6b7c8d9e0f1a".into(),
        lease: Duration::from_secs(30),
        nonces: vec![Nonce::new(id())],
    }
}

fn started() -> Event {
    Event::Started { token: AttemptNumber(1), process: None, deadline_at: None }
}

fn ended() -> Event {
    let report = AttemptReport {
        exit_code: Some(0),
        started_at: NOW,
        finished_at: NOW.plus(Duration::from_secs(1)),
        ran: Duration::from_secs(1),
        ..AttemptReport::default()
    };
    Event::Ended { token: AttemptNumber(1), report }
}

/// Transitions per second of so many callers, each taking jobs through their lives, and how long each step took.
async fn transitions(store: &Arc<dyn Store>, callers: usize, length: Duration) -> (f64, Vec<Duration>) {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(100_000);
                while begin.elapsed() < length {
                    one_life(store.as_ref(), &mut latencies).await;
                }
                latencies
            })
        })
        .collect();
    let mut latencies = vec![];
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let rate = latencies.len() as f64 / begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    (rate, latencies)
}

async fn one_life(store: &dyn Store, latencies: &mut Vec<Duration>) {
    let mut step = Instant::now();
    let mut lap = |latencies: &mut Vec<Duration>| {
        latencies.push(step.elapsed());
        step = Instant::now();
    };
    store.submit(new_job(), None, NOW).await.unwrap();
    lap(latencies);
    let taken = store.claim(room(), NOW).await.unwrap().remove(0).job.id;
    lap(latencies);
    store.record(taken, started(), None, NOW).await.0.unwrap();
    lap(latencies);
    store.record(taken, ended(), None, NOW).await.0.unwrap();
    lap(latencies);
}

/// What a long history and a long line cost.
async fn big(folder: &Path, arguments: &Arguments) {
    let quick = Arguments { durability: Durability::Normal, callers: vec![], ..*arguments };
    let path = folder.join("big.db");
    let store = open(&path, &quick).await;
    let begin = Instant::now();
    fill(&store).await;
    println!(
        "\nfilled in {:.0} s, {} bytes",
        begin.elapsed().as_secs_f64(),
        store.facts().await.unwrap().bytes.unwrap()
    );
    store.close().await;
    let begin = Instant::now();
    let store = open(&path, arguments).await;
    println!("opened in {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    compare(folder, &store, arguments).await;
    reads(&store).await;
    store.close().await;
}

async fn fill(store: &Arc<dyn Store>) {
    let tasks: Vec<_> = (0..250)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for _ in 0..FINISHED / 250 {
                    one_life(store.as_ref(), &mut vec![]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let tasks: Vec<_> = (0..250)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for _ in 0..QUEUED / 250 {
                    store.submit(new_job(), None, NOW).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Submits and whole lives per second in both stores, in turns so that both see the same machine.
async fn compare(folder: &Path, full: &Arc<dyn Store>, arguments: &Arguments) {
    for callers in [1, 32] {
        let mut submits = [vec![], vec![]];
        let mut lives = [vec![], vec![]];
        let empty = open(&folder.join(format!("empty-{callers}.db")), arguments).await;
        for _ in 0..7 {
            for (at, store) in [full, &empty].into_iter().enumerate() {
                submits[at].push(submits_rate(store, callers, arguments.length / 3).await);
            }
        }
        // Only afterwards: claims of old jobs leave scattered pages, whose checkpoint the submits would pay for.
        for _ in 0..7 {
            for (at, store) in [full, &empty].into_iter().enumerate() {
                lives[at].push(transitions(store, callers, arguments.length / 3).await.0);
            }
        }
        empty.close().await;
        for (what, [full, empty]) in [("submits", submits), ("transitions", lives)] {
            let (full, empty) = (median(full), median(empty));
            println!("{callers} callers, {what}/s: full {full:.0}, empty {empty:.0}, ratio {:.3}", full / empty);
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn submits_rate(store: &Arc<dyn Store>, callers: usize, length: Duration) -> f64 {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut submitted = 0_u64;
                while begin.elapsed() < length {
                    store.submit(new_job(), None, NOW).await.unwrap();
                    submitted += 1;
                }
                submitted
            })
        })
        .collect();
    let mut submitted = 0;
    for task in tasks {
        submitted += task.await.unwrap();
    }
    submitted as f64 / begin.elapsed().as_secs_f64()
}

async fn reads(store: &Arc<dyn Store>) {
    let jobs = store.jobs(JobFilter::default(), 50).await.unwrap();
    let states = vec![longshore_domain::job::StateName::Queued, longshore_domain::job::StateName::Running];
    let failed = JobFilter { outcome: Some(longshore_domain::job::OutcomeStatus::Failed), ..JobFilter::default() };
    let own = JobFilter { owner: Some("coder".to_owned()), ..JobFilter::default() };
    let begin = Instant::now();
    let mut lap = begin;
    let mut show = |what: &str| {
        println!("{what}: {:.2} ms", lap.elapsed().as_secs_f64() * 1e3);
        lap = Instant::now();
    };
    store.jobs(JobFilter::default(), 50).await.unwrap();
    show("jobs, newest 50");
    store.jobs(JobFilter { states, ..JobFilter::default() }, 50).await.unwrap();
    show("jobs, queued or running, 50");
    store.jobs(failed, 50).await.unwrap();
    show("jobs, failed (none), 50");
    store.jobs(own, 50).await.unwrap();
    show("jobs of one agent, 50");
    store.jobs(JobFilter { text: Some("nowhere".into()), ..JobFilter::default() }, 50).await.unwrap();
    show("jobs with a text that none has");
    store.job(jobs[0].id).await.unwrap();
    show("job");
    store.position(jobs[0].id).await.unwrap();
    show("position of the last");
    store.counts().await.unwrap();
    show("counts");
    store.old_jobs(OldJobs::default(), NOW.plus(Duration::from_secs(1)), 100).await.unwrap();
    show("old jobs, 100");
}
