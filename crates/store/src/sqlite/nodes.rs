//! The nodes that share a store, and the secrets that they share.

use std::collections::HashSet;
use std::time::Duration;

use longshore_domain::id::NodeId;
use longshore_domain::node::{NODE_FORGOTTEN_AFTER, NewNode, NodeRecord};
use longshore_domain::store::StoreError;
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::desk::Desk;
use super::errors::Attempted;
use super::rows;

/// The columns that [`record`] reads, in its order.
const COLUMNS: &str = "id, name, address, labels, capacity, version, boot, incarnation, started_at, seen_at, \
     draining, alive_until";

/// Enters a node unless another incarnation of it is alive.
pub(super) fn join(
    desk: &mut Desk<'_>,
    new: &NewNode,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Result<NodeRecord, StoreError>> {
    let forgotten = now.minus(NODE_FORGOTTEN_AFTER).as_millis();
    desk.connection.prepare_cached("DELETE FROM node WHERE seen_at < ?1")?.execute([forgotten])?;
    desk.draining = draining(desk.connection)?;
    let before = read(desk.connection, new.id, now)?;
    if let Some(other) = before.filter(|other| other.alive && other.node.incarnation != new.incarnation) {
        return Ok(Err(taken(other)));
    }
    let sql = "INSERT INTO node (id, name, address, labels, capacity, version, boot, incarnation, started_at, seen_at, \
               alive_until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10) ON CONFLICT (id) DO UPDATE SET \
               name = excluded.name, address = excluded.address, labels = excluded.labels, \
               capacity = excluded.capacity, version = excluded.version, boot = excluded.boot, \
               incarnation = excluded.incarnation, started_at = excluded.started_at, seen_at = excluded.seen_at, \
               alive_until = excluded.alive_until";
    desk.connection.prepare_cached(sql)?.execute(params![
        new.id.to_string(),
        new.name,
        new.address,
        new.labels.to_string(),
        new.capacity,
        new.version,
        new.boot,
        new.incarnation,
        now.as_millis(),
        now.plus(lease).as_millis(),
    ])?;
    Ok(read(desk.connection, new.id, now)?.ok_or(StoreError::NodeNotFound(new.id)))
}

/// Notes that a node is there.
pub(super) fn beat(
    desk: &mut Desk<'_>,
    id: NodeId,
    incarnation: &str,
    lease: Duration,
    now: Timestamp,
) -> Attempted<Result<NodeRecord, StoreError>> {
    match read(desk.connection, id, now)? {
        None => return Ok(Err(StoreError::NodeNotFound(id))),
        Some(other) if other.node.incarnation != incarnation => return Ok(Err(taken(other))),
        Some(_) => {}
    }
    let sql = "UPDATE node SET seen_at = ?2, alive_until = ?3 WHERE id = ?1";
    let values = params![id.to_string(), now.as_millis(), now.plus(lease).as_millis()];
    desk.connection.prepare_cached(sql)?.execute(values)?;
    Ok(read(desk.connection, id, now)?.ok_or(StoreError::NodeNotFound(id)))
}

/// Strikes a node off.
pub(super) fn leave(desk: &mut Desk<'_>, id: NodeId, incarnation: &str) -> Attempted<()> {
    let sql = "DELETE FROM node WHERE id = ?1 AND incarnation = ?2";
    desk.connection.prepare_cached(sql)?.execute(params![id.to_string(), incarnation])?;
    desk.draining = draining(desk.connection)?;
    Ok(())
}

/// Has a node take no more jobs, or take them again.
pub(super) fn set_draining(desk: &mut Desk<'_>, id: NodeId, drains: bool) -> Attempted<Result<(), StoreError>> {
    let sql = "UPDATE node SET draining = ?2 WHERE id = ?1";
    let changed = desk.connection.prepare_cached(sql)?.execute(params![id.to_string(), drains])?;
    desk.draining = draining(desk.connection)?;
    Ok(if changed == 0 { Err(StoreError::NodeNotFound(id)) } else { Ok(()) })
}

/// The nodes that take no jobs.
pub(super) fn draining(connection: &Connection) -> Attempted<HashSet<NodeId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM node WHERE draining")?;
    let found = statement.query_map([], |row| rows::parse(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The secret of that name; `fresh` from now on if there was none.
pub(super) fn secret(desk: &mut Desk<'_>, name: &str, fresh: &[u8; 32]) -> Attempted<[u8; 32]> {
    let keep = "INSERT INTO secret (name, bytes) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING";
    desk.connection.prepare_cached(keep)?.execute(params![name, fresh])?;
    let read = "SELECT bytes FROM secret WHERE name = ?1";
    Ok(desk.connection.prepare_cached(read)?.query_row([name], |row| row.get(0))?)
}

/// Every node, by name.
pub(super) fn all(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<NodeRecord>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM node ORDER BY name, id"))?;
    statement.query_map([], |row| record(row, now))?.collect()
}

fn read(connection: &Connection, id: NodeId, now: Timestamp) -> rusqlite::Result<Option<NodeRecord>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM node WHERE id = ?1"))?;
    statement.query_row([id.to_string()], |row| record(row, now)).optional()
}

fn record(row: &Row<'_>, now: Timestamp) -> rusqlite::Result<NodeRecord> {
    Ok(NodeRecord {
        node: NewNode {
            id: rows::parse(row, 0)?,
            name: row.get(1)?,
            address: row.get(2)?,
            labels: rows::parse(row, 3)?,
            capacity: row.get(4)?,
            version: row.get(5)?,
            boot: row.get(6)?,
            incarnation: row.get(7)?,
        },
        started_at: Timestamp::from_millis(row.get(8)?),
        seen_at: Timestamp::from_millis(row.get(9)?),
        draining: row.get(10)?,
        alive: now.as_millis() < row.get(11)?,
    })
}

fn taken(other: NodeRecord) -> StoreError {
    StoreError::NodeTaken { node: other.node.id, name: other.node.name, seen_at: other.seen_at }
}
