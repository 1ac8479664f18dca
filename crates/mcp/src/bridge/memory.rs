//! What a new daemon must be told: the surroundings, the handshake, and the requests without an answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{Hello, Message, RequestId};

/// What passed over a bridge and still matters.
pub(super) struct Memory {
    hello: Hello,
    /// The newest handshake.
    initialize: Option<(RequestId, Vec<u8>)>,
    /// The line by which the client confirmed it.
    initialized: Option<Vec<u8>>,
    /// Requests without an answer, oldest first.
    unanswered: Vec<(RequestId, Vec<u8>)>,
    /// The answer to a handshake that was repeated; the client has had one.
    swallowed: Option<RequestId>,
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
struct Cancelled<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: &'a RawValue,
}

impl Memory {
    /// Nothing passed yet.
    pub(super) fn new(hello: Hello) -> Self {
        Self { hello, initialize: None, initialized: None, unanswered: vec![], swallowed: None }
    }

    /// Notes a line of the client that was read as `message`; whether it wants an answer.
    pub(super) fn sent(&mut self, message: &Message<'_>, line: &[u8]) -> bool {
        match message {
            Message::Request(request) => {
                if request.method == "initialize" {
                    self.initialize = Some((request.id.clone(), line.to_vec()));
                    self.initialized = None;
                }
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
            Message::Response => false,
        }
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
        if self.swallowed.as_ref() == Some(&id) {
            self.swallowed = None;
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
        let answered = self.initialize.as_ref().filter(|(id, _)| self.unanswered.iter().all(|(other, _)| other != id));
        self.swallowed = answered.map(|(id, _)| id.clone());
        for line in answered.map(|(_, line)| line).into_iter().chain(&self.initialized) {
            add(line);
        }
        self.unanswered.iter().for_each(|(_, line)| add(line));
        lines
    }
}

/// Which request a line answers, if it is an answer.
fn answered(line: &[u8]) -> Option<RequestId> {
    let answer: Answer<'_> = serde_json::from_slice(line).ok()?;
    if answer.method.is_some() { None } else { RequestId::from_raw(answer.id?) }
}
