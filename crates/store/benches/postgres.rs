//! Whole jobs per second over PostgreSQL (submitted, claimed, finished, each step acknowledged), beside a plain loop in
//! SQL that does the same a hundred at a time.
//!
//! `cargo bench -p longshore-store --bench postgres -- URL [--seconds N] [--callers N]`. It makes the schemas `bench`
//! and `bench_plain` anew.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people, which may simply stop")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_domain::Labels;
use longshore_domain::access::Principal;
use longshore_domain::id::{AttemptNumber, JobId, NodeId, Nonce};
use longshore_domain::job::{
    AttemptReport, CommandLimits, CommandSpec, Deadlines, Event, JobSpec, OutputMode, QueueName, RetryPolicy,
};
use longshore_domain::store::{Claim, NewJob, Queue, Store};
use longshore_domain::time::Timestamp;
use longshore_store::{PostgresOptions, PostgresStore};
use tokio_postgres::{Client, NoTls};

const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const CALLERS: [usize; 5] = [1, 8, 32, 100, 256];
const BATCH: i64 = 100;

static IDS: AtomicU64 = AtomicU64::new(1);

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let url = words.iter().find(|word| word.starts_with("postgres")).expect("the URL of a server").clone();
    let after = |name: &str| words.get(words.iter().position(|word| word == name)? + 1).cloned();
    let length = Duration::from_secs_f64(after("--seconds").map_or(3.0, |seconds| seconds.parse().unwrap()));
    let callers = after("--callers").map_or(CALLERS.to_vec(), |callers| vec![callers.parse().unwrap()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&url, length, &callers));
}

async fn run(url: &str, length: Duration, callers: &[usize]) {
    println!("loop in SQL, {BATCH} at a time: {:.0} jobs/s over 1 connection", plain(url, 1, length).await);
    println!("loop in SQL, {BATCH} at a time: {:.0} jobs/s over 4 connections", plain(url, 4, length).await);
    println!("callers   jobs/s  p50 ms  p99 ms");
    for &callers in callers {
        connect(url).await.batch_execute("DROP SCHEMA IF EXISTS bench CASCADE").await.unwrap();
        let options = PostgresOptions { schema: "bench".into(), ..PostgresOptions::new(url) };
        let store = Arc::new(PostgresStore::open(options).await.unwrap());
        store.set_queue(Queue { name: QueueName::default(), concurrency: 100_000 }).await.unwrap();
        let (rate, steps) = lives(&store, callers, length).await;
        let at = |share: f64| steps[((steps.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("{callers:>7} {rate:>8.0} {:>7.2} {:>7.2}", at(0.5), at(0.99));
        store.close().await;
    }
    println!("loop in SQL, {BATCH} at a time: {:.0} jobs/s over 1 connection", plain(url, 1, length).await);
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn id() -> u128 {
    u128::from(IDS.fetch_add(1, Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
}

fn new_job() -> NewJob {
    let words = ["cargo", "test", "--workspace", "--all-features"];
    let env = [("PATH", "/usr/local/bin:/usr/bin:/bin"), ("HOME", "/home/dev"), ("LANG", "C.UTF-8")];
    NewJob {
        id: JobId::new(NOW.plus(Duration::from_millis(IDS.load(Ordering::Relaxed))), id()),
        principal: Principal::agent("coder"),
        conversation: None,
        name: None,
        spec: JobSpec::Command(CommandSpec {
            argv: words.map(Into::into).to_vec(),
            shell: false,
            cwd: "/home/dev/project".into(),
            env: env.map(|(name, value)| (name.into(), value.into())).into(),
            deadlines: Deadlines::default(),
            limits: CommandLimits::default(),
            output: OutputMode::Merged,
        }),
        queue: QueueName::default(),
        requires: Labels::default(),
        priority: 0,
        retry: RetryPolicy::default(),
        not_before: None,
        after: vec![],
        key: None,
        retry_of: None,
    }
}

async fn lives(store: &Arc<PostgresStore>, callers: usize, length: Duration) -> (f64, Vec<Duration>) {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut steps = vec![];
                while begin.elapsed() < length {
                    one_life(&store, &mut steps).await;
                }
                steps
            })
        })
        .collect();
    let mut steps = vec![];
    for task in tasks {
        steps.extend(task.await.unwrap());
    }
    let rate = steps.len() as f64 / 3.0 / begin.elapsed().as_secs_f64();
    steps.sort_unstable();
    (rate, steps)
}

async fn one_life(store: &PostgresStore, steps: &mut Vec<Duration>) {
    let mut step = Instant::now();
    let mut lap = || {
        steps.push(step.elapsed());
        step = Instant::now();
    };
    store.submit(new_job(), None, NOW).await.unwrap();
    lap();
    let room = Claim {
        holder: NodeId::new(NOW, 1),
        labels: Labels::default(),
        boot: "2f1c3a5e-0b1d-4c2e-9f3a-6b7c8d9e0f1a".into(),
        lease: Duration::from_secs(30),
        nonces: vec![Nonce::new(id())],
    };
    let taken = store.claim(room, NOW).await.unwrap().remove(0).job.id;
    lap();
    let report = AttemptReport {
        exit_code: Some(0),
        started_at: NOW,
        finished_at: NOW.plus(Duration::from_secs(1)),
        ran: Duration::from_secs(1),
        ..AttemptReport::default()
    };
    store.record(taken, Event::Ended { token: AttemptNumber(1), report }, None, NOW).await.0.unwrap();
    lap();
}

const PLAIN_SCHEMA: &str = "DROP SCHEMA IF EXISTS bench_plain CASCADE; CREATE SCHEMA bench_plain; \
     SET search_path = bench_plain; \
     CREATE TABLE job (number bigserial PRIMARY KEY, id text NOT NULL UNIQUE, version bigint NOT NULL, \
     state text NOT NULL, attempt bigint NOT NULL, failures bigint NOT NULL, queue text NOT NULL, \
     priority smallint NOT NULL, principal text NOT NULL, conversation text, kind text NOT NULL, name text, \
     title text NOT NULL, spec text NOT NULL, submitted_at bigint NOT NULL, changed_at bigint NOT NULL, lease text); \
     CREATE INDEX job_ready ON job (queue, priority DESC, number) WHERE state = 'queued'; \
     CREATE INDEX job_live ON job (queue) WHERE state = 'live'; \
     CREATE TABLE event (seq bigserial PRIMARY KEY, job bigint NOT NULL, at bigint NOT NULL, kind text NOT NULL)";
const PLAIN_INSERT: &str = "WITH n AS (INSERT INTO job (id, version, state, attempt, failures, queue, priority, \
     principal, kind, title, spec, submitted_at, changed_at) SELECT id, 1, 'queued', 0, 0, 'default', 0::smallint, \
     'coder', 'command', 'cargo test', repeat('x', 210), 1, 1 FROM unnest($1::text[]) AS n(id) RETURNING number) \
     INSERT INTO event (job, at, kind) SELECT number, 1, 'submitted' FROM n";
const PLAIN_CLAIM: &str = "WITH c AS (SELECT number FROM job WHERE state = 'queued' AND queue = 'default' \
     ORDER BY priority DESC, number LIMIT $1 FOR UPDATE SKIP LOCKED), \
     u AS (UPDATE job SET state = 'live', version = version + 1, attempt = attempt + 1, lease = repeat('l', 150), \
     changed_at = 2 FROM c WHERE job.number = c.number RETURNING job.number), \
     e AS (INSERT INTO event (job, at, kind) SELECT number, 2, 'claimed' FROM u) SELECT number FROM u";
const PLAIN_FINISH: &str = "WITH u AS (UPDATE job SET state = 'finished', version = version + 1, lease = NULL, \
     changed_at = 3 FROM unnest($1::bigint[]) AS n(number) WHERE job.number = n.number AND state = 'live' \
     RETURNING job.number) INSERT INTO event (job, at, kind) SELECT number, 3, 'ended' FROM u";

async fn plain(url: &str, connections: usize, length: Duration) -> f64 {
    connect(url).await.batch_execute(PLAIN_SCHEMA).await.unwrap();
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let url = url.to_owned();
            tokio::spawn(async move {
                let client = connect(&url).await;
                client.batch_execute("SET search_path = bench_plain; SET enable_seqscan = off").await.unwrap();
                let insert = client.prepare(PLAIN_INSERT).await.unwrap();
                let claim = client.prepare(PLAIN_CLAIM).await.unwrap();
                let finish = client.prepare(PLAIN_FINISH).await.unwrap();
                let mut jobs = 0;
                while begin.elapsed() < length {
                    let ids: Vec<_> = (0..BATCH).map(|_| format!("j_{:036x}", id())).collect();
                    client.execute(&insert, &[&ids]).await.unwrap();
                    let taken = client.query(&claim, &[&BATCH]).await.unwrap();
                    let taken: Vec<i64> = taken.iter().map(|row| row.get(0)).collect();
                    client.execute(&finish, &[&taken]).await.unwrap();
                    jobs += taken.len();
                }
                jobs
            })
        })
        .collect();
    let mut jobs = 0;
    for task in tasks {
        jobs += task.await.unwrap();
    }
    jobs as f64 / begin.elapsed().as_secs_f64()
}
