//! Lists of jobs by filter, newest first.

use longshore_domain::job::{Job, StateName};
use longshore_domain::store::JobFilter;
use tokio_postgres::types::ToSql;

use super::errors::Attempted;
use super::rows;
use super::session::{Session, Value};
use super::turn::select_jobs;
use crate::columns;

/// Jobs that are read at once where a text is looked for.
const PAGE: i64 = 500;

/// Up to `limit` jobs that `filter` lets through.
pub(super) async fn jobs(session: &Session, filter: &JobFilter, limit: usize) -> Attempted<Vec<Job>> {
    let Some(text) = filter.text.as_ref().map(|text| text.to_lowercase()) else {
        return page(session, filter, limit as i64).await;
    };
    // The text is looked for here: whether the server ignores case beyond ASCII depends on how it was set up.
    let mut found = vec![];
    let mut filter = filter.clone();
    while found.len() < limit {
        let page = page(session, &filter, PAGE).await?;
        let Some(last) = page.last() else { break };
        filter.before = Some(last.number);
        found.extend(page.into_iter().filter(|job| columns::has_text(job.name.as_deref(), &job.title, &text)));
    }
    found.truncate(limit);
    Ok(found)
}

async fn page(session: &Session, filter: &JobFilter, limit: i64) -> Attempted<Vec<Job>> {
    let query = Query::of(filter, limit);
    let values: Vec<Value<'_>> = query.values.iter().map(|value| &**value as Value<'_>).collect();
    rows::jobs(&session.query(&query.sql, &values).await?)
}

/// A query that is put together from what the filter restricts.
struct Query {
    sql: String,
    values: Vec<Box<dyn ToSql + Send + Sync>>,
}

impl Query {
    fn of(filter: &JobFilter, limit: i64) -> Self {
        let mut query = Self { sql: format!("{} WHERE true", select_jobs()), values: vec![] };
        if let Some(conversation) = &filter.conversation {
            query.and("j.conversation = ", conversation.as_str().to_owned());
        }
        if let Some(owner) = &filter.owner {
            query.and("j.principal_name = ", owner.clone());
        }
        if !filter.states.is_empty() {
            let names: Vec<_> = filter.states.iter().map(|state| state.as_str()).collect();
            query.and("s.state = ANY", names);
            if !filter.states.contains(&StateName::Finished) {
                // Unfinished jobs are few among all and have an index of their own, ready ones in many phases.
                match filter.states.contains(&StateName::Queued) {
                    true => query.sql.push_str(" AND s.phase IS NOT NULL"),
                    false => {
                        let phases: Vec<_> = filter.states.iter().filter_map(|state| columns::phase(*state)).collect();
                        query.and("s.phase = ANY", phases);
                    }
                }
            }
        }
        if let Some(outcome) = filter.outcome {
            query.and("s.outcome = ", outcome.as_str());
        }
        if let Some(queue) = &filter.queue {
            query.and("s.queue = ", queue.as_str().to_owned());
        }
        if let Some(before) = filter.before {
            query.and("j.number < ", i64::try_from(before.0).unwrap_or(i64::MAX));
        }
        query.values.push(Box::new(limit));
        query.sql.push_str(&format!(" ORDER BY j.number DESC LIMIT ${}", query.values.len()));
        query
    }

    fn and(&mut self, condition: &str, value: impl ToSql + Send + Sync + 'static) {
        self.values.push(Box::new(value));
        self.sql.push_str(&format!(" AND {condition}(${})", self.values.len()));
    }
}
