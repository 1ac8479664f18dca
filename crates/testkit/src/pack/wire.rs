//! A connection to the server under test, whichever transport it is, and what one request brought.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::http::Http;
use super::journal::Journal;
use super::message::{Era, Message, faults, status_fault};
use super::stdio::Pipe;

/// Messages of one request that may wait to be read.
pub(crate) const MESSAGES_MAX: usize = 1024;
/// How long a stream may stay open after its response, and a process after its input ended.
pub(crate) const PATIENCE_AT_END: Duration = Duration::from_secs(20);
/// Characters of an exchange that a report shows.
const SHOWN_MAX: usize = 1200;

/// A reader that ends with its request.
pub(crate) struct Owned(pub(crate) JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that was sent. Dropping it hangs up.
pub(crate) struct Open {
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) sent: String,
    incoming: mpsc::Receiver<Message>,
    reader: Option<Owned>,
}

impl Open {
    pub(crate) fn new(
        status: Option<u16>,
        headers: Vec<(String, String)>,
        sent: String,
        incoming: mpsc::Receiver<Message>,
        reader: Option<Owned>,
    ) -> Open {
        Open { status, headers, sent, incoming, reader }
    }

    /// The next message; `None` when the stream has ended.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Option<Message>> {
        let waited = tokio::time::timeout(patience, self.incoming.recv()).await;
        waited.map_err(|_| anyhow!("nothing came within {} s after {}", patience.as_secs(), short(&self.sent)))
    }

    /// A message that is already there.
    pub(crate) fn waiting(&mut self) -> Option<Message> {
        self.incoming.try_recv().ok()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// Everything that one request brought.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) sent: String,
    pub(crate) status: Option<u16>,
    /// What came before the response on the same stream.
    pub(crate) before: Vec<Message>,
    /// The response; absent when the stream ended without one.
    pub(crate) reply: Option<Message>,
}

impl Exchange {
    /// # Errors
    /// There is no result.
    pub(crate) fn result(&self) -> Result<&Value> {
        let reply = self.reply.as_ref().ok_or_else(|| self.fault("no response came"))?;
        reply.value.get("result").ok_or_else(|| self.fault("the response is no result"))
    }

    /// # Errors
    /// There is no error with this code.
    pub(crate) fn error(&self, code: i64) -> Result<&Value> {
        let error = self.any_error()?;
        ensure!(error["code"] == code, self.fault(&format!("the error's code is not {code}")));
        Ok(error)
    }

    /// # Errors
    /// There is no error.
    pub(crate) fn any_error(&self) -> Result<&Value> {
        let reply = self.reply.as_ref().ok_or_else(|| self.fault("no response came"))?;
        reply.value.get("error").ok_or_else(|| self.fault("the response is no error"))
    }

    pub(crate) fn text(&self) -> &str {
        self.reply.as_ref().map_or("", |reply| &reply.text)
    }

    pub(crate) fn ensure(&self, holds: bool, wrong: &str) -> Result<()> {
        if holds { Ok(()) } else { Err(self.fault(wrong)) }
    }

    /// The outcome of a check of this exchange, with the exchange where it failed.
    pub(crate) fn judge<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| self.fault(&error.to_string()))
    }

    /// What is wrong, and where it can be seen.
    pub(crate) fn fault(&self, wrong: &str) -> anyhow::Error {
        let status = self.status.map_or(String::new(), |status| format!("HTTP {status} "));
        let before: String = self.before.iter().map(|message| format!("\n      <- {}", short(&message.text))).collect();
        let reply = self.reply.as_ref().map_or("nothing", |reply| reply.text.as_str());
        anyhow!("{wrong}\n      -> {}{before}\n      <- {status}{}", short(&self.sent), short(reply))
    }
}

/// As much of a message as a report can bear.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

/// One line to the server: a process, or an endpoint as one owner.
#[derive(Clone)]
pub(crate) enum Wire {
    Http(Http),
    Stdio(Arc<Pipe>),
}

/// A wire with the rules for every message on it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) wire: Wire,
    pub(crate) journal: Journal,
    pub(crate) patience: Duration,
    /// Commands stand for the fixture's work.
    pub(crate) commands: bool,
}

impl Line {
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.wire, Wire::Http(_))
    }

    /// Sends `text`, with these HTTP headers beside the usual ones; does not wait for an answer.
    pub(crate) async fn send(
        &self,
        id: Option<&Value>,
        text: String,
        headers: &[(String, Option<String>)],
    ) -> Result<Open> {
        let sending = async {
            match &self.wire {
                Wire::Http(http) => http.send("POST", headers, text).await,
                Wire::Stdio(pipe) => pipe.send(id, text).await,
            }
        };
        match tokio::time::timeout(self.patience, sending).await {
            Ok(sent) => sent,
            Err(_) => bail!("nothing came within {} s", self.patience.as_secs()),
        }
    }

    /// Reads until the response and the end of its stream.
    pub(crate) async fn finish(&self, mut open: Open, id: &Value, era: Era) -> Result<Exchange> {
        let mut before = vec![];
        let mut reply = None;
        while let Some(message) = open.next(self.patience).await? {
            self.judge(&message, era, id, open.status);
            if message.is_response() || message.value.get("method").is_none() {
                reply = Some(message);
                break;
            }
            before.push(message);
        }
        if self.is_http() && reply.is_some() {
            while let Some(late) = open.next(PATIENCE_AT_END).await? {
                self.journal.complain(format!("came after the response: {}", short(&late.text)));
            }
        }
        let Open { status, sent, reader, .. } = open;
        // The reader has nothing left to do but to hand its connection back.
        if let Some(mut reader) = reader.filter(|_| reply.is_some()) {
            drop((&mut reader.0).await);
        }
        Ok(Exchange { sent, status, before, reply })
    }

    /// Notes what is wrong with any message of an exchange.
    pub(crate) fn judge(&self, message: &Message, era: Era, id: &Value, status: Option<u16>) {
        for fault in faults(&message.value, era, id) {
            self.journal.complain(format!("{fault}: {}", short(&message.text)));
        }
        if let Some(fault) = status
            .filter(|_| era == Era::Modern && message.is_response())
            .and_then(|status| status_fault(&message.value, status))
        {
            self.journal.complain(format!("{fault}: {}", short(&message.text)));
        }
    }
}
