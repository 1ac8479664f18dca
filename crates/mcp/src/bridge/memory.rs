//! What a new daemon must be told: the surroundings, the handshake, the requests without an answer, and what the client
//! wants to be told. And what of the new daemon's words the client has heard before.

use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::batches::Batches;
use super::questions::Questions;
use super::shapes::{Acknowledged, Answer, Shaken, Watched, cancelled};
use crate::wire::{Hello, LegacyVersion, MESSAGE_BYTES_MAX, Message, Request, RequestId, in_turn, notification};

/// Wishes that are repeated after a connection was lost.
const WISHES_MAX: usize = 1000;

/// Names the listen that a notification belongs to.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What passed over a bridge and still matters.
pub(super) struct Memory {
    hello: Hello,
    /// The newest handshake.
    initialize: Option<(RequestId, Vec<u8>)>,
    /// The line by which the client confirmed it.
    initialized: Option<Vec<u8>>,
    /// Requests without an answer, oldest first.
    unanswered: Vec<Unanswered>,
    /// Requests so far.
    turns: u64,
    /// What the client wants to be told of: the newest level, and the resources that it watches.
    wishes: Vec<Wish>,
    /// Answers to what was repeated; the client has had one of each. With what may have changed meanwhile.
    swallowed: Vec<(RequestId, Option<Missed>)>,
    /// Listens that the client knows to be open.
    listens: Vec<RequestId>,
    /// Batches without their answer.
    pub(super) batches: Batches,
    /// Questions without their answer.
    pub(super) questions: Questions,
}

/// A request without an answer.
struct Unanswered {
    id: RequestId,
    turn: u64,
    /// As it went to the daemon.
    line: Vec<u8>,
}

/// A request that holds until the session ends.
struct Wish {
    about: About,
    id: RequestId,
    line: Vec<u8>,
}

#[derive(PartialEq)]
enum About {
    Level,
    Resource(String),
}

/// What follows from a line of the client.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Lines for the daemon.
    pub(super) onward: Vec<Vec<u8>>,
    /// One of them wants an answer.
    pub(super) wants_answer: bool,
    /// Lines for the client.
    pub(super) back: Vec<Vec<u8>>,
}

/// What the client is to have for a line of the daemon.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Lines, the daemon's or others in its place.
    pub(super) lines: Vec<Vec<u8>>,
    /// It answers a request of the client.
    pub(super) answers: bool,
}

/// What may have changed while the daemon was away.
#[derive(Clone, Debug)]
enum Missed {
    /// Which resources there are.
    List,
    /// The resource at that address.
    Resource(String),
}

impl Memory {
    /// Nothing passed yet.
    pub(super) fn new(hello: Hello) -> Self {
        Self {
            hello,
            initialize: None,
            initialized: None,
            unanswered: vec![],
            turns: 0,
            wishes: vec![],
            swallowed: vec![],
            listens: vec![],
            batches: Batches::default(),
            questions: Questions::default(),
        }
    }

    /// Notes a message of the client, with its text.
    pub(super) fn sent(&mut self, message: &Message<'_>, line: &[u8]) -> Noted {
        let mut noted = Noted { onward: vec![line.to_vec()], ..Noted::default() };
        match message {
            Message::Request(request) => {
                if request.method == "initialize" {
                    self.initialize = Some((request.id.clone(), line.to_vec()));
                    self.initialized = None;
                    self.wishes.clear();
                }
                self.wished(request, line);
                noted.onward = vec![self.asked(request, line)];
                noted.wants_answer = true;
            }
            Message::Notification(notification) => match &*notification.method {
                "notifications/initialized" => self.initialized = Some(line.to_vec()),
                "notifications/cancelled" => noted.back.extend(self.cancelled(notification.params)),
                _ => {}
            },
            Message::Response(response) => {
                let id = response.id.and_then(RequestId::from_raw);
                id.iter().for_each(|id| self.questions.closed(id));
            }
        }
        noted
    }

    /// Notes a request. Its line, which counts a call that has room for it: it must be told from others of its id.
    fn asked(&mut self, request: &Request<'_>, line: &[u8]) -> Vec<u8> {
        self.turns += 1;
        // What is said twice before its answer is the same request.
        let earlier = self.unanswered.iter().find(|other| other.id == request.id);
        let turn = earlier.map_or(self.turns, |earlier| earlier.turn);
        let counted = (request.method == "tools/call").then(|| in_turn(line, turn));
        let counted = counted.filter(|counted| counted.len() <= MESSAGE_BYTES_MAX);
        let line = counted.unwrap_or_else(|| line.to_vec());
        self.unanswered.push(Unanswered { id: request.id.clone(), turn, line: line.clone() });
        line
    }

    /// Notes what the client wants to be told from now on, which only the connection knows.
    fn wished(&mut self, request: &Request<'_>, line: &[u8]) {
        let uri = || request.params.and_then(|params| serde_json::from_str::<Watched<'_>>(params.get()).ok());
        let about = match (&*request.method, uri()) {
            ("logging/setLevel", _) => About::Level,
            ("resources/subscribe" | "resources/unsubscribe", Some(Watched { uri })) => {
                About::Resource(uri.into_owned())
            }
            _ => return,
        };
        self.wishes.retain(|wish| wish.about != about);
        if request.method != "resources/unsubscribe" && self.wishes.len() < WISHES_MAX {
            self.wishes.push(Wish { about, id: request.id.clone(), line: line.to_vec() });
        }
    }

    /// Whether the client may send several messages in one array.
    pub(super) fn takes_batches(&self) -> bool {
        let initialize = self.initialize.as_ref().and_then(|(_, line)| serde_json::from_slice::<Shaken<'_>>(line).ok());
        initialize.is_some_and(|shaken| shaken.params.version == LegacyVersion::V2025_03_26.as_str())
    }

    /// A request that the client gave up gets no answer any more. What its batch is answered by, if it was the last.
    fn cancelled(&mut self, params: Option<&RawValue>) -> Option<Vec<u8>> {
        let id = cancelled(params)?;
        self.is_over(&id);
        self.batches.given_up(&id)
    }

    /// Nothing more is owed for this request.
    fn is_over(&mut self, id: &RequestId) {
        self.unanswered.retain(|other| other.id != *id);
        self.listens.retain(|other| other != id);
    }

    /// Notes a line of the daemon, and what the client is to have for it.
    pub(super) fn received(&mut self, line: Vec<u8>) -> Heard {
        let Ok(Answer { id, method, params, error }) = serde_json::from_slice(&line) else { return Heard::of(line) };
        match (method, id.and_then(RequestId::from_raw)) {
            (None, Some(id)) => {
                if error.is_some() {
                    self.wishes.retain(|wish| wish.id != id);
                }
                match self.swallowed.iter().position(|(swallowed, _)| *swallowed == id) {
                    Some(at) => Heard::changes(self.swallowed.swap_remove(at).1, None),
                    None => {
                        self.is_over(&id);
                        Heard { lines: self.batches.answered(&id, line).into_iter().collect(), answers: true }
                    }
                }
            }
            (Some(method), _) if method == "notifications/subscriptions/acknowledged" => {
                self.acknowledged(params).unwrap_or_else(|| Heard::of(line))
            }
            (Some(_), Some(id)) => {
                self.questions.asked(id);
                Heard::of(line)
            }
            (Some(method), None) if method == "notifications/cancelled" => {
                cancelled(params).iter().for_each(|id| self.questions.closed(id));
                Heard::of(line)
            }
            _ => Heard::of(line),
        }
    }

    /// The acknowledgement of a listen is for the client once; later it learns which resources may have changed. Tasks
    /// are told as they stand by the daemon itself.
    fn acknowledged(&mut self, params: Option<&RawValue>) -> Option<Heard> {
        let Acknowledged { meta, notifications } = serde_json::from_str(params?.get()).ok()?;
        let id = RequestId::from_raw(meta.id)?;
        if !self.listens.contains(&id) {
            self.listens.extend(Some(id).filter(|id| self.unanswered.iter().any(|other| other.id == *id)));
            return None;
        }
        let list = notifications.resources_list_changed.then_some(Missed::List);
        let resources = notifications.resource_subscriptions.into_iter().map(|uri| Missed::Resource(uri.into_owned()));
        Some(Heard::changes(list.into_iter().chain(resources), Some(meta.id)))
    }

    /// Whether the client waits for anything.
    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Whether the client wants to be told anything beside answers.
    pub(super) fn has_wishes(&self) -> bool {
        !self.wishes.is_empty()
    }

    /// Answers every request that has none. What the client is to have.
    pub(super) fn give_up(&mut self, answer: impl Fn(&RequestId) -> Vec<u8>) -> Vec<Vec<u8>> {
        self.listens.clear();
        let unanswered = std::mem::take(&mut self.unanswered);
        unanswered.into_iter().filter_map(|request| self.batches.answered(&request.id, answer(&request.id))).collect()
    }

    /// All that a new connection begins with, as whole lines.
    pub(super) fn replay(&mut self) -> Vec<u8> {
        let mut lines = self.hello.to_line();
        let mut add = |line: &[u8]| {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        };
        let is_answered = |id: &RequestId| self.unanswered.iter().all(|other| other.id != *id);
        let shaken = self.initialize.as_ref().filter(|(id, _)| is_answered(id));
        let wishes: Vec<&Wish> = self.wishes.iter().filter(|wish| is_answered(&wish.id)).collect();
        let swallowed = shaken.map(|(id, _)| (id.clone(), Some(Missed::List))).into_iter();
        self.swallowed = swallowed.chain(wishes.iter().map(|wish| (wish.id.clone(), wish.missed()))).collect();
        for line in shaken.map(|(_, line)| line).into_iter().chain(&self.initialized) {
            add(line);
        }
        wishes.iter().for_each(|wish| add(&wish.line));
        self.unanswered.iter().for_each(|request| add(&request.line));
        lines
    }
}

impl Wish {
    fn missed(&self) -> Option<Missed> {
        match &self.about {
            About::Level => None,
            About::Resource(uri) => Some(Missed::Resource(uri.clone())),
        }
    }
}

impl Noted {
    /// What follows from one more message of the line.
    pub(super) fn add(&mut self, more: Self) {
        self.onward.extend(more.onward);
        self.wants_answer |= more.wants_answer;
        self.back.extend(more.back);
    }
}

impl Heard {
    /// The line itself.
    fn of(line: Vec<u8>) -> Self {
        Self { lines: vec![line], answers: false }
    }

    /// That these may have changed, told on `subscription` if it is one.
    fn changes(missed: impl IntoIterator<Item = Missed>, subscription: Option<&RawValue>) -> Self {
        let told = |missed: Missed| {
            let (method, mut params) = match missed {
                Missed::List => ("notifications/resources/list_changed", json!({})),
                Missed::Resource(uri) => ("notifications/resources/updated", json!({ "uri": uri })),
            };
            if let Some(id) = subscription {
                params["_meta"] = json!({ SUBSCRIPTION: id });
            }
            let params = to_raw_value(&params).ok()?;
            Some(notification(method, &params).into_bytes())
        };
        Self { lines: missed.into_iter().filter_map(told).collect(), answers: false }
    }
}
