//! One connection: how it is made and set up, and how statements are sent over it, many at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{join_all, poll_fn};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};

use super::address::Address;
use super::errors::{Attempted, Trouble};
use super::migrations;
use super::way::{Doubt, Line, Way};

/// No statement of ours works longer; one that does is stopped by the server.
const STATEMENT_MAX: &str = "60s";
/// No statement of ours waits longer for somebody else's transaction.
const LOCK_MAX: &str = "10s";
/// A transaction whose node has fallen silent in its middle is undone by the server, so that others get its locks: sooner
/// than they give up waiting for them.
const SILENCE_MAX: &str = "5s";
/// The server gives up connections whose other end is gone, as this end does: whoever waits in the middle of sending holds
/// locks. Where the connection has no network under it this says nothing.
const NETWORK: &str = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
     SET tcp_user_timeout = 10000";
/// Statements kept prepared on one connection. Lists have one for each combination of filters.
const STATEMENTS_MAX: usize = 128;

pub(crate) const PREFER_INDEXES: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

/// Makes connections to one database.
pub(super) struct Connector {
    way: Arc<Way>,
    location: String,
    schema: String,
}

/// A value that is sent along with a statement.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// A statement with its values.
pub(super) struct Step<'a> {
    sql: &'a str,
    values: Vec<Value<'a>>,
}

impl<'a> Step<'a> {
    pub(super) fn new(sql: &'a str, values: Vec<Value<'a>>) -> Self {
        Self { sql, values }
    }
}

/// A connection that is set up.
pub(super) struct Session {
    client: Client,
    /// The task that serves it.
    line: AbortHandle,
    doubt: Doubt,
    statements: Mutex<HashMap<String, Statement>>,
    /// A transaction is open, or may be.
    open: AtomicBool,
    /// Requests whose answers have not come, also if nobody waits for them any more.
    unanswered: AtomicUsize,
}

impl Connector {
    pub(super) fn new(address: Address, schema: String) -> Attempted<Self> {
        let Address { config, trust, location } = address;
        Ok(Self { way: Arc::new(Way::new(config, &trust)?), location, schema })
    }

    /// Where the database is, for people.
    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// A connection for work on rows, to a schema that this build can work with.
    pub(super) async fn connect(&self) -> Attempted<Session> {
        let session = self.connect_to_any_schema().await?;
        migrations::check(&session).await?;
        Ok(session)
    }

    /// A connection to whatever is there.
    pub(super) async fn connect_to_any_schema(&self) -> Attempted<Session> {
        let (client, line) = self.way.connect().await?;
        let serving = tokio::spawn(async move {
            if let Err(error) = line.await {
                tracing::debug!(error = %Trouble::from(error), "connection to the database ended");
            }
        });
        self.set_up(client, serving.abort_handle()).await
    }

    /// A connection that says when somebody notifies `channel` of anything but `own`; the receiver ends with it.
    pub(super) async fn listen(&self, channel: &str, own: &str) -> Attempted<(Session, mpsc::Receiver<()>)> {
        let (client, line) = self.way.connect().await?;
        // One is as good as many: whoever receives looks for all that is new.
        let (heard, hearing) = mpsc::channel(1);
        let serving = tokio::spawn(hear(line, heard, own.to_owned()));
        let session = self.set_up(client, serving.abort_handle()).await?;
        session.execute(&format!("LISTEN {channel}")).await?;
        Ok((session, hearing))
    }

    async fn set_up(&self, client: Client, line: AbortHandle) -> Attempted<Session> {
        // Weaker than `on`, a commit could be acknowledged and lost; `remote_apply` is stronger and stays.
        let setup = format!(
            "SET search_path = {}; SET client_min_messages = warning; SET jit = off; \
             SET statement_timeout = '{STATEMENT_MAX}'; SET lock_timeout = '{LOCK_MAX}'; \
             SET idle_in_transaction_session_timeout = '{SILENCE_MAX}'; {NETWORK}; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') <> 'remote_apply'; SELECT pg_backend_pid()",
            self.schema
        );
        let answers = self.way.in_time(client.simple_query(&setup)).await.inspect_err(|_| line.abort())?;
        let doubt = Doubt::of(Arc::clone(&self.way), process(&answers)?);
        Ok(Session {
            client,
            line,
            doubt,
            statements: Mutex::default(),
            open: AtomicBool::new(false),
            unanswered: AtomicUsize::new(0),
        })
    }
}

/// The process that serves a connection, which the last of these answers tells.
fn process(answers: &[SimpleQueryMessage]) -> Attempted<i32> {
    let told = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    told.ok_or_else(|| Trouble::Other("the server does not say which process serves the connection".into()))
}

async fn hear(mut line: Line, heard: mpsc::Sender<()>, own: String) {
    while let Some(Ok(message)) = poll_fn(|context| line.poll_message(context)).await {
        match message {
            AsyncMessage::Notification(notification) if notification.payload() != own => {
                // Full is fine: a hint is waiting already.
                heard.try_send(()).ok();
            }
            _ => {}
        }
    }
}

impl Session {
    /// Waits for what the server says, as long as it is at work on it. A connection whose answer does not come, or is not
    /// waited for until it does, is not used again: it may be dead.
    async fn answered<T>(&self, answer: impl Future<Output = T>) -> Attempted<T> {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let answered = self.doubt.answered(answer).await.inspect_err(|_| self.line.abort())?;
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        Ok(answered)
    }

    /// Has the server look every row up by its index, whatever its statistics say of a table that was empty a moment
    /// ago, and plan each statement once.
    pub(super) async fn prefer_indexes(&self) -> Attempted<()> {
        self.execute(PREFER_INDEXES).await
    }

    /// Whether it can be used for something new.
    pub(super) fn is_fit(&self) -> bool {
        !self.client.is_closed() && !self.open.load(Ordering::Relaxed) && self.unanswered.load(Ordering::Relaxed) == 0
    }

    /// Notes that a transaction is open from now on, until [`Self::mark_shut`]: a session that is given up in between is
    /// not used again.
    pub(super) fn mark_open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(super) fn mark_shut(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    /// Undoes a transaction that may be open. If that cannot be said to have worked, the session is not used again.
    pub(super) async fn roll_back(&self) {
        if self.open.load(Ordering::Relaxed) && !self.client.is_closed() && self.execute("ROLLBACK").await.is_ok() {
            self.mark_shut();
        }
    }

    /// Has one statement done.
    pub(super) async fn query(&self, sql: &str, values: &[Value<'_>]) -> Attempted<Vec<Row>> {
        let statement = self.prepared(sql).await?;
        Ok(self.answered(self.client.query(&statement, values)).await??)
    }

    /// Has statements that the server knows done one after another, in one round trip; gives the rows of each, or the
    /// first trouble. Inside a transaction the steps after one that failed do nothing.
    pub(super) async fn run(&self, steps: &[Step<'_>]) -> Attempted<Vec<Vec<Row>>> {
        let mut prepared = Vec::with_capacity(steps.len());
        for step in steps {
            prepared.push(self.prepared(step.sql).await?);
        }
        // Requests are sent in the order in which they are first polled, which is that of the list.
        let flights = prepared.iter().zip(steps).map(|(statement, step)| self.client.query(statement, &step.values));
        let answers = self.answered(join_all(flights)).await?;
        answers.into_iter().map(|answer| answer.map_err(Trouble::from)).collect()
    }

    /// Has statements without values done.
    pub(super) async fn execute(&self, sql: &str) -> Attempted<()> {
        Ok(self.answered(self.client.batch_execute(sql)).await??)
    }

    async fn prepared(&self, sql: &str) -> Attempted<Statement> {
        if let Some(statement) = self.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.answered(self.client.prepare(sql)).await??;
        let mut statements = self.lock();
        if statements.len() >= STATEMENTS_MAX {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
