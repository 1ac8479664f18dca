//! The way to a server, and what to make of silence on it: a connection can be dead without a sign, because the network
//! goes on confirming what nobody reads, or has forgotten it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Trust;
use super::errors::{Attempted, Trouble};

/// A server that takes a connection and does not let it in, or set it up, within this is taken to be away.
const WELCOME_MAX: Duration = Duration::from_secs(5);
/// A server that has said nothing for so long is asked over another connection whether it is at work.
const SILENCE_USUAL: Duration = Duration::from_secs(5);
/// What it had said before it was asked has come by then.
const UNDER_WAY_MAX: Duration = Duration::from_secs(1);

/// A connection, which lives as long as somebody polls it.
pub(super) type Line = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// The way to one database.
pub(super) struct Way {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Way {
    pub(super) fn new(config: Config, trust: &Trust) -> Attempted<Self> {
        Ok(Self { config, tls: super::tls::connector(trust)? })
    }

    /// # Errors
    /// [`Trouble::Lost`] also if a server begins to speak and falls silent.
    pub(super) async fn connect(&self) -> Attempted<(Client, Line)> {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(1);
        let arrival_max = self.config.get_connect_timeout().map_or(Duration::ZERO, |each| *each * hosts);
        let connecting = timeout(arrival_max + WELCOME_MAX, self.config.connect(self.tls.clone()));
        Ok(connecting.await.map_err(|_| silent())??)
    }

    /// What a server says that is quick to answer.
    pub(super) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Attempted<T> {
        Ok(timeout(WELCOME_MAX, answer).await.map_err(|_| silent())??)
    }

    /// Whether the process is at work on something, by what the server says over a connection of its own.
    async fn is_at_work(&self, process: i32) -> Attempted<bool> {
        let (client, line) = self.connect().await?;
        let serving = tokio::spawn(line);
        let sql = format!("SELECT FROM pg_stat_activity WHERE pid = {process} AND state = 'active'");
        let answers = self.in_time(client.simple_query(&sql)).await;
        serving.abort();
        Ok(answers?.iter().any(|answer| matches!(answer, SimpleQueryMessage::Row(_))))
    }
}

/// Tells a server that is long at work from one that will never be heard of again.
pub(super) struct Doubt {
    way: Arc<Way>,
    process: i32,
}

impl Doubt {
    /// About the connection that this process of the server serves.
    pub(super) fn of(way: Arc<Way>, process: i32) -> Self {
        Self { way, process }
    }

    /// Waits for an answer, however long the server is at work on it.
    ///
    /// # Errors
    /// [`Trouble::Lost`] once the server is not at work, or cannot be asked, and the answer is not there.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> Attempted<T> {
        let mut answer = pin!(answer);
        loop {
            if let Ok(answer) = timeout(SILENCE_USUAL, &mut answer).await {
                return Ok(answer);
            }
            let at_work = tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                at_work = self.way.is_at_work(self.process) => at_work,
            };
            match at_work {
                Ok(true) => {}
                found => {
                    tracing::warn!(away = found.is_err(), "the database does not answer and is not at work");
                    return timeout(UNDER_WAY_MAX, answer).await.map_err(|_| silent());
                }
            }
        }
    }
}

fn silent() -> Trouble {
    Trouble::Lost("the database server has fallen silent".into())
}
