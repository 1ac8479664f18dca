//! Whole no-op jobs through the storage port, each step acknowledged and fenced, against a plain loop in SQL that writes
//! as many rows of the same content.

use std::time::Duration;

use anyhow::Result;
use longshore_domain::store::Store;

use crate::database::Databases;
use crate::ours::Way;
use crate::statistics::median;
use crate::{ours, plain, say, verdict};

/// Share of what SQL by hand does a hundred at a time.
const SHARE_MIN: f64 = 0.4;
const CONNECTIONS: [usize; 2] = [1, 4];
/// The last has the goal.
const PORT: [(Way, usize, &str); 3] = [
    (Way::Riding, 32, "32 callers, claims ride along"),
    (Way::Apart, 256, "256 callers, three calls for each job"),
    (Way::Riding, 256, "256 callers, claims ride along"),
];
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(3);

pub(crate) async fn measure(databases: &Databases) -> Result<bool> {
    let (mut by_hand, mut by_port) = ([vec![], vec![]], [vec![], vec![], vec![]]);
    for _ in 0..TURNS {
        for (connections, rates) in CONNECTIONS.into_iter().zip(&mut by_hand) {
            let url = databases.make();
            rates.push(plain::lives(&url, connections, TURN).await?);
            databases.remove(&url);
        }
        for ((way, callers, _), rates) in PORT.into_iter().zip(&mut by_port) {
            let url = databases.make();
            let store = ours::open(&url).await?;
            rates.push(ours::lives(&store, way, callers, TURN).await?);
            store.close().await;
            databases.remove(&url);
        }
    }
    let [one, four] = by_hand.map(|mut rates| median(&mut rates));
    let best = one.max(four);
    say(&format!(
        "jobs: SQL by hand, {} at a time: {one:.0} whole jobs/s over 1 connection, {four:.0} over 4",
        plain::BATCH
    ));
    let mut share = 0.0;
    for ((_, _, words), mut rates) in PORT.into_iter().zip(by_port) {
        let rate = median(&mut rates);
        share = rate / best;
        say(&format!("jobs: the port, {words}: {rate:.0} whole jobs/s ({share:.2} of it)"));
    }
    let met = share >= SHARE_MIN;
    say(&format!("jobs: the last is {share:.2} of SQL by hand; goal: {SHARE_MIN}: {}", verdict(met)));
    Ok(met)
}
