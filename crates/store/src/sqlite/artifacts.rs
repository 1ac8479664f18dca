//! Which job has which artifacts, and which objects are being collected.

use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::{JobId, JobNumber};
use longshore_domain::store::{Ages, ArtifactRecords, Keep, StoreError};
use longshore_domain::time::Timestamp;
use rusqlite::{Connection, Row, params};

use super::SqliteStore;
use super::desk::Desk;
use super::errors::Attempted;
use super::rows::unreadable;
use crate::columns::{COLLECTIONS_KEPT, OUTPUT_ARTIFACTS};

const OF_JOB: &str = "SELECT name, digest, bytes, made_at FROM artifact \
     WHERE job = (SELECT number FROM job WHERE id = ?1) ORDER BY name";
const NEWEST: &str = "SELECT ifnull(max(number), 0) FROM collection";
pub(crate) const HAS_SQL: &str = "SELECT 1 FROM artifact WHERE digest = ?1";
/// Whether output goes sooner than the rest of its job is told apart by the name of the artifact.
pub(crate) const NEEDED_SQL: &str = "SELECT 1 FROM artifact AS a CROSS JOIN job AS j ON j.number = a.job \
     WHERE a.digest = ?1 AND (j.pinned = 1 OR j.finished_at IS NULL \
     OR j.finished_at >= CASE WHEN a.name >= ?4 AND a.name < ?5 THEN max(?2, ?3) ELSE ?3 END)";
const COLLECTED_SINCE: &str = "SELECT 1 FROM collection WHERE digest = ?1 AND (ended_at IS NULL OR number > ?2)";
const ADD: &str = "INSERT INTO artifact (job, name, digest, bytes, made_at) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (job, name) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, made_at = excluded.made_at";
const REMOVE: &str = "DELETE FROM artifact WHERE job = ?1 AND name = ?2";
/// The newest stays, so that numbers never come again.
const FORGET_ENDED: &str =
    "DELETE FROM collection WHERE ended_at < ?1 AND number < (SELECT max(number) FROM collection)";
/// One that is under way is somebody else's.
const BEGIN: &str = "INSERT INTO collection (digest, number, begun_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (digest) DO UPDATE SET number = excluded.number, begun_at = excluded.begun_at, ended_at = NULL \
     WHERE ended_at IS NOT NULL";
const END: &str = "UPDATE collection SET ended_at = ?2, number = ?3 WHERE digest = ?1";
const TAKE_OVER: &str = "UPDATE collection SET begun_at = ?3 WHERE digest IN \
     (SELECT digest FROM collection WHERE ended_at IS NULL AND begun_at <= ?1 LIMIT ?2) RETURNING digest";

pub(super) fn digest(row: &Row<'_>, at: usize) -> rusqlite::Result<Digest> {
    let bytes = row.get_ref(at)?.as_blob()?;
    bytes.try_into().map(Digest::new).map_err(|error| unreadable(at, error))
}

fn artifact(row: &Row<'_>) -> rusqlite::Result<Artifact> {
    Ok(Artifact {
        name: row.get(0)?,
        digest: digest(row, 1)?,
        bytes: row.get::<_, i64>(2)? as u64,
        made_at: Timestamp::from_millis(row.get(3)?),
    })
}

pub(super) fn of_job(connection: &Connection, job: JobId) -> rusqlite::Result<Vec<Artifact>> {
    connection.prepare_cached(OF_JOB)?.query_map([job.to_string()], artifact)?.collect()
}

fn newest_collection(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached(NEWEST)?.query_row([], |row| Ok(row.get::<_, i64>(0)? as u64))
}

fn keep(desk: &mut Desk<'_>, id: JobId, keep: &Keep) -> Attempted<Result<Vec<Digest>, StoreError>> {
    let Some(job) = desk.take_by_id(id)? else { return Ok(Err(StoreError::JobNotFound(id))) };
    let number = job.number;
    desk.put_back(job);
    let mut again = vec![];
    let mut collected = desk.connection.prepare_cached(COLLECTED_SINCE)?;
    for artifact in &keep.add {
        if collected.exists(params![artifact.digest.as_bytes(), keep.since as i64])? {
            again.push(artifact.digest);
        }
    }
    if again.is_empty() {
        for name in &keep.remove {
            desk.connection.prepare_cached(REMOVE)?.execute(params![number.0 as i64, name])?;
        }
        for artifact in &keep.add {
            add(desk.connection, number, artifact)?;
        }
    }
    Ok(Ok(again))
}

fn add(connection: &Connection, job: JobNumber, artifact: &Artifact) -> rusqlite::Result<()> {
    let Artifact { name, digest, bytes, made_at } = artifact;
    let values = params![job.0 as i64, name, digest.as_bytes(), *bytes as i64, made_at.as_millis()];
    connection.prepare_cached(ADD)?.execute(values).map(drop)
}

/// Takes away from a job what its output was kept in.
pub(super) fn forget_output(desk: &Desk<'_>, job: JobNumber) -> Attempted<()> {
    let sql = "DELETE FROM artifact WHERE job = ?1 AND name >= ?2 AND name < ?3";
    let [first, end] = OUTPUT_ARTIFACTS;
    desk.connection.prepare_cached(sql)?.execute(params![job.0 as i64, first, end])?;
    Ok(())
}

fn unneeded(connection: &Connection, objects: &[Digest], ages: Ages, now: Timestamp) -> rusqlite::Result<Vec<Digest>> {
    let [output, record] = [ages.output, ages.record].map(|age| now.minus(age).as_millis());
    let [first, end] = OUTPUT_ARTIFACTS;
    let mut needed = connection.prepare_cached(NEEDED_SQL)?;
    let mut found = vec![];
    for object in objects {
        if !needed.exists(params![object.as_bytes(), output, record, first, end])? {
            found.push(*object);
        }
    }
    Ok(found)
}

fn collect(desk: &mut Desk<'_>, objects: &[Digest], now: Timestamp) -> Attempted<Vec<Digest>> {
    let connection = desk.connection;
    connection.prepare_cached(FORGET_ENDED)?.execute([now.minus(COLLECTIONS_KEPT).as_millis()])?;
    let number = newest_collection(connection)? + 1;
    let mut begun = vec![];
    for object in objects {
        let is_had = connection.prepare_cached(HAS_SQL)?.exists([object.as_bytes()])?;
        let values = params![object.as_bytes(), number as i64, now.as_millis()];
        if !is_had && connection.prepare_cached(BEGIN)?.execute(values)? == 1 {
            begun.push(*object);
        }
    }
    Ok(begun)
}

fn collected(desk: &mut Desk<'_>, objects: &[Digest], now: Timestamp) -> Attempted<()> {
    let number = newest_collection(desk.connection)? + 1;
    for object in objects {
        let values = params![object.as_bytes(), now.as_millis(), number as i64];
        desk.connection.prepare_cached(END)?.execute(values)?;
    }
    Ok(())
}

fn take_over(desk: &mut Desk<'_>, before: Timestamp, limit: usize, now: Timestamp) -> Attempted<Vec<Digest>> {
    let mut statement = desk.connection.prepare_cached(TAKE_OVER)?;
    let values = params![before.as_millis(), limit as i64, now.as_millis()];
    let taken = statement.query_map(values, |row| digest(row, 0))?.collect::<rusqlite::Result<_>>();
    Ok(taken?)
}

#[async_trait]
impl ArtifactRecords for SqliteStore {
    async fn artifacts(&self, job: JobId) -> Result<Vec<Artifact>, StoreError> {
        self.doors()?.readers.call("list artifacts", move |connection| of_job(connection, job)).await
    }

    async fn newest_collection(&self) -> Result<u64, StoreError> {
        self.doors()?.readers.row("read the newest collection", newest_collection).await
    }

    async fn keep(&self, job: JobId, what: Keep) -> Result<Vec<Digest>, StoreError> {
        self.doors()?.writer.call("keep artifacts", move |desk| keep(desk, job, &what)).await?
    }

    async fn unneeded(&self, objects: Vec<Digest>, ages: Ages, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let query = move |connection: &mut Connection| unneeded(connection, &objects, ages, now);
        self.doors()?.readers.call("look for unneeded objects", query).await
    }

    async fn collect(&self, objects: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
        self.doors()?.writer.call("collect objects", move |desk| collect(desk, &objects, now)).await
    }

    async fn collected(&self, objects: Vec<Digest>, now: Timestamp) -> Result<(), StoreError> {
        self.doors()?.writer.call("note collected objects", move |desk| collected(desk, &objects, now)).await
    }

    async fn take_over_collections(
        &self,
        age: Duration,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Digest>, StoreError> {
        let work = move |desk: &mut Desk<'_>| take_over(desk, now.minus(age), limit, now);
        self.doors()?.writer.call("take over collections", work).await
    }
}
