//! The queries that run often, or over many rows, use the index that was made for them.

use tokio_postgres::Client;

use super::{Schema, client};
use crate::conformance::Place;
use crate::postgres::migrations::MIGRATIONS;
use crate::postgres::session::PREFER_INDEXES;
use crate::postgres::{batch, queries, questions, record};

/// A long history, and some jobs that are not finished.
const FILL: &str = "INSERT INTO job SELECT n, 'j' || n, 'agent', 'coder', NULL, 'command', NULL, 't', '{}', 1, NULL, 1, '{}' \
         FROM generate_series(1, 30000) AS n; \
     INSERT INTO standing (job, version, state, phase, content, attempt, failures, queue, priority, changed_at, \
         finished_at, outcome) SELECT n, 1, 'finished', NULL, '{}', 1, 0, 'default', 0, 1, n, 'succeeded' \
         FROM generate_series(1, 29000) AS n; \
     INSERT INTO standing (job, version, state, phase, content, attempt, failures, queue, priority, changed_at, due_at) \
         SELECT n, 1, CASE n % 3 WHEN 0 THEN 'running' WHEN 1 THEN 'queued' ELSE 'waiting' END, \
         CASE n % 3 WHEN 0 THEN 'live' WHEN 1 THEN 'queued' ELSE 'waiting' END, '{}', 1, 0, 'default', 0, 1, \
         CASE n % 3 WHEN 2 THEN n END FROM generate_series(29001, 30000) AS n; \
     INSERT INTO standing (job, version, state, phase, content, attempt, failures, queue, priority, changed_at) \
         SELECT n, 1, 'queued', CASE n % 2 WHEN 0 THEN 'queued gpu' ELSE 'queued arm os=linux' END, '{}', 1, 0, \
         'default', 0, 1 FROM generate_series(30001, 32000) AS n; \
     INSERT INTO event SELECT n, 1 + n % 30000, 1, 'submitted', 'queued', 0, NULL FROM generate_series(1, 60000) AS n; \
     INSERT INTO question (id, job, attempt, key, kind, prompt, asked_at, deadline_at, closed_at) SELECT 'q' || n, n, 1, \
         'k', 'text', '?', 1, n, CASE WHEN n < 19000 THEN n END FROM generate_series(1, 20000) AS n; \
     INSERT INTO queue VALUES ('default', 10)";

async fn plan(client: &Client, sql: &str, values: &str) -> String {
    client.batch_execute(&format!("PREPARE p AS {sql}")).await.unwrap();
    let values = if values.is_empty() { String::new() } else { format!("({values})") };
    let rows = client.query(&format!("EXPLAIN EXECUTE p{values}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE p").await.unwrap();
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

async fn check(client: &Client, sql: &str, values: &str, indexes: &[&str]) {
    let plan = plan(client, sql, values).await;
    for index in indexes {
        assert!(plan.contains(index), "{index} is not used for {sql}\n{plan}");
    }
    for long in ["job", "standing", "event", "question"] {
        assert!(!plan.contains(&format!("Seq Scan on {long}")), "{sql}\n{plan}");
    }
}

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let schema = Schema::new();
    schema.open().await.close().await;
    let client = client(&schema).await;
    client.batch_execute(FILL).await.unwrap();
    for statistics in [false, true] {
        if statistics {
            client.batch_execute("ANALYZE").await.unwrap();
        }
        client.batch_execute(PREFER_INDEXES).await.unwrap();
        check(&client, &batch::lock_jobs_sql(), "'{j1,j2}'", &["job_id_key", "standing_pkey"]).await;
        let (ready, values) = (batch::ready_sql(), "5, 1, '{gpu,fast}', '{default}', '{j1,j2}'");
        let along = [
            "((phase = p.phase) AND (queue = q.name))",
            "(phase > step.phase)",
            "((phase = line.phase) AND (queue > line.queue))",
            "queue_pkey",
        ];
        check(&client, &ready, values, &along).await;
        assert!(!plan(&client, &ready, values).await.contains("Sort"), "jobs are claimed along the index");
        check(&client, &record::due_sql(), "5, 1", &["standing_due", "(due_at <= "]).await;
        check(&client, &queries::expired_sql(), "5, 1", &["standing_open"]).await;
        client.batch_execute("RESET ALL").await.unwrap();
        client.batch_execute(&format!("SET search_path = {}", schema.name)).await.unwrap();
    }
    check(&client, &queries::next_due_sql(), "NULL", &["standing_due", "Limit"]).await;
    check(&client, &queries::next_expiry_sql(), "NULL", &["standing_open"]).await;
    check(&client, &queries::next_deadline_sql(), "NULL", &["question_deadline", "Limit"]).await;
    check(&client, &questions::overdue_sql(), "5, 1", &["question_deadline"]).await;
    check(&client, queries::POSITION, "'j29500', 100", &["standing_open", "job_id_key"]).await;
    check(&client, &queries::events_sql(true), "5, 10, 'j7'", &["event_job", "job_id_key"]).await;
    check(&client, &queries::events_sql(false), "59000, 10", &["event_pkey"]).await;
    for with_output in [false, true] {
        check(&client, &queries::ended_sql(with_output), "0, 10, 500, 0, 0", &["standing_ended"]).await;
    }
}

#[test]
fn the_list_of_migrations_is_the_folder() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let mut found: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, MIGRATIONS.iter().map(|step| step.name).collect::<Vec<_>>());
    for (at, step) in MIGRATIONS.iter().enumerate() {
        assert!(step.name.starts_with(&format!("{:04}_", at + 1)), "{} is not number {}", step.name, at + 1);
        assert!((1..=at as u32 + 1).contains(&step.compatible_from), "{}", step.name);
    }
}
