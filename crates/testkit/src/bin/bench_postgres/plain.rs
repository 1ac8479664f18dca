//! What somebody writes who needs nothing but this: the same jobs and as many rows of history, by hand, a hundred at a
//! time, each step one statement and one commit. Ends are fenced by the number of the attempt.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio_postgres::Row;

use crate::database::connect;
use crate::ours;

pub(crate) const BATCH: i64 = 100;

const SCHEMA: &str = "DROP SCHEMA IF EXISTS plain CASCADE; CREATE SCHEMA plain; \
     CREATE TABLE plain.job (number bigserial PRIMARY KEY, id text NOT NULL UNIQUE, version bigint NOT NULL, \
     state text NOT NULL, attempt bigint NOT NULL, queue text NOT NULL, priority smallint NOT NULL, \
     principal text NOT NULL, kind text NOT NULL, title text NOT NULL, spec text NOT NULL, \
     submitted_at bigint NOT NULL, changed_at bigint NOT NULL, lease text, report text); \
     CREATE INDEX job_ready ON plain.job (queue, priority DESC, number) WHERE state = 'queued'; \
     CREATE TABLE plain.event (seq bigserial PRIMARY KEY, job bigint NOT NULL, at bigint NOT NULL, kind text NOT NULL, \
     attempt bigint NOT NULL); CREATE INDEX event_job ON plain.event (job, seq)";
const SET_UP: &str = "SET search_path = plain; SET synchronous_commit = on; SET enable_seqscan = off";
const INSERT: &str = "WITH n AS (INSERT INTO job (id, version, state, attempt, queue, priority, principal, kind, title, \
     spec, submitted_at, changed_at) SELECT id, 1, 'queued', 0, 'default', 0::smallint, 'coder', 'command', \
     'cargo test --workspace --all-features', spec, 1, 1 FROM unnest($1::text[], $2::text[]) AS n(id, spec) \
     RETURNING number) INSERT INTO event (job, at, kind, attempt) SELECT number, 1, 'submitted', 0 FROM n";
const CLAIM: &str = "WITH c AS (SELECT number FROM job WHERE state = 'queued' AND queue = 'default' \
     ORDER BY priority DESC, number LIMIT $1 FOR UPDATE SKIP LOCKED), \
     u AS (UPDATE job SET state = 'live', version = version + 1, attempt = attempt + 1, lease = $2, changed_at = 2 \
     FROM c WHERE job.number = c.number RETURNING job.number, job.attempt, job.spec), \
     e AS (INSERT INTO event (job, at, kind, attempt) SELECT number, 2, 'claimed', attempt FROM u) SELECT * FROM u";
const FINISH: &str = "WITH u AS (UPDATE job SET state = 'finished', version = version + 1, lease = NULL, report = $3, \
     changed_at = 3 FROM unnest($1::bigint[], $2::bigint[]) AS n(number, attempt) WHERE job.number = n.number \
     AND job.attempt = n.attempt AND state = 'live' RETURNING job.number, job.attempt) \
     INSERT INTO event (job, at, kind, attempt) SELECT number, 3, 'ended', attempt FROM u";

/// Whole jobs per second over so many connections.
pub(crate) async fn lives(url: &str, connections: usize, length: Duration) -> Result<f64> {
    connect(url).await?.batch_execute(SCHEMA).await?;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections).map(|_| tokio::spawn(caller(url.to_owned(), begin, length))).collect();
    let mut jobs = 0;
    for task in tasks {
        jobs += task.await??;
    }
    Ok(jobs as f64 / begin.elapsed().as_secs_f64())
}

async fn caller(url: String, begin: Instant, length: Duration) -> Result<usize> {
    let client = connect(&url).await?;
    client.batch_execute(SET_UP).await?;
    let insert = client.prepare(INSERT).await?;
    let claim = client.prepare(CLAIM).await?;
    let finish = client.prepare(FINISH).await?;
    let specs = vec![serde_json::to_string(&ours::spec())?; BATCH as usize];
    let report = serde_json::to_string(&ours::report())?;
    let lease = "l".repeat(150);
    let mut jobs = 0;
    while begin.elapsed() < length {
        let ids: Vec<_> = (0..BATCH).map(|_| format!("j_{:036x}", ours::unique())).collect();
        client.execute(&insert, &[&ids, &specs]).await?;
        let taken = client.query(&claim, &[&BATCH, &lease]).await?;
        let numbered = |row: &Row| (row.get::<_, i64>(0), row.get::<_, i64>(1));
        let (numbers, attempts): (Vec<_>, Vec<_>) = taken.iter().map(numbered).unzip();
        client.execute(&finish, &[&numbers, &attempts, &report]).await?;
        jobs += taken.len();
    }
    Ok(jobs)
}
