//! Whole no-op jobs through the storage port, each step acknowledged and fenced, against a plain loop in SQL.

use std::time::Duration;

use anyhow::Result;
use longshore_domain::store::Store;

use crate::database::Databases;
use crate::statistics::median;
use crate::{ours, plain, say, verdict};

/// Share of what SQL by hand does a hundred at a time.
const SHARE_MIN: f64 = 0.4;
const CALLERS: [usize; 2] = [32, 256];
const CONNECTIONS: [usize; 2] = [1, 4];
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(3);

pub(crate) async fn measure(databases: &Databases) -> Result<bool> {
    let (mut by_hand, mut by_port) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..TURNS {
        for (at, connections) in CONNECTIONS.into_iter().enumerate() {
            let url = databases.make();
            by_hand[at].push(plain::lives(&url, connections, TURN).await?);
            databases.remove(&url);
        }
        for (at, callers) in CALLERS.into_iter().enumerate() {
            let url = databases.make();
            let store = ours::open(&url).await?;
            by_port[at].push(ours::lives(&store, callers, TURN).await?);
            store.close().await;
            databases.remove(&url);
        }
    }
    let [one, four] = by_hand.map(|mut rates| median(&mut rates));
    let [few, many] = by_port.map(|mut rates| median(&mut rates));
    let best = one.max(four);
    say(&format!(
        "jobs: SQL by hand, {} at a time: {one:.0} whole jobs/s over 1 connection, {four:.0} over 4",
        plain::BATCH
    ));
    say(&format!("jobs: the port, {} callers: {few:.0} whole jobs/s ({:.2} of it)", CALLERS[0], few / best));
    let share = many / best;
    let met = share >= SHARE_MIN;
    say(&format!(
        "jobs: the port, {} callers: {many:.0} whole jobs/s ({share:.2} of it); goal: {SHARE_MIN}: {}",
        CALLERS[1],
        verdict(met)
    ));
    Ok(met)
}
