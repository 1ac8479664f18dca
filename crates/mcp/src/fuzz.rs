//! Doors for the fuzz targets in `fuzz/`: what no caller reaches directly, in plain types. Never part of a release.

use std::ops::RangeInclusive;
use std::time::Duration;

use longshore_domain::{Principal, Timestamp};
use serde_json::value::RawValue;

pub use crate::server::http::fuzz as http;
use crate::server::request_state::{Bound, Purpose};
use crate::wire::{Arguments, Hello, Message, Meta, RequestId, batch, skimmed_by};

/// A message as it was understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request.
    Request {
        /// Its id, as JSON.
        id: String,
        /// Its method.
        method: String,
        /// Whether it follows the stateless version; the error's number if `_meta` cannot be read.
        modern: Result<bool, i64>,
    },
    /// A notification.
    Notification,
    /// An answer to a request of ours.
    Response,
    /// Neither.
    Malformed {
        /// The id that the answer names.
        id: Option<String>,
        /// The error's number.
        code: i64,
    },
}

/// Reads one message.
pub fn parse(bytes: &[u8]) -> Parsed {
    match Message::parse(bytes) {
        Ok(Message::Request(request)) => Parsed::Request {
            id: request.id.as_json().to_owned(),
            method: request.method.into_owned(),
            modern: Meta::of(request.params).map(|meta| meta.is_modern(false)).map_err(|error| error.code.number()),
        },
        Ok(Message::Notification(_)) => Parsed::Notification,
        Ok(Message::Response(_)) => Parsed::Response,
        Err(malformed) => Parsed::Malformed {
            id: malformed.id.as_ref().map(RequestId::as_json).map(str::to_owned),
            code: malformed.error.code.number(),
        },
    }
}

/// The id that is found in a message when it is read in pieces of that length, as one that is too long is.
pub fn skimmed(bytes: &[u8], piece: usize) -> Option<String> {
    skimmed_by(bytes.chunks(piece.max(1))).map(|id| id.as_json().to_owned())
}

/// Whether a bridge says hello by that line.
pub fn is_hello(line: &[u8]) -> bool {
    Hello::parse(line).is_some()
}

/// The messages of a batch; nothing if the bytes do not look like one, else they or the error's number.
pub fn batched(bytes: &[u8]) -> Option<Result<Vec<String>, i64>> {
    let owned = |messages: Vec<&RawValue>| messages.into_iter().map(|message| message.get().to_owned()).collect();
    batch(bytes).map(|found| found.map(owned).map_err(|error| error.code.number()))
}

/// What was read of arguments with the names `text`, `flag`, `integer`, `seconds`, `texts` and `map`.
#[derive(Debug, PartialEq)]
pub struct ArgumentsRead {
    /// The whole number within the range.
    pub integer: Option<u64>,
    /// The length of at most the maximum.
    pub seconds: Option<Duration>,
    /// How many texts there were.
    pub texts: usize,
    /// How many named texts there were.
    pub map: usize,
}

/// Reads arguments of every type.
///
/// # Errors
/// The message of the fault.
pub fn arguments(raw: &RawValue, range: RangeInclusive<u64>, max: Duration) -> Result<ArgumentsRead, String> {
    let read = || {
        let found = Arguments::parse(Some(raw), &["text", "flag", "integer", "seconds", "texts", "map"])?;
        found.text("text")?;
        found.flag("flag")?;
        Ok(ArgumentsRead {
            integer: found.integer("integer", range)?,
            seconds: found.seconds("seconds", max)?,
            texts: found.texts("texts")?.len(),
            map: found.map("map")?.len(),
        })
    };
    read().map_err(|fault: longshore_domain::Fault| fault.message)
}

/// The call that a request state belongs to.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    /// What it is for.
    pub purpose: &'static str,
    /// Who calls.
    pub principal: &'a Principal,
    /// The method.
    pub method: &'a str,
    /// The parameters.
    pub params: Option<&'a RawValue>,
}

impl State<'_> {
    fn bound(&self) -> Bound<'_> {
        let Self { purpose, principal, method, params } = *self;
        Bound { purpose: Purpose(purpose), principal, method, params }
    }

    /// A state that holds `content`; nothing if it cannot be made.
    pub fn seal(&self, key: &[u8; 32], content: &RawValue, now: Timestamp, lifetime: Duration) -> Option<String> {
        self.bound().seal(key, &content, now, lifetime).ok()
    }

    /// What a state holds.
    ///
    /// # Errors
    /// The message of the error.
    pub fn open(&self, key: &[u8; 32], state: &str, now: Timestamp) -> Result<Box<RawValue>, String> {
        self.bound().open(key, state, now).map_err(|error| error.message)
    }
}
