//! One connection: how it is made and set up, and how statements are sent over it, many at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::{join_all, poll_fn};
use tokio::sync::mpsc;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::errors::{Attempted, Trouble};
use super::migrations;

/// No statement of ours works longer; one that does is stopped by the server.
const STATEMENT_MAX: &str = "60s";
/// No statement of ours waits longer for somebody else's transaction.
const LOCK_MAX: &str = "10s";
/// A transaction whose node has fallen silent in its middle is undone by the server, so that others get its locks.
const SILENCE_MAX: &str = "10s";
/// Statements kept prepared on one connection. Lists have one for each combination of filters.
const STATEMENTS_MAX: usize = 128;

pub(crate) const PREFER_INDEXES: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
     SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";

/// Makes connections to one database.
pub(super) struct Connector {
    address: Address,
    tls: MakeRustlsConnect,
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
    statements: Mutex<HashMap<String, Statement>>,
    /// A transaction is open, or may be.
    open: AtomicBool,
}

impl Connector {
    pub(super) fn new(address: Address, schema: String) -> Attempted<Self> {
        Ok(Self { tls: super::tls::connector(&address.trust)?, address, schema })
    }

    /// Where the database is, for people.
    pub(super) fn location(&self) -> &str {
        &self.address.location
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
        let (client, connection) = self.address.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %Trouble::from(error), "connection to the database ended");
            }
        });
        Session::set_up(client, &self.schema).await
    }

    /// A connection that says when somebody notifies `channel` of anything but `own`; the receiver ends with it.
    pub(super) async fn listen(&self, channel: &str, own: &str) -> Attempted<(Session, mpsc::Receiver<()>)> {
        let (client, connection) = self.address.config.connect(self.tls.clone()).await?;
        // One is as good as many: whoever receives looks for all that is new.
        let (heard, hearing) = mpsc::channel(1);
        tokio::spawn(hear::<MakeRustlsConnect>(connection, heard, own.to_owned()));
        let session = Session::set_up(client, &self.schema).await?;
        session.client.batch_execute(&format!("LISTEN {channel}")).await?;
        Ok((session, hearing))
    }
}

async fn hear<T: MakeTlsConnect<Socket>>(
    mut connection: Connection<Socket, T::Stream>,
    heard: mpsc::Sender<()>,
    own: String,
) {
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
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
    async fn set_up(client: Client, schema: &str) -> Attempted<Self> {
        // Weaker than `on`, a commit could be acknowledged and lost; `remote_apply` is stronger and stays.
        let setup = format!(
            "SET search_path = {schema}; SET client_min_messages = warning; SET jit = off; \
             SET statement_timeout = '{STATEMENT_MAX}'; SET lock_timeout = '{LOCK_MAX}'; \
             SET idle_in_transaction_session_timeout = '{SILENCE_MAX}'; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') <> 'remote_apply'"
        );
        client.batch_execute(&setup).await?;
        Ok(Self { client, statements: Mutex::default(), open: AtomicBool::new(false) })
    }

    /// Has the server look every row up by its index, whatever its statistics say of a table that was empty a moment
    /// ago, and plan each statement once.
    pub(super) async fn prefer_indexes(&self) -> Attempted<()> {
        Ok(self.client.batch_execute(PREFER_INDEXES).await?)
    }

    /// Whether it can be used for something new.
    pub(super) fn is_fit(&self) -> bool {
        !self.client.is_closed() && !self.open.load(Ordering::Relaxed)
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
        Ok(self.client.query(&statement, values).await?)
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
        let answers = join_all(flights).await;
        answers.into_iter().map(|answer| answer.map_err(Trouble::from)).collect()
    }

    /// Has statements without values done.
    pub(super) async fn execute(&self, sql: &str) -> Attempted<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn prepared(&self, sql: &str) -> Attempted<Statement> {
        if let Some(statement) = self.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
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
