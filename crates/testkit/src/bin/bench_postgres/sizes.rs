//! Tables and indexes while jobs come, are done and are removed by retention at the same pace.
//!
//! As many finished jobs as are kept stay on record, so that whatever grows is room that is not used again.

use std::sync::Arc;

use anyhow::Result;
use longshore_domain::Timestamp;
use longshore_domain::store::{OldJobs, Store};
use longshore_store::PostgresStore;
use tokio_postgres::Client;

use crate::claims::live;
use crate::database::{Databases, connect};
use crate::{say, verdict};

const GROWTH_MAX: f64 = 1.1;
/// Finished jobs that stay on record.
const KEPT: usize = 20_000;
/// Until the tables have the size of their busiest time.
const BEFORE: usize = 100_000;
const WINDOW: usize = 50_000;
const WINDOWS: usize = 4;
/// Jobs between two rounds of retention.
const ROUND: usize = 2_500;
/// As many as retention names at once.
const REMOVED_AT_ONCE: usize = 500;
/// Not looked at: a store of many nodes goes by its own clock.
const NOW: Timestamp = Timestamp::from_millis(0);

const SIZE: &str = "SELECT c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), n_dead_tup \
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
     JOIN pg_stat_all_tables AS t ON t.relid = c.oid WHERE n.nspname = 'longshore' AND c.relkind = 'r' \
     AND pg_total_relation_size(c.oid) > 1000000 ORDER BY pg_total_relation_size(c.oid) DESC";

pub(crate) async fn measure(databases: &Databases) -> Result<bool> {
    let url = databases.make();
    let store = crate::ours::open(&url).await?;
    let client = connect(&url).await?;
    live(&store, KEPT).await?;
    run(&store, BEFORE).await?;
    let first = look(&client, 0).await?;
    let mut most = first;
    for window in 1..=WINDOWS {
        run(&store, WINDOW).await?;
        most = most.max(look(&client, window * WINDOW).await?);
    }
    store.close().await;
    databases.remove(&url);
    let growth = most as f64 / first as f64;
    let met = growth <= GROWTH_MAX;
    say(&format!(
        "sizes: at most {growth:.2} times the first size over {} jobs; goal: {GROWTH_MAX}: {}",
        WINDOWS * WINDOW,
        verdict(met)
    ));
    Ok(met)
}

/// Has so many jobs done, and as many removed.
async fn run(store: &Arc<PostgresStore>, jobs: usize) -> Result<()> {
    for _ in 0..jobs / ROUND {
        let (lived, removed) = tokio::join!(live(store, ROUND), remove(store, ROUND));
        lived.and(removed)?;
    }
    Ok(())
}

/// Removes the oldest, as retention does.
async fn remove(store: &Arc<PostgresStore>, jobs: usize) -> Result<()> {
    for _ in 0..jobs / REMOVED_AT_ONCE {
        let old = store.old_jobs(OldJobs::default(), NOW, REMOVED_AT_ONCE).await?;
        store.remove(old.into_iter().map(|job| job.id).collect()).await?;
    }
    Ok(())
}

/// Says what everything takes; bytes of all of it.
async fn look(client: &Client, after: usize) -> Result<i64> {
    let rows = client.query(SIZE, &[]).await?;
    let (mut bytes, mut dead, mut words) = (0, 0, vec![]);
    for row in &rows {
        let (table, indexes): (i64, i64) = (row.get(1), row.get(2));
        bytes += table + indexes;
        dead += row.get::<_, i64>(3);
        words.push(format!("{} {:.1} + {:.1}", row.get::<_, &str>(0), mebi(table), mebi(indexes)));
    }
    say(&format!(
        "sizes: after {after} jobs: {:.1} MiB, {dead} dead rows ({}, table + indexes)",
        mebi(bytes),
        words.join(", ")
    ));
    Ok(bytes)
}

fn mebi(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
