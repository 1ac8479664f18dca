//! The envelope of a message, parsed no further than to know where it goes.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::MESSAGE_BYTES_MAX;
use super::error::{ErrorCode, RpcError};
use super::skimmed::skimmed_by;

/// Deepest nesting of arrays and objects in a message.
const DEPTH_MAX: usize = 100;
/// Longest request id, in bytes.
pub(super) const ID_BYTES_MAX: usize = 1024;

/// The id of a request exactly as it was written, so that a number stays that number and a string that string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(Box<str>);

impl RequestId {
    /// The id as JSON.
    pub(crate) fn as_json(&self) -> &str {
        &self.0
    }

    /// The id that `raw` holds; nothing if it is neither a string nor a number, or too long.
    pub(crate) fn from_raw(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        let number_or_string = text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
        (number_or_string && text.len() <= ID_BYTES_MAX).then(|| Self(text.into()))
    }
}

/// A message, borrowed from the bytes it came as.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// Wants an answer.
    Request(Request<'a>),
    /// Wants none.
    Notification(Notification<'a>),
    /// Answers a request of ours.
    Response(Response<'a>),
}

impl Message<'_> {
    /// The id that an answer would name.
    pub(crate) fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) | Self::Response(_) => None,
        }
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Names the answer.
    pub(crate) id: RequestId,
    /// What is asked for.
    pub(crate) method: Cow<'a, str>,
    /// An object, if there is one.
    pub(crate) params: Option<&'a RawValue>,
    /// Which of its bridge's requests it is, see [`super::in_turn`].
    pub(crate) turn: Option<u64>,
}

/// A notification.
#[derive(Debug)]
pub(crate) struct Notification<'a> {
    /// What happened.
    pub(crate) method: Cow<'a, str>,
    /// An object, if there is one.
    pub(crate) params: Option<&'a RawValue>,
}

/// An answer to a request of ours.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    /// The id of the request, if it has one.
    pub(crate) id: Option<&'a RawValue>,
    /// The result, or the error.
    pub(crate) outcome: Result<&'a RawValue, &'a RawValue>,
}

/// A message that cannot be read, with the id it had if that could be.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed {
    /// The id to answer to.
    pub(crate) id: Option<RequestId>,
    /// What is wrong.
    pub(crate) error: RpcError,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(rename = "dev.longshore/turn")]
    turn: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells a field that is null from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// What to answer: parse error for what is no JSON, invalid request for what is JSON and no message.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed { id: skimmed_by([bytes]), error: RpcError::too_long() });
        }
        let text = check(bytes).map_err(|error| Malformed { id: None, error })?;
        let envelope: Envelope<'a> =
            serde_json::from_str(text).map_err(|error| Malformed { id: None, error: unreadable(text, &error) })?;
        envelope.into_message()
    }
}

impl<'a> Envelope<'a> {
    fn into_message(self) -> Result<Message<'a>, Malformed> {
        let id = self.id.and_then(RequestId::from_raw);
        let invalid =
            |message: &str| Malformed { id: id.clone(), error: RpcError::envelope(ErrorCode::InvalidRequest, message) };
        if self.jsonrpc.as_deref() != Some("2.0") {
            return Err(invalid("`jsonrpc` must be \"2.0\""));
        }
        if let (None, Some(outcome)) = (&self.method, self.result.map(Ok).or(self.error.map(Err))) {
            return Ok(Message::Response(Response { id: self.id, outcome }));
        }
        let method = self.method.ok_or_else(|| invalid("`method` is missing"))?;
        let params = self.params;
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(invalid("`params` must be an object"));
        }
        match (self.id, id.clone()) {
            (None, _) => Ok(Message::Notification(Notification { method, params })),
            (Some(_), Some(id)) => Ok(Message::Request(Request { id, method, params, turn: self.turn })),
            (Some(_), None) => Err(invalid("`id` must be a number or a string of at most 1024 bytes")),
        }
    }
}

fn check(bytes: &[u8]) -> Result<&str, RpcError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| RpcError::envelope(ErrorCode::Parse, format!("the message is not UTF-8: {error}")))?;
    match depth(bytes) > DEPTH_MAX {
        true => Err(RpcError::envelope(
            ErrorCode::InvalidRequest,
            format!("the message is nested deeper than {DEPTH_MAX} levels"),
        )),
        false => Ok(text),
    }
}

/// The deepest nesting of arrays and objects; right for valid JSON, and no less than a parser would meet in other text.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for &byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn unreadable(text: &str, error: &serde_json::Error) -> RpcError {
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    match is_json {
        true if text.trim_start().starts_with('[') => RpcError::envelope(
            ErrorCode::InvalidRequest,
            "batches are taken in sessions of 2025-03-26 only: send each message by itself",
        ),
        true => RpcError::envelope(ErrorCode::InvalidRequest, format!("not a JSON-RPC message: {error}")),
        false => RpcError::envelope(ErrorCode::Parse, format!("the message is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(bytes: &[u8]) -> String {
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => format!("request {} {}", request.id.as_json(), request.method),
            Ok(Message::Notification(notification)) => format!("notification {}", notification.method),
            Ok(Message::Response(_)) => "response".into(),
            Err(bad) => {
                format!("{} id={}", bad.error.code.number(), bad.id.as_ref().map_or("null", RequestId::as_json))
            }
        }
    }

    #[test]
    fn messages_are_told_apart() {
        let table: &[(&[u8], &str)] = &[
            (br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1 ping"),
            (br#" {"jsonrpc":"2.0", "id" : "1" ,"method":"ping"} "#, r#"request "1" ping"#),
            (br#"{"jsonrpc":"2.0","id":-7,"method":"ping"}"#, "request -7 ping"),
            (
                br#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"a"}"#,
                "request 123456789012345678901234567890 a",
            ),
            (br#"{"jsonrpc":"2.0","id":1.50,"method":"a"}"#, "request 1.50 a"),
            (br#"{"jsonrpc":"2.0","method":"p\u0069ng"}"#, "notification ping"),
            (br#"{"jsonrpc":"2.0","id":1,"result":null}"#, "response"),
            (br#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, "response"),
            (br#"{"jsonrpc":"2.0","id":1,"method":"a","unknown":[1,{"x":2}]}"#, "request 1 a"),
            (br#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, "-32600 id=null"),
            (br#"{"jsonrpc":"2.0","id":{},"method":"a"}"#, "-32600 id=null"),
            (br#"{"jsonrpc":"2.0","id":true,"method":"a"}"#, "-32600 id=null"),
            (br#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, "-32600 id=1"),
            (br#"{"id":1,"method":"a"}"#, "-32600 id=1"),
            (br#"{"jsonrpc":"2.0","id":1}"#, "-32600 id=1"),
            (br#"{"jsonrpc":"2.0","id":1,"method":7}"#, "-32600 id=null"),
            (br#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#, "-32600 id=1"),
            (br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, "-32600 id=null"),
            (br#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, "-32600 id=null"),
            (b"[]", "-32600 id=null"),
            (b"7", "-32600 id=null"),
            (b"", "-32700 id=null"),
            (b"{", "-32700 id=null"),
            (b"hello", "-32700 id=null"),
            (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\xff\"}", "-32700 id=null"),
            (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\0\"}", "-32700 id=null"),
            (br#"{"jsonrpc":"2.0","id":1,"method":"a"} x"#, "-32700 id=null"),
        ];
        for (bytes, expected) in table {
            assert_eq!(summary(bytes), *expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn hostile_input_is_refused_without_harm() {
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}1{}}}"#,
            "[".repeat(99_999),
            "]".repeat(99_999)
        );
        assert_eq!(summary(deep.as_bytes()), "-32600 id=null");
        assert_eq!(summary("[".repeat(1_000_000).as_bytes()), "-32600 id=null");
        let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "a".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(summary(long.as_bytes()), "-32600 id=1");
        let long_id = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "1".repeat(2000));
        assert_eq!(summary(long_id.as_bytes()), "-32600 id=null");
        let lone = br#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#;
        assert_ne!(summary(lone), "request 1 \u{fffd}");
        let huge_number = br#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":1e999999999}}"#;
        assert_eq!(summary(huge_number), "request 1 a");
    }

    #[test]
    fn brackets_within_strings_are_no_nesting() {
        assert_eq!(depth(br#"{"a":"[[[\"[[","b":[{}]}"#), 3);
    }
}
