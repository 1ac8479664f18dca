//! A transaction: begun, and ended by writing a desk down.

use longshore_domain::id::JobNumber;
use longshore_domain::job::Job;
use longshore_domain::time::Timestamp;
use tokio_postgres::Row;

use super::clock::PRESENT;
use super::errors::{Attempted, Trouble};
use super::migrations;
use super::node::Node;
use super::rows::{self, JOB_COLUMNS};
use super::session::{Session, Step, Value};

/// Says who the transaction is, so that its end can be looked up over another connection, what time it is, and whether this
/// build can still work with the schema: a newer node may have changed it since the connection was made.
pub(super) fn who_sql() -> String {
    format!("SELECT pg_current_xact_id()::text, {PRESENT}, {} FROM meta", migrations::COLUMNS)
}

/// What [`who_sql`] says.
///
/// # Errors
/// [`Trouble::Newer`]: whoever goes on would write what the schema no longer means.
pub(super) fn who(rows: &[Row]) -> Attempted<(String, Timestamp)> {
    let row = rows.first().ok_or_else(|| Trouble::Other("the transaction has no id".into()))?;
    migrations::judge(row, 2)?;
    Ok((rows::get(row, 0)?, rows::time(row, 1)?))
}

/// A transaction that is open.
pub(super) struct Turn<'s> {
    pub(super) session: &'s Session,
    pub(super) xid: String,
}

impl<'s> Turn<'s> {
    /// Opens a transaction.
    pub(super) async fn begin(session: &'s Session) -> Attempted<Self> {
        session.mark_open();
        let sql = who_sql();
        let answers = session.run(&[Step::new("BEGIN", vec![]), Step::new(&sql, vec![])]).await?;
        let (xid, _) = who(answers.last().map_or(&[], Vec::as_slice))?;
        Ok(Self { session, xid })
    }

    /// Reads and locks the jobs that `sql` selects.
    pub(super) async fn lock(&self, sql: &str, values: Vec<Value<'_>>) -> Attempted<Locked> {
        let present = format!("SELECT {PRESENT}");
        let answers = self.session.run(&[Step::new(sql, values), Step::new(&present, vec![])]).await?;
        let [jobs, present] = &answers[..] else { return Err(Trouble::Other("a step gave no answer".into())) };
        Ok(Locked { jobs: rows::jobs(jobs)?, present: rows::present(present, 0)? })
    }

    /// Reads and locks the jobs that `which` names, by `s` and `j`, in the order of their numbers: whoever waits for
    /// locks takes them in this order.
    pub(super) async fn lock_jobs(&self, which: &str, values: Vec<Value<'_>>) -> Attempted<Locked> {
        let sql = format!("{} WHERE {which} ORDER BY j.number FOR UPDATE OF s", select_jobs());
        self.lock(&sql, values).await
    }

    /// The same for jobs of these numbers. Those that are not there are left out.
    pub(super) async fn lock_numbers(&self, numbers: impl IntoIterator<Item = JobNumber>) -> Attempted<Locked> {
        let numbers: Vec<_> = numbers.into_iter().map(|number| number.0 as i64).collect();
        self.lock_jobs("j.number = ANY($1)", vec![&numbers]).await
    }
}

/// Jobs that nobody else changes until the transaction ends, and the time by the database at which that began.
pub(super) struct Locked {
    pub(super) jobs: Vec<Job>,
    present: Timestamp,
}

impl Locked {
    /// The instant to go by.
    pub(super) fn now(&self, node: &Node, said: Timestamp) -> Timestamp {
        node.clock.tell(said, self.present)
    }
}

/// The beginning of a query for jobs.
pub(super) fn select_jobs() -> String {
    format!("SELECT {JOB_COLUMNS} FROM job AS j JOIN standing AS s ON s.job = j.number")
}
