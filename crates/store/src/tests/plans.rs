//! The queries that run often, or over many rows, use the index that was made for them.

use longshore_domain::access::{Conversation, Principal};
use longshore_domain::job::{OutcomeStatus, StateName};
use longshore_domain::store::{JobFilter, QuestionFilter, Store};
use rusqlite::Connection;

use super::{Folder, open};
use crate::conformance::scene::queue;
use crate::sqlite::{announced, lines, list, queries, questions, record, retention, schedules};

fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    for parameter in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = statement.raw_query();
    let mut lines = vec![];
    while let Some(row) = rows.next().unwrap() {
        lines.push(row.get::<_, String>(3).unwrap());
    }
    lines.join("; ")
}

/// Checks that the plan names `index` and sorts nothing.
fn check(connection: &Connection, sql: &str, index: &str) {
    let plan = plan(connection, sql);
    assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
}

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let folder = Folder::new();
    open(&folder.database()).close().await;
    let connection = Connection::open(folder.database()).unwrap();
    let check = |sql: &str, index| check(&connection, sql, index);
    check(lines::READY_SQL, "SEARCH job USING COVERING INDEX job_open (phase=? AND queue=?)");
    check(record::DUE_SQL, "SEARCH job USING COVERING INDEX job_due (due_at>? AND due_at<?)");
    check(queries::NEXT_DUE_SQL, "SEARCH job USING COVERING INDEX job_due");
    let key = plan(&connection, &queries::key_sql());
    assert!(key.contains("SEARCH key USING PRIMARY KEY (principal_class=? AND principal_name=? AND key=?)"), "{key}");
    check(schedules::DUE_SQL, "SEARCH schedule USING INDEX schedule_next (next_at>? AND next_at<?)");
    check(schedules::NEXT_SQL, "SEARCH schedule USING COVERING INDEX schedule_next");
    check(&record::live_sql(), "SEARCH job USING INDEX job_open (phase=?)");
    // What is found is put together in memory, once for each opening.
    let lines = plan(&connection, lines::LINES_SQL);
    assert!(lines.contains("SEARCH n USING COVERING INDEX job_open ((phase,queue)>(?,?) AND phase<?)"), "{lines}");
    assert!(!lines.contains("SCAN j"), "{lines}");
    // The few that are live are sorted.
    let expired = plan(&connection, &record::expired_sql());
    assert!(expired.contains("SEARCH job USING INDEX job_open (phase=?)"), "{expired}");
    check(queries::POSITION_SQL, "SEARCH above USING COVERING INDEX job_open (phase=? AND queue=? AND priority>?)");
    let same = "SEARCH other USING COVERING INDEX job_open (phase=? AND queue=? AND priority=? AND rowid<?)";
    check(queries::POSITION_SQL, same);
    check(
        &queries::ended_sql(false),
        "SEARCH job USING INDEX job_ended (output_expired=? AND finished_at>? AND finished_at<?)",
    );
    // A job's chain is followed line by line; the few lines wanted are sorted.
    for sql in [&queries::events_sql(true), retention::REMOVE_EVENTS_SQL] {
        let plan = plan(&connection, sql);
        assert!(plan.contains("SEARCH e USING INTEGER PRIMARY KEY (rowid=?)"), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN e") && !plan.contains("SCAN job"), "{sql}\n{plan}");
    }
    check(&queries::events_sql(false), "SEARCH e USING INTEGER PRIMARY KEY (rowid>?)");
    for sql in [&announced::ends_sql(), announced::NEWEST_END_SQL] {
        check(sql, "INDEX job_end (conversation=? AND principal_name=? AND end_seq>?)");
    }
    check(questions::NEXT_DEADLINE_SQL, "INDEX question_deadline");
    check(questions::OVERDUE_SQL, "INDEX question_deadline (deadline_at>? AND deadline_at<?)");
    let after = Some(longshore_domain::QuestionId::new(longshore_domain::Timestamp::from_millis(0), 1));
    for filter in [QuestionFilter::default(), QuestionFilter { owner: Some("ann".into()), after }] {
        check(&questions::open_query(&filter).0, "SEARCH q USING INDEX question_open (closed_at=?");
    }
    // The few questions of one job are sorted.
    let plan = plan(&connection, &format!("SELECT q.id {}", questions::OF_JOB_FROM));
    assert!(plan.contains("SEARCH q USING INDEX question_key (job=?)"), "{plan}");
}

#[tokio::test]
async fn lists_follow_the_index_of_their_filter() {
    let folder = Folder::new();
    open(&folder.database()).close().await;
    let connection = Connection::open(folder.database()).unwrap();
    let filter = JobFilter::default;
    let cases = [
        (filter(), "SCAN job"),
        (JobFilter { conversation: Some(Conversation::new("c")), ..filter() }, "INDEX job_conversation"),
        (JobFilter { owner: Some(Principal::OWNER.to_owned()), ..filter() }, "INDEX job_principal"),
        (JobFilter { outcome: Some(OutcomeStatus::Failed), ..filter() }, "INDEX job_unsuccessful"),
        (JobFilter { outcome: Some(OutcomeStatus::Succeeded), ..filter() }, "SCAN job"),
        (JobFilter { states: vec![StateName::Finished], queue: Some(queue("q")), ..filter() }, "SCAN job"),
    ];
    for (filter, index) in cases {
        for query in list::queries(&filter) {
            check(&connection, &query.sql, index);
        }
    }
    // These few are sorted: their index is in the order of claims.
    let queries = list::queries(&JobFilter { states: vec![StateName::Queued, StateName::Asking], ..filter() });
    for (query, along) in queries.iter().zip(["phase>? AND phase<?", "phase=?"]) {
        let plan = plan(&connection, &query.sql);
        assert!(plan.contains(&format!("SEARCH job USING INDEX job_open ({along})")), "{plan}");
    }
    let plan = plan(&connection, queries::UNFINISHED_SQL);
    assert!(plan.matches("job_open").count() == 2 && !plan.contains("SCAN job"), "{plan}");
}
