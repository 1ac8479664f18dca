//! Whole no-op jobs per second with awa, as its documentation has it: one runtime that enqueues and works.
//!
//! `awa-peer URL single|batch JOBS CALLERS WORKERS PAYLOAD`; prints the figure.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use awa::{Client, InsertOpts, JobArgs, JobResult, QueueConfig, QueueStorage, insert_with, migrations};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Notify;

const QUEUE: &str = "bench";
const WARM_UP: i64 = 100;
const BATCH: i64 = 500;
/// Of those who enqueue, and as many of those who work.
const CONNECTIONS: u32 = 32;
/// More callers than connections are no fault.
const TURN_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Serialize, Deserialize, JobArgs)]
struct Nothing {
    payload: String,
}

#[derive(Default)]
struct Ran {
    count: AtomicI64,
    more: Notify,
}

impl Ran {
    async fn until(&self, count: i64) {
        while self.count.load(Ordering::SeqCst) < count {
            self.more.notified().await;
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, mode, jobs, callers, workers, payload] = &args[..] else { bail!("six arguments") };
    let (jobs, callers): (i64, i64) = (jobs.parse()?, callers.parse()?);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(TURN_MAX);
    let (pool, workers_pool) = (pool.clone().connect(url).await?, pool.connect(url).await?);
    migrations::run(&pool).await?;
    let ran = Arc::new(Ran::default());
    let client = start(&workers_pool, &ran, workers.parse()?).await?;
    let schema = QueueStorage::active_schema(&pool).await?.context("its queue storage is not active")?;
    let store = Arc::new(QueueStorage::from_existing_schema(schema)?);
    let job = Nothing { payload: payload.clone() };
    produce(&pool, &store, "single", &job, WARM_UP, 10).await?;
    ran.until(WARM_UP).await;
    let begin = Instant::now();
    produce(&pool, &store, mode, &job, jobs, callers).await?;
    ran.until(WARM_UP + jobs).await;
    // Ends are stored after the handlers.
    while store.queue_counts_fast(&pool, QUEUE).await?.terminal < WARM_UP + jobs {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{}", jobs as f64 / begin.elapsed().as_secs_f64());
    client.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

async fn start(pool: &PgPool, ran: &Arc<Ran>, workers: u32) -> Result<Client> {
    let ran = Arc::clone(ran);
    let client = Client::builder(pool.clone())
        .queue(QUEUE, QueueConfig { max_workers: workers, ..QueueConfig::default() })
        .register::<Nothing, _, _>(move |_: Nothing, _| {
            ran.count.fetch_add(1, Ordering::SeqCst);
            ran.more.notify_one();
            async { Ok(JobResult::Completed) }
        })
        .build()?;
    client.start().await?;
    Ok(client)
}

async fn produce(
    pool: &PgPool,
    store: &Arc<QueueStorage>,
    mode: &str,
    job: &Nothing,
    jobs: i64,
    callers: i64,
) -> Result<()> {
    let left = Arc::new(AtomicI64::new(jobs));
    let mut tasks = vec![];
    for _ in 0..callers {
        let (pool, store, left) = (pool.clone(), Arc::clone(store), Arc::clone(&left));
        let (job, single) = (job.clone(), mode == "single");
        tasks.push(tokio::spawn(async move {
            let size = if single { 1 } else { BATCH };
            loop {
                let take = left.fetch_sub(size, Ordering::SeqCst).min(size);
                if take <= 0 {
                    return anyhow::Ok(());
                }
                if single {
                    insert_with(&pool, &job, opts()).await?;
                    continue;
                }
                let params = (0..take).map(|_| awa::model::insert::params_with(&job, opts()));
                store.enqueue_params_copy(&pool, &params.collect::<Result<Vec<_>, _>>()?).await?;
            }
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

fn opts() -> InsertOpts {
    InsertOpts { queue: QUEUE.into(), ..InsertOpts::default() }
}
