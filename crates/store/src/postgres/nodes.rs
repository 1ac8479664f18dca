//! The nodes that share a store, and the secrets that they share.

use std::time::Duration;

use longshore_domain::id::NodeId;
use longshore_domain::node::{NODE_FORGOTTEN_AFTER, NewNode, NodeRecord};
use longshore_domain::store::StoreError;
use longshore_domain::time::Timestamp;
use tokio_postgres::Row;

use super::batch::LOCK_CLAIMS;
use super::clock::{PRESENT, present_or};
use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::landing::{NOTIFY, land};
use super::node::Node;
use super::rows;
use super::session::{Session, Step};
use super::turn::Turn;

/// The columns that [`record`] reads, in its order.
const COLUMNS: &str = "id, name, address, labels, capacity, version, boot, incarnation, started_at, seen_at, \
     draining, alive_until";

/// One process joins at a time, so that of two under one name one is first.
const LOCK_NODES: &str = "SELECT pg_advisory_xact_lock(hashtext('longshore nodes'), hashtext(current_schema()))";
const FORGET: &str = "DELETE FROM node WHERE seen_at < $1";
const JOIN: &str = "INSERT INTO node (id, name, address, labels, capacity, version, boot, incarnation, started_at, \
     seen_at, alive_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10) ON CONFLICT (id) DO UPDATE SET \
     name = excluded.name, address = excluded.address, labels = excluded.labels, capacity = excluded.capacity, \
     version = excluded.version, boot = excluded.boot, incarnation = excluded.incarnation, \
     started_at = excluded.started_at, seen_at = excluded.seen_at, alive_until = excluded.alive_until";
const BEAT: &str = "UPDATE node SET seen_at = $2, alive_until = $3 WHERE id = $1";
const LEAVE: &str = "DELETE FROM node WHERE id = $1 AND incarnation = $2";
const SET_DRAINING: &str = "UPDATE node SET draining = $2 WHERE id = $1 RETURNING id";
const KEEP_SECRET: &str = "INSERT INTO secret (name, bytes) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
const READ_SECRET: &str = "SELECT bytes FROM secret WHERE name = $1";

/// Enters a node unless another incarnation of it is alive.
pub(super) async fn join(
    node: &Node,
    turn: &Turn<'_>,
    new: &NewNode,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Result<NodeRecord, StoreError>> {
    turn.session.query(LOCK_NODES, &[]).await?;
    let Found { record: before, now } = lock(node, turn, new.id, now).await?;
    if let Some(other) = before.filter(|other| other.alive && other.node.incarnation != new.incarnation) {
        land(node, turn, &Desk::default()).await?;
        return Ok(Err(taken(other)));
    }
    let (id, labels, capacity) = (new.id.to_string(), new.labels.to_string(), i64::from(new.capacity));
    let (forgotten, until) = (now.minus(NODE_FORGOTTEN_AFTER).as_millis(), now.plus(lease).as_millis());
    let at = now.as_millis();
    let join = Step::new(
        JOIN,
        vec![&id, &new.name, &new.address, &labels, &capacity, &new.version, &new.boot, &new.incarnation, &at, &until],
    );
    let told = Step::new(NOTIFY, vec![&node.channel, &node.tag]);
    turn.session.run(&[Step::new(FORGET, vec![&forgotten]), join, told]).await?;
    on_record(node, turn, new.id, now).await
}

/// Notes that a node is there.
pub(super) async fn beat(
    node: &Node,
    turn: &Turn<'_>,
    id: NodeId,
    incarnation: &str,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Result<NodeRecord, StoreError>> {
    let Found { record: before, now } = lock(node, turn, id, now).await?;
    if let Some(other) = before.filter(|other| other.node.incarnation != incarnation) {
        land(node, turn, &Desk::default()).await?;
        return Ok(Err(taken(other)));
    }
    let values = (id.to_string(), now.as_millis(), now.plus(lease).as_millis());
    turn.session.query(BEAT, &[&values.0, &values.1, &values.2]).await?;
    on_record(node, turn, id, now).await
}

/// Strikes a node off.
pub(super) async fn leave(node: &Node, turn: &Turn<'_>, id: NodeId, incarnation: &str) -> Attempted<()> {
    let id = id.to_string();
    let steps = [Step::new(LEAVE, vec![&id, &incarnation]), Step::new(NOTIFY, vec![&node.channel, &node.tag])];
    turn.session.run(&steps).await?;
    land(node, turn, &Desk::default()).await.map(drop)
}

/// Has a node take no more jobs, or take them again. Whoever claims next goes by it.
pub(super) async fn set_draining(
    node: &Node,
    turn: &Turn<'_>,
    id: NodeId,
    draining: bool,
) -> Attempted<Result<(), StoreError>> {
    let name = id.to_string();
    let steps = [
        Step::new(LOCK_CLAIMS, vec![]),
        Step::new(SET_DRAINING, vec![&name, &draining]),
        Step::new(NOTIFY, vec![&node.channel, &node.tag]),
    ];
    let answers = turn.session.run(&steps).await?;
    land(node, turn, &Desk::default()).await?;
    Ok(if answers[1].is_empty() { Err(StoreError::NodeNotFound(id)) } else { Ok(()) })
}

/// The secret of that name; `fresh` from now on if there was none.
pub(super) async fn secret(node: &Node, turn: &Turn<'_>, name: &str, fresh: &[u8; 32]) -> Attempted<[u8; 32]> {
    // Whoever keeps another one at the same time is waited for, and read.
    let fresh = fresh.as_slice();
    let steps = [Step::new(KEEP_SECRET, vec![&name, &fresh]), Step::new(READ_SECRET, vec![&name])];
    let answers = turn.session.run(&steps).await?;
    let row = answers[1].first().ok_or_else(|| Trouble::Other("the secret is not there".into()))?;
    let kept = rows::get::<&[u8]>(row, 0)?;
    let secret = kept.try_into().map_err(|_| Trouble::Other("the secret has another length".into()))?;
    land(node, turn, &Desk::default()).await?;
    Ok(secret)
}

/// Every node, by name.
pub(super) async fn all(session: &Session, said: Option<i64>) -> Attempted<Vec<NodeRecord>> {
    let sql = format!("SELECT {COLUMNS}, {} FROM node ORDER BY name, id", present_or("$1"));
    let rows = session.query(&sql, &[&said]).await?;
    rows.iter().map(|row| record(row, rows::time(row, PRESENT_COLUMN)?)).collect()
}

/// What was found of a node, and when.
struct Found {
    record: Option<NodeRecord>,
    now: Timestamp,
}

async fn lock(node: &Node, turn: &Turn<'_>, id: NodeId, said: Timestamp) -> Attempted<Found> {
    let (lock, present) = (format!("SELECT {COLUMNS} FROM node WHERE id = $1 FOR UPDATE"), format!("SELECT {PRESENT}"));
    let id = id.to_string();
    let answers = turn.session.run(&[Step::new(&lock, vec![&id]), Step::new(&present, vec![])]).await?;
    let now = node.clock.tell(said, rows::present(&answers[1], 0)?);
    Ok(Found { record: answers[0].first().map(|row| record(row, now)).transpose()?, now })
}

/// Commits, and answers with what there is then.
async fn on_record(
    node: &Node,
    turn: &Turn<'_>,
    id: NodeId,
    now: Timestamp,
) -> Attempted<Result<NodeRecord, StoreError>> {
    let rows = turn.session.query(&format!("SELECT {COLUMNS} FROM node WHERE id = $1"), &[&id.to_string()]).await?;
    let found = rows.first().map(|row| record(row, now)).transpose()?;
    land(node, turn, &Desk::default()).await?;
    Ok(found.ok_or(StoreError::NodeNotFound(id)))
}

/// Where [`all`] has the present, behind [`COLUMNS`].
const PRESENT_COLUMN: usize = 12;

fn record(row: &Row, now: Timestamp) -> Attempted<NodeRecord> {
    Ok(NodeRecord {
        node: NewNode {
            id: rows::parse(row, 0)?,
            name: rows::get(row, 1)?,
            address: rows::get(row, 2)?,
            labels: rows::parse(row, 3)?,
            capacity: rows::unsigned(row, 4)?,
            version: rows::get(row, 5)?,
            boot: rows::get(row, 6)?,
            incarnation: rows::get(row, 7)?,
        },
        started_at: rows::time(row, 8)?,
        seen_at: rows::time(row, 9)?,
        draining: rows::get(row, 10)?,
        alive: now < rows::time(row, 11)?,
    })
}

fn taken(other: NodeRecord) -> StoreError {
    StoreError::NodeTaken { node: other.node.id, name: other.node.name, seen_at: other.seen_at }
}
