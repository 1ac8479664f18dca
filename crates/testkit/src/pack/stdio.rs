//! A server as a child process: one message in each line, nothing else.

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::journal::Journal;
use super::message::Message;
use super::wire::{MESSAGES_MAX, Open, PATIENCE_AT_END};

const SUBSCRIPTION: &str = "/params/_meta/io.modelcontextprotocol~1subscriptionId";

/// A running server and the requests that it has not answered yet.
pub(crate) struct Pipe {
    stdin: tokio::sync::Mutex<Option<ChildStdin>>,
    child: tokio::sync::Mutex<Child>,
    routes: Arc<Mutex<Routes>>,
}

/// Where a line goes: to the request that it answers or belongs to.
#[derive(Default)]
struct Routes {
    open: Vec<(Value, mpsc::Sender<Message>)>,
    /// There was a handshake: a session is told that lists changed, whatever it asks.
    in_session: bool,
    ended: bool,
}

impl Pipe {
    /// Starts the server by this shell command, with these variables beside those of the environment.
    pub(crate) fn start(command: &str, variables: &[(&str, String)], journal: &Journal) -> Result<Pipe> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .envs(variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("`{command}` did not start"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("a pipe")?;
        let routes = Arc::new(Mutex::new(Routes::default()));
        let (reader, journal) = (Arc::clone(&routes), journal.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                route(&reader, Message::read(&line), &journal).await;
            }
            let mut routes = locked(&reader);
            routes.ended = true;
            routes.open.clear();
        });
        Ok(Pipe { stdin: tokio::sync::Mutex::new(stdin), child: tokio::sync::Mutex::new(child), routes })
    }

    /// Writes one line; `id` is the id of the request in it, if it is one.
    pub(crate) async fn send(&self, id: Option<&Value>, line: String) -> Result<Open> {
        let (messages, incoming) = mpsc::channel(MESSAGES_MAX);
        if let Some(id) = id {
            let mut routes = locked(&self.routes);
            routes.in_session |= line.contains(r#""method":"initialize""#);
            if !routes.ended {
                routes.open.push((id.clone(), messages));
            }
        }
        let mut stdin = self.stdin.lock().await;
        let pipe = stdin.as_mut().context("the server's standard input is closed")?;
        pipe.write_all(format!("{line}\n").as_bytes()).await.context("the server does not read any more")?;
        pipe.flush().await?;
        Ok(Open::new(None, vec![], line, incoming, None))
    }

    /// Closes the server's input and waits until it has gone; kills it when it stays.
    ///
    /// Whether it went by itself.
    pub(crate) async fn close(&self) -> Result<bool> {
        drop(self.stdin.lock().await.take());
        let mut child = self.child.lock().await;
        let gone = tokio::time::timeout(PATIENCE_AT_END, child.wait()).await;
        if gone.is_err() {
            child.kill().await?;
        }
        Ok(gone.is_ok())
    }

    /// `kill -9`.
    pub(crate) async fn kill(&self) -> Result<()> {
        Ok(self.child.lock().await.kill().await?)
    }
}

fn locked(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A response goes to its request, a subscription's message to the subscription, and everything else to the request
/// that was sent last: these checks do not let two requests ask back at the same time.
async fn route(routes: &Mutex<Routes>, message: Message, journal: &Journal) {
    let value = &message.value;
    let home = if message.is_response() { value.get("id") } else { value.pointer(SUBSCRIPTION) };
    let cancelled =
        (message.method() == "notifications/cancelled").then(|| value.pointer("/params/requestId")).flatten();
    if let Some(id) = cancelled {
        journal.cancelled(id.clone());
    }
    let sender = {
        let mut routes = locked(routes);
        if routes.in_session && home.is_none() && message.method().ends_with("/list_changed") {
            return;
        }
        let at = match home.or(cancelled) {
            Some(id) => routes.open.iter().position(|(open, _)| open == id),
            None => routes.open.len().checked_sub(1),
        };
        match at {
            Some(at) if message.is_response() => Some(routes.open.remove(at).1),
            Some(at) => Some(routes.open[at].1.clone()),
            None => None,
        }
    };
    match sender {
        // A receiver that was dropped has given up on this request.
        Some(sender) => drop(sender.send(message).await),
        None if value.get("id").is_some_and(Value::is_null) => journal.stray(message),
        None if cancelled.is_some() => {}
        None => journal.complain(format!("a message that belongs to no open request: {}", message.text)),
    }
}
