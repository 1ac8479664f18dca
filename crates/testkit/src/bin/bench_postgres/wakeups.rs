//! Enqueueing that wakes other nodes against enqueueing that wakes nobody, over 32 connections and by 32 callers of one
//! node. It is the server that is made deaf, in a database of its own: a node that wakes nobody does not exist.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use longshore_domain::store::Store;
use longshore_store::PostgresStore;

use crate::database::{Databases, connect};
use crate::statistics::median;
use crate::{ours, say, verdict};

const SHARE_MIN: f64 = 0.9;
const CALLERS: usize = 32;
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(1);

const DEAF: &str = "CREATE OR REPLACE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE sql AS ''";
const PLAIN: &str = "CREATE TABLE plain (number bigserial PRIMARY KEY, id text NOT NULL, spec text NOT NULL)";

pub(crate) async fn measure(databases: &Databases) -> Result<bool> {
    let (waking, deaf) = (databases.make(), databases.make());
    connect(&deaf).await?.batch_execute(DEAF).await?;
    let mut met = true;
    for (nodes, words) in [(1, "32 callers of one node"), (CALLERS, "32 nodes with a connection and a caller each")] {
        let waking = open(&waking, nodes).await?;
        let deaf = open(&deaf, nodes).await?;
        let (with, without) = in_turns(|| submits(&waking), || submits(&deaf)).await?;
        let share = with / without;
        met &= share >= SHARE_MIN;
        say(&format!(
            "wakeups: {words}: {with:.0} submits/s with, {without:.0} without ({share:.2}); goal: {SHARE_MIN}: {}",
            verdict(share >= SHARE_MIN)
        ));
        for store in waking.iter().chain(&deaf) {
            store.close().await;
        }
    }
    connect(&waking).await?.batch_execute(PLAIN).await?;
    let insert = "INSERT INTO plain (id, spec) VALUES ($1, $2)";
    let notify = "WITH n AS (INSERT INTO plain (id, spec) VALUES ($1, $2)) SELECT pg_notify('plain', '')";
    let (with, without) = in_turns(|| inserts(&waking, notify), || inserts(&waking, insert)).await?;
    say(&format!(
        "wakeups: SQL by hand, a row at a time over 32 connections: {with:.0} inserts/s that notify, {without:.0} that do \
         not ({:.2})",
        with / without
    ));
    databases.remove(&waking);
    databases.remove(&deaf);
    Ok(met)
}

async fn in_turns<A, B>(mut with: impl FnMut() -> A, mut without: impl FnMut() -> B) -> Result<(f64, f64)>
where
    A: Future<Output = Result<f64>>,
    B: Future<Output = Result<f64>>,
{
    let (mut of_with, mut of_without) = (vec![], vec![]);
    for _ in 0..TURNS {
        of_with.push(with().await?);
        of_without.push(without().await?);
    }
    Ok((median(&mut of_with), median(&mut of_without)))
}

async fn open(url: &str, nodes: usize) -> Result<Vec<Arc<PostgresStore>>> {
    // The first makes the schema.
    let first = ours::open(url).await?;
    let others = try_join_all((1..nodes).map(|_| ours::open(url))).await?;
    Ok([vec![first], others].concat())
}

async fn submits(nodes: &[Arc<PostgresStore>]) -> Result<f64> {
    let begin = Instant::now();
    let submit = |store: Arc<PostgresStore>| async move {
        let mut count = 0;
        while begin.elapsed() < TURN {
            ours::submit(&store).await?;
            count += 1;
        }
        anyhow::Ok(count)
    };
    let nodes = nodes.iter().cycle().take(CALLERS);
    rate(nodes.map(|store| tokio::spawn(submit(Arc::clone(store)))).collect(), begin).await
}

async fn inserts(url: &str, sql: &'static str) -> Result<f64> {
    let clients = try_join_all((0..CALLERS).map(|_| connect(url))).await?;
    let spec = serde_json::to_string(&ours::spec())?;
    let begin = Instant::now();
    let insert = |client: tokio_postgres::Client, spec: String| async move {
        let statement = client.prepare(sql).await?;
        let mut count = 0;
        while begin.elapsed() < TURN {
            client.query(&statement, &[&format!("{:036x}", ours::unique()), &spec]).await?;
            count += 1;
        }
        anyhow::Ok(count)
    };
    rate(clients.into_iter().map(|client| tokio::spawn(insert(client, spec.clone()))).collect(), begin).await
}

async fn rate(tasks: Vec<tokio::task::JoinHandle<Result<usize>>>, begin: Instant) -> Result<f64> {
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
