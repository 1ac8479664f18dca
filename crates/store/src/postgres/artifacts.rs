//! Which job has which artifacts, and which objects are being collected.
//!
//! Whoever gives artifacts to jobs holds the lock of artifacts together with others like him, and whoever begins or
//! ends a collection holds it alone: neither overlooks what the other is about to commit.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::{JobId, JobNumber};
use longshore_domain::store::{Ages, ArtifactRecords, Keep, StoreError};
use longshore_domain::time::Timestamp;
use tokio_postgres::Row;

use super::PostgresStore;
use super::clock::present_or;
use super::desk::Desk;
use super::errors::{Attempted, Trouble};
use super::landing::land;
use super::node::Node;
use super::rows;
use super::session::{Session, Step};
use super::turn::Turn;
use crate::columns::{COLLECTIONS_KEPT, OUTPUT_ARTIFACTS};

const OF_JOB: &str = "SELECT a.name, a.digest, a.bytes, a.made_at FROM artifact AS a JOIN job AS j ON j.number = a.job \
     WHERE j.id = $1 ORDER BY a.name";
const NEWEST: &str = "SELECT coalesce(max(number), 0) FROM collection";
const LOCK_WITH_OTHERS: &str =
    "SELECT pg_advisory_xact_lock_shared(hashtext('longshore artifacts'), hashtext(current_schema()))";
const LOCK_ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('longshore artifacts'), hashtext(current_schema()))";
const COLLECTED_SINCE: &str =
    "SELECT digest FROM collection WHERE digest = ANY($1) AND (ended_at IS NULL OR number > $2)";
const REMOVE: &str = "DELETE FROM artifact WHERE job = $1 AND name = ANY($2)";
const ADD: &str = "INSERT INTO artifact (job, name, digest, bytes, made_at) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[]) \
     ON CONFLICT (job, name) DO UPDATE SET digest = excluded.digest, bytes = excluded.bytes, made_at = excluded.made_at";
/// Whether output goes sooner than the rest of its job is told apart by the name of the artifact.
fn unneeded_sql() -> String {
    let now = present_or("$2");
    format!(
        "SELECT n.digest FROM unnest($1::bytea[]) AS n(digest) WHERE NOT EXISTS (SELECT 1 FROM artifact AS a \
     JOIN standing AS s ON s.job = a.job WHERE a.digest = n.digest AND (s.pinned OR s.finished_at IS NULL \
     OR s.finished_at >= {now} - CASE WHEN a.name >= $5 AND a.name < $6 THEN least($3::bigint, $4::bigint) \
     ELSE $4::bigint END))"
    )
}

/// The newest stays, so that numbers never come again.
fn forget_ended_sql() -> String {
    let now = present_or("$1");
    format!(
        "DELETE FROM collection WHERE ended_at < {now} - $2::bigint AND number < (SELECT max(number) FROM collection)"
    )
}

/// One that is under way is somebody else's.
fn begin_sql() -> String {
    let now = present_or("$2");
    format!(
        "INSERT INTO collection AS c (digest, number, begun_at) \
     SELECT DISTINCT digest, (SELECT coalesce(max(number), 0) + 1 FROM collection), {now} \
     FROM unnest($1::bytea[]) AS n(digest) WHERE NOT EXISTS (SELECT 1 FROM artifact AS a WHERE a.digest = n.digest) \
     ON CONFLICT (digest) DO UPDATE SET number = excluded.number, begun_at = excluded.begun_at, ended_at = NULL \
     WHERE c.ended_at IS NOT NULL RETURNING digest"
    )
}

fn end_sql() -> String {
    let now = present_or("$2");
    format!(
        "UPDATE collection SET ended_at = {now}, number = (SELECT max(number) + 1 FROM collection) \
     WHERE digest = ANY($1)"
    )
}

fn take_over_sql() -> String {
    let now = present_or("$1");
    format!(
        "UPDATE collection SET begun_at = {now} WHERE digest IN (SELECT digest FROM collection \
     WHERE ended_at IS NULL AND begun_at <= {now} - $2::bigint LIMIT $3 FOR UPDATE) RETURNING digest"
    )
}

pub(super) fn digest(row: &Row, at: usize) -> Attempted<Digest> {
    let bytes = rows::get::<&[u8]>(row, at)?;
    bytes.try_into().map(Digest::new).map_err(|_| Trouble::Other("a digest has not 32 bytes".into()))
}

fn digests(rows: &[Row]) -> Attempted<Vec<Digest>> {
    rows.iter().map(|row| digest(row, 0)).collect()
}

fn bytes(objects: &[Digest]) -> Vec<&[u8]> {
    objects.iter().map(|object| object.as_bytes().as_slice()).collect()
}

/// Reads an artifact from `name`, `digest`, `bytes` and `made_at`, which begin at a column.
pub(super) fn artifact(row: &Row, first: usize) -> Attempted<Artifact> {
    Ok(Artifact {
        name: rows::get(row, first)?,
        digest: digest(row, first + 1)?,
        bytes: rows::get::<i64>(row, first + 2)? as u64,
        made_at: Timestamp::from_millis(rows::get(row, first + 3)?),
    })
}

/// Artifacts of jobs as columns.
#[derive(Default)]
pub(super) struct ArtifactColumns<'a> {
    job: Vec<i64>,
    name: Vec<&'a str>,
    digest: Vec<&'a [u8]>,
    bytes: Vec<i64>,
    made_at: Vec<i64>,
}

impl<'a> ArtifactColumns<'a> {
    pub(super) fn push(&mut self, job: JobNumber, artifact: &'a Artifact) {
        self.job.push(job.0 as i64);
        self.name.push(&artifact.name);
        self.digest.push(artifact.digest.as_bytes());
        self.bytes.push(artifact.bytes as i64);
        self.made_at.push(artifact.made_at.as_millis());
    }

    pub(super) fn add(&self) -> Step<'_> {
        Step::new(ADD, vec![&self.job, &self.name, &self.digest, &self.bytes, &self.made_at])
    }
}

async fn of_job(session: &Session, job: JobId) -> Attempted<Vec<Artifact>> {
    let rows = session.query(OF_JOB, &[&job.to_string()]).await?;
    rows.iter().map(|row| artifact(row, 0)).collect()
}

async fn newest_collection(session: &Session) -> Attempted<u64> {
    let rows = session.query(NEWEST, &[]).await?;
    Ok(rows.first().map_or(Ok(0), |row| rows::get::<i64>(row, 0))? as u64)
}

async fn keep(node: &Node, turn: &Turn<'_>, id: JobId, keep: &Keep) -> Attempted<Result<Vec<Digest>, StoreError>> {
    // Nobody removes the job before this is over.
    let job = turn.lock_jobs("j.id = $1", vec![&id.to_string()]).await?.jobs.pop();
    let again = match &job {
        Some(job) => Ok(change(turn.session, job.number, keep).await?),
        None => Err(StoreError::JobNotFound(id)),
    };
    land(node, turn, &Desk::default()).await?;
    Ok(again)
}

/// What is to be put again; changes which artifacts a job has if that is nothing.
async fn change(session: &Session, job: JobNumber, keep: &Keep) -> Attempted<Vec<Digest>> {
    let mut columns = ArtifactColumns::default();
    keep.add.iter().for_each(|artifact| columns.push(job, artifact));
    session.query(LOCK_WITH_OTHERS, &[]).await?;
    let again = digests(&session.query(COLLECTED_SINCE, &[&columns.digest, &(keep.since as i64)]).await?)?;
    if again.is_empty() {
        let job = job.0 as i64;
        session.run(&[Step::new(REMOVE, vec![&job, &keep.remove]), columns.add()]).await?;
    }
    Ok(again)
}

/// Takes away from jobs what their output was kept in.
pub(super) async fn forget_output(turn: &Turn<'_>, jobs: &[JobNumber]) -> Attempted<()> {
    let sql = "DELETE FROM artifact WHERE job = ANY($1) AND name >= $2 AND name < $3";
    let jobs: Vec<_> = jobs.iter().map(|job| job.0 as i64).collect();
    let [first, end] = OUTPUT_ARTIFACTS;
    turn.session.query(sql, &[&jobs, &first, &end]).await.map(drop)
}

async fn unneeded(session: &Session, objects: &[Digest], ages: Ages, said: Option<i64>) -> Attempted<Vec<Digest>> {
    let [output, record] = [ages.output, ages.record].map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let [first, end] = OUTPUT_ARTIFACTS;
    digests(&session.query(&unneeded_sql(), &[&bytes(objects), &said, &output, &record, &first, &end]).await?)
}

async fn collect(node: &Node, turn: &Turn<'_>, objects: &[Digest], now: Timestamp) -> Attempted<Vec<Digest>> {
    turn.session.query(LOCK_ALONE, &[]).await?;
    let kept = COLLECTIONS_KEPT.as_millis() as i64;
    turn.session.query(&forget_ended_sql(), &[&node.clock.said(now), &kept]).await?;
    let begun = digests(&turn.session.query(&begin_sql(), &[&bytes(objects), &node.clock.said(now)]).await?)?;
    land(node, turn, &Desk::default()).await?;
    Ok(begun)
}

async fn collected(node: &Node, turn: &Turn<'_>, objects: &[Digest], now: Timestamp) -> Attempted<()> {
    turn.session.query(LOCK_ALONE, &[]).await?;
    turn.session.query(&end_sql(), &[&bytes(objects), &node.clock.said(now)]).await?;
    land(node, turn, &Desk::default()).await.map(drop)
}

async fn take_over(node: &Node, turn: &Turn<'_>, age: Duration, limit: i64, now: Timestamp) -> Attempted<Vec<Digest>> {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let taken = digests(&turn.session.query(&take_over_sql(), &[&node.clock.said(now), &age, &limit]).await?)?;
    land(node, turn, &Desk::default()).await?;
    Ok(taken)
}

#[async_trait]
impl ArtifactRecords for PostgresStore {
    async fn artifacts(&self, job: JobId) -> Result<Vec<Artifact>, StoreError> {
        self.doors()?.pool.read("list artifacts", |session| of_job(session, job).boxed()).await
    }

    async fn newest_collection(&self) -> Result<u64, StoreError> {
        let pool = self.doors()?.pool;
        pool.read("read the newest collection", |session| newest_collection(session).boxed()).await
    }

    async fn keep(&self, job: JobId, what: Keep) -> Result<Vec<Digest>, StoreError> {
        let pool = self.doors()?.pool;
        let what = &what;
        pool.transact("keep artifacts", move |node, turn| {
            let what = what.clone();
            async move { keep(node, turn, job, &what).await }.boxed()
        })
        .await?
    }

    async fn unneeded(&self, objects: Vec<Digest>, ages: Ages, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let pool = self.doors()?.pool;
        let (said, objects) = (pool.node.clock.said(now), &objects);
        pool.read("look for unneeded objects", move |session| {
            let objects = objects.clone();
            async move { unneeded(session, &objects, ages, said).await }.boxed()
        })
        .await
    }

    async fn collect(&self, objects: Vec<Digest>, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
        let pool = self.doors()?.pool;
        let objects = &objects;
        pool.transact("collect objects", move |node, turn| {
            let objects = objects.clone();
            async move { collect(node, turn, &objects, now).await }.boxed()
        })
        .await
    }

    async fn collected(&self, objects: Vec<Digest>, now: Timestamp) -> Result<(), StoreError> {
        let pool = self.doors()?.pool;
        let objects = &objects;
        pool.transact("note collected objects", move |node, turn| {
            let objects = objects.clone();
            async move { collected(node, turn, &objects, now).await }.boxed()
        })
        .await
    }

    async fn take_over_collections(
        &self,
        age: Duration,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Digest>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, i64::try_from(limit).unwrap_or(i64::MAX));
        pool.transact("take over collections", |node, turn| take_over(node, turn, age, limit, now).boxed()).await
    }
}
