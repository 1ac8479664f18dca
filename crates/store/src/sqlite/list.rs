//! Lists of jobs by filter, newest first.

use longshore_domain::job::{Job, OutcomeStatus, StateName};
use longshore_domain::store::JobFilter;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::rows::{self, JOB_COLUMNS, NAME_COLUMN, TITLE_COLUMN};
use crate::columns;

/// Up to `limit` jobs that `filter` lets through, from one snapshot.
pub(super) fn jobs(connection: &mut Connection, filter: &JobFilter, limit: usize) -> rusqlite::Result<Vec<Job>> {
    let snapshot = connection.transaction()?;
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    let mut jobs = vec![];
    for query in queries(filter) {
        query.run(&snapshot, text.as_deref(), limit, &mut jobs)?;
    }
    jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.number));
    jobs.truncate(limit);
    Ok(jobs)
}

/// One pass over the table in order of numbers, along the index that leaves out most.
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// The passes that together find everything `filter` lets through. Jobs in unfinished states are few among all, and
/// the index has each state apart, so that each gets its own pass.
pub(crate) fn queries(filter: &JobFilter) -> Vec<Query> {
    let unfinished = !filter.states.is_empty() && !filter.states.contains(&StateName::Finished);
    if filter.conversation.is_some() {
        return vec![Query::new(filter, "INDEXED BY job_conversation", &filter.states)];
    }
    if unfinished {
        let mut states = filter.states.clone();
        states.sort_unstable();
        states.dedup();
        let along = "INDEXED BY job_open";
        return states.iter().map(|state| Query::new(filter, along, std::slice::from_ref(state))).collect();
    }
    let along = match (filter.outcome, &filter.owner) {
        (Some(outcome), _) if outcome != OutcomeStatus::Succeeded => "INDEXED BY job_unsuccessful",
        (_, Some(_)) => "INDEXED BY job_principal",
        _ => "NOT INDEXED",
    };
    vec![Query::new(filter, along, &filter.states)]
}

impl Query {
    fn new(filter: &JobFilter, along: &str, states: &[StateName]) -> Self {
        let mut query = Self { sql: format!("SELECT {JOB_COLUMNS} FROM job {along} WHERE 1"), values: vec![] };
        if let Some(conversation) = &filter.conversation {
            query.and("conversation = ?", [conversation.as_str().to_owned().into()]);
        }
        if !states.is_empty() {
            let names = states.iter().map(|state| Value::from(state.as_str().to_owned()));
            query.and(&format!("state IN ({})", vec!["?"; states.len()].join(", ")), names);
            match (states, along.ends_with("job_open")) {
                // All lines of ready jobs: what comes behind a space comes before an exclamation mark.
                ([StateName::Queued], true) => query.and("phase >= 'queued' AND phase < 'queued!'", []),
                ([state], true) => {
                    query.and("phase = ?", [columns::phase(*state).unwrap_or_default().to_owned().into()])
                }
                _ => {}
            }
        }
        if let Some(outcome) = filter.outcome {
            query.and("outcome = ?", [outcome.as_str().to_owned().into()]);
            if outcome != OutcomeStatus::Succeeded {
                query.and("outcome <> 'succeeded'", []);
            }
        }
        if let Some(owner) = &filter.owner {
            query.and("principal_name = ?", [owner.clone().into()]);
        }
        if let Some(queue) = &filter.queue {
            query.and("queue = ?", [queue.as_str().to_owned().into()]);
        }
        if let Some(before) = filter.before {
            query.and("number < ?", [i64::try_from(before.0).unwrap_or(i64::MAX).into()]);
        }
        query.sql.push_str(" ORDER BY number DESC");
        query
    }

    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Adds up to `limit` jobs. The text is looked for here, because SQLite ignores case in ASCII only.
    fn run(
        self,
        connection: &Connection,
        text: Option<&str>,
        limit: usize,
        jobs: &mut Vec<Job>,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        let mut found = statement.query(params_from_iter(self.values))?;
        let end = jobs.len().saturating_add(limit);
        while jobs.len() < end
            && let Some(row) = found.next()?
        {
            if text.is_none_or(|text| has_text(row, text)) {
                jobs.push(rows::job(row)?);
            }
        }
        Ok(())
    }
}

fn has_text(row: &Row<'_>, lowercase: &str) -> bool {
    let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
    columns::has_text(text(NAME_COLUMN), text(TITLE_COLUMN).unwrap_or_default(), lowercase)
}
