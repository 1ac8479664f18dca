//! What a new daemon must be told: the surroundings, the handshake, and the requests without an answer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{Hello, LegacyVersion, Message, Request, RequestId};

/// Wishes that are repeated after a connection was lost.
const TOLD_MAX: usize = 1000;

/// What passed over a bridge and still matters.
pub(super) struct Memory {
    hello: Hello,
    /// The newest handshake.
    initialize: Option<(RequestId, Vec<u8>)>,
    /// The line by which the client confirmed it.
    initialized: Option<Vec<u8>>,
    /// Requests without an answer, oldest first.
    unanswered: Vec<(RequestId, Vec<u8>)>,
    /// What the session was told to tell: the newest level, and the resources that are watched, by method and address.
    told: Vec<(String, RequestId, Vec<u8>)>,
    /// Answers to what was repeated; the client has had one of each.
    swallowed: Vec<RequestId>,
}

/// What is read of a line that the daemon sends.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Watched<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

/// What is read of a handshake.
#[derive(Deserialize)]
struct Shaken<'a> {
    #[serde(borrow)]
    params: Asked<'a>,
}

#[derive(Deserialize)]
struct Asked<'a> {
    #[serde(borrow, rename = "protocolVersion")]
    version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Cancelled<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: &'a RawValue,
}

impl Memory {
    /// Nothing passed yet.
    pub(super) fn new(hello: Hello) -> Self {
        Self { hello, initialize: None, initialized: None, unanswered: vec![], told: vec![], swallowed: vec![] }
    }

    /// Notes a line of the client that was read as `message`; whether it wants an answer.
    pub(super) fn sent(&mut self, message: &Message<'_>, line: &[u8]) -> bool {
        match message {
            Message::Request(request) => {
                if request.method == "initialize" {
                    self.initialize = Some((request.id.clone(), line.to_vec()));
                    self.initialized = None;
                    self.told.clear();
                }
                self.wishes(request, line);
                self.unanswered.push((request.id.clone(), line.to_vec()));
                true
            }
            Message::Notification(notification) => {
                match &*notification.method {
                    "notifications/initialized" => self.initialized = Some(line.to_vec()),
                    "notifications/cancelled" => self.cancelled(notification.params),
                    _ => {}
                }
                false
            }
            Message::Response(_) => false,
        }
    }

    /// Notes what the client wants to be told from now on, which only the connection knows.
    fn wishes(&mut self, request: &Request<'_>, line: &[u8]) {
        let uri = || request.params.and_then(|params| serde_json::from_str::<Watched<'_>>(params.get()).ok());
        let key = match (&*request.method, uri()) {
            ("logging/setLevel", _) => "level".to_owned(),
            ("resources/subscribe" | "resources/unsubscribe", Some(Watched { uri })) => format!("uri {uri}"),
            _ => return,
        };
        self.told.retain(|(known, ..)| *known != key);
        if request.method != "resources/unsubscribe" && self.told.len() < TOLD_MAX {
            self.told.push((key, request.id.clone(), line.to_vec()));
        }
    }

    /// Whether the client may send several messages in one array.
    pub(super) fn takes_batches(&self) -> bool {
        let initialize = self.initialize.as_ref().and_then(|(_, line)| serde_json::from_slice::<Shaken<'_>>(line).ok());
        initialize.is_some_and(|shaken| shaken.params.version == LegacyVersion::V2025_03_26.as_str())
    }

    /// A request that the client gave up gets no answer any more.
    fn cancelled(&mut self, params: Option<&RawValue>) {
        let cancelled = params.and_then(|params| serde_json::from_str::<Cancelled<'_>>(params.get()).ok());
        if let Some(id) = cancelled.and_then(|cancelled| RequestId::from_raw(cancelled.request_id)) {
            self.unanswered.retain(|(other, _)| *other != id);
        }
    }

    /// Notes a line of the daemon; whether the client is to have it.
    pub(super) fn received(&mut self, line: &[u8]) -> bool {
        let Some(id) = answered(line) else { return true };
        if let Some(at) = self.swallowed.iter().position(|swallowed| *swallowed == id) {
            self.swallowed.swap_remove(at);
            return false;
        }
        self.unanswered.retain(|(other, _)| *other != id);
        true
    }

    /// Whether the client waits for anything.
    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// The requests without an answer; they are answered by the caller.
    pub(super) fn take_unanswered(&mut self) -> Vec<RequestId> {
        std::mem::take(&mut self.unanswered).into_iter().map(|(id, _)| id).collect()
    }

    /// All that a new connection begins with, as whole lines.
    pub(super) fn replay(&mut self) -> Vec<u8> {
        let mut lines = self.hello.to_line();
        let mut add = |line: &[u8]| {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        };
        let is_answered = |id: &RequestId| self.unanswered.iter().all(|(other, _)| other != id);
        let answered = self.initialize.as_ref().filter(|(id, _)| is_answered(id));
        let told: Vec<_> = self.told.iter().filter(|(_, id, _)| is_answered(id)).collect();
        self.swallowed =
            answered.map(|(id, _)| id).into_iter().chain(told.iter().map(|(_, id, _)| id)).cloned().collect();
        for line in answered.map(|(_, line)| line).into_iter().chain(&self.initialized) {
            add(line);
        }
        told.iter().for_each(|(_, _, line)| add(line));
        self.unanswered.iter().for_each(|(_, line)| add(line));
        lines
    }
}

/// Which request a line answers, if it is an answer.
fn answered(line: &[u8]) -> Option<RequestId> {
    let answer: Answer<'_> = serde_json::from_slice(line).ok()?;
    if answer.method.is_some() { None } else { RequestId::from_raw(answer.id?) }
}
