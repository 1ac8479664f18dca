//! Answers and notifications, made by splicing.

use serde::Serialize;
use serde_json::value::RawValue;

use super::ask::Ask;
use super::error::RpcError;
use super::message::RequestId;
use super::version::Era;

/// Room for what is put around an object: more than that takes, but for members of `_meta` that a tool adds.
const DRESS_BYTES: usize = 200;

/// How long and by whom a result may be kept. Source: MCP 2026-07-28, caching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheHint {
    /// Milliseconds for which the result stays good.
    pub(crate) ttl_ms: u64,
    /// Whether it is the same for every caller.
    pub(crate) public: bool,
}

/// The result of a method: an object, not yet dressed for an era.
#[derive(Clone, Debug)]
pub(crate) struct ResultBody {
    object: String,
    cache: Option<CacheHint>,
    /// Discriminator for modern callers.
    kind: &'static str,
    /// Members of `_meta`, as JSON.
    meta: Vec<(&'static str, String)>,
}

impl ResultBody {
    /// The result that `value` serialises to, which must be an object.
    ///
    /// # Errors
    /// Internal error if it cannot be written as JSON.
    pub(crate) fn new(value: &impl Serialize) -> Result<Self, RpcError> {
        let object = serde_json::to_string(value).map_err(|error| {
            RpcError::new(super::ErrorCode::Internal, format!("the result cannot be written: {error}"))
        })?;
        Ok(Self { object, cache: None, kind: "complete", meta: vec![] })
    }

    /// Makes it a result of another kind than `complete`.
    pub(crate) fn of_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a member to `_meta`.
    pub(crate) fn with_meta(mut self, name: &'static str, json: impl Into<String>) -> Self {
        self.meta.push((name, json.into()));
        self
    }

    /// Adds for how long modern callers may keep it.
    pub(crate) fn cached(mut self, hint: CacheHint) -> Self {
        self.cache = Some(hint);
        self
    }

    /// The result as a caller of that era gets it: bare, or with discriminator, server info and cache hints.
    pub(crate) fn dressed(self, era: Era, server_info: &str) -> String {
        let mut dressed = String::with_capacity(self.object.len() + server_info.len() + DRESS_BYTES);
        self.dress(&mut dressed, era, server_info);
        dressed
    }

    fn dress(&self, out: &mut String, era: Era, server_info: &str) {
        let modern = era == Era::Modern;
        let own = modern.then_some(("io.modelcontextprotocol/serverInfo", server_info));
        let meta = self.meta.iter().map(|(name, json)| (*name, json.as_str())).chain(own);
        out.push('{');
        if modern {
            *out += r#""resultType":""#;
            *out += self.kind;
            *out += r#"","#;
        }
        if let Some(hint) = self.cache.filter(|_| modern) {
            let scope = if hint.public { "public" } else { "private" };
            *out += &format!(r#""ttlMs":{},"cacheScope":"{scope}","#, hint.ttl_ms);
        }
        for (number, (name, json)) in meta.enumerate() {
            *out += if number == 0 { r#""_meta":{""# } else { r#",""# };
            *out += name;
            *out += r#"":"#;
            *out += json;
        }
        let members = self.object.strip_prefix('{').unwrap_or("}");
        if modern || !self.meta.is_empty() {
            *out += if members == "}" { "}" } else { "}," };
        }
        *out += members;
    }
}

/// The whole answer to one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message, one line of JSON without the newline.
    pub message: String,
    /// The error in it, if it is one.
    pub(crate) error: Option<RpcError>,
}

impl Reply {
    /// The answer to request `id`.
    pub(crate) fn new(id: &RequestId, era: Era, server_info: &str, result: Result<ResultBody, RpcError>) -> Self {
        match result {
            Ok(body) => {
                let id = id.as_json();
                let length = body.object.len() + id.len() + server_info.len() + DRESS_BYTES;
                let mut message = String::with_capacity(length);
                message += r#"{"jsonrpc":"2.0","id":"#;
                message += id;
                message += r#","result":"#;
                body.dress(&mut message, era, server_info);
                message.push('}');
                Self { message, error: None }
            }
            Err(error) => Self::failed(Some(id), error),
        }
    }

    /// The answers to a batch.
    pub(crate) fn of_batch(messages: &[String]) -> Self {
        Self { message: format!("[{}]", messages.join(",")), error: None }
    }

    /// The error that answers request `id`, or a message whose id could not be read.
    pub(crate) fn failed(id: Option<&RequestId>, error: RpcError) -> Self {
        let id = id.map_or("null", RequestId::as_json);
        let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{}}}"#, error.to_json());
        Self { message, error: Some(error) }
    }
}

/// A notification as one line of JSON.
pub(crate) fn notification(method: &str, params: &RawValue) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{}}}"#, params.get())
}

/// A question to a client as one line of JSON. `id` needs no escaping.
pub(crate) fn request(id: &str, ask: &Ask) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{}","params":{}}}"#, ask.kind.method(), ask.params)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{LegacyVersion, Message};

    fn id(raw: &str) -> RequestId {
        let line = format!(r#"{{"jsonrpc":"2.0","id":{raw},"method":"a"}}"#);
        match Message::parse(line.as_bytes()) {
            Ok(Message::Request(request)) => request.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn modern_results_are_dressed_and_legacy_ones_are_not() {
        let body = |value: Value| ResultBody::new(&value).unwrap();
        let legacy = Era::Legacy(LegacyVersion::NEWEST);
        let reply = Reply::new(&id("\"7\""), legacy, "{}", Ok(body(json!({ "a": 1 }))));
        assert_eq!(reply.message, r#"{"jsonrpc":"2.0","id":"7","result":{"a":1}}"#);
        let hint = CacheHint { ttl_ms: 5, public: false };
        for (value, rest) in [(json!({ "a": 1 }), json!({ "a": 1 })), (json!({}), json!({}))] {
            let reply = Reply::new(&id("7"), Era::Modern, r#"{"name":"n"}"#, Ok(body(value).cached(hint)));
            let mut parsed: Value = serde_json::from_str(&reply.message).unwrap();
            let result = parsed["result"].as_object_mut().unwrap();
            assert_eq!(result.remove("resultType"), Some(json!("complete")));
            assert_eq!(result.remove("ttlMs"), Some(json!(5)));
            assert_eq!(result.remove("cacheScope"), Some(json!("private")));
            let meta = json!({ "io.modelcontextprotocol/serverInfo": { "name": "n" } });
            assert_eq!(result.remove("_meta"), Some(meta));
            assert_eq!(parsed["result"], rest);
        }
    }
}
