//! Errors of the protocol itself, as opposed to results that report a failure.

use std::time::Duration;

use longshore_domain::{FaultCode, Scope};
use serde_json::{Value, json};

use super::MESSAGE_BYTES_MAX;
use super::version::{Era, MODERN};

/// Kinds of JSON-RPC errors. Source: JSON-RPC 2.0 section 5.1; MCP 2026-07-28, basic; MCP 2025-11-25, resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// Not JSON.
    Parse,
    /// JSON, but no message.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The method's parameters cannot be used.
    InvalidParams,
    /// A bug or an unreachable daemon.
    Internal,
    /// An HTTP header does not say what the body says.
    HeaderMismatch,
    /// The request needs something that its client did not declare.
    MissingCapability,
    /// A modern version that is not spoken here.
    UnsupportedVersion,
    /// The caller's token does not allow it.
    InsufficientScope(Scope),
    /// More requests than the limit allows.
    RateLimited,
    /// No such resource; its number depends on the era.
    ResourceNotFound(Era),
}

impl ErrorCode {
    /// The number on the wire.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams | Self::ResourceNotFound(Era::Modern) => -32602,
            Self::Internal => -32603,
            Self::HeaderMismatch => -32020,
            Self::MissingCapability => -32021,
            Self::UnsupportedVersion => -32022,
            Self::ResourceNotFound(Era::Legacy(_)) => -32002,
            // Of our own, and so outside of what JSON-RPC reserves: the HTTP statuses.
            Self::InsufficientScope(_) => 403,
            Self::RateLimited => 429,
        }
    }
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RpcError {
    /// Its kind.
    pub(crate) code: ErrorCode,
    /// A sentence: what happened, and what to do.
    pub(crate) message: String,
    /// More for programs.
    pub(crate) data: Option<Value>,
    /// The request never reached a method, so that over HTTP the status says so too.
    pub(crate) of_envelope: bool,
}

impl RpcError {
    /// An error of a method.
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, of_envelope: false }
    }

    /// An error of the envelope, found before any method ran.
    pub(crate) fn envelope(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { of_envelope: true, ..Self::new(code, message) }
    }

    /// Adds what programs can act on.
    pub(crate) fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The answer to a message that is too long.
    pub(crate) fn too_long() -> Self {
        let message = format!(
            "the message is longer than {MESSAGE_BYTES_MAX} bytes and was skipped: write large input to a file and give \
             its path"
        );
        Self::envelope(ErrorCode::InvalidRequest, message)
    }

    /// The answer to a method that does not exist in the caller's era.
    pub(crate) fn method_not_found(method: &str) -> Self {
        let shown: String = method.chars().take(80).filter(|c| !c.is_control()).collect();
        Self::envelope(ErrorCode::MethodNotFound, format!("there is no method `{shown}`"))
    }

    /// The answer to a caller whose token lacks `scope`.
    pub(crate) fn insufficient_scope(scope: Scope) -> Self {
        Self::new(ErrorCode::InsufficientScope(scope), format!("the token does not allow `{scope}`")).with_data(json!({
            "code": FaultCode::Forbidden,
            "scope": scope.as_str(),
            "next": "use a token with that scope",
            "retryable": false,
        }))
    }

    /// The answer to a caller who asks too often and may ask again after `pause`.
    pub(crate) fn rate_limited(pause: Duration) -> Self {
        let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::envelope(ErrorCode::RateLimited, format!("too many requests: ask again in {ms} ms")).with_data(json!({
            "code": FaultCode::RateLimited,
            "retryAfterMs": ms,
            "retryable": true,
        }))
    }

    /// The answer to a caller who has so many open of something that one more would take it from others.
    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        Self::envelope(ErrorCode::RateLimited, message)
            .with_data(json!({ "code": FaultCode::RateLimited, "retryable": true }))
    }

    /// The answer to a version that is not spoken here.
    pub(crate) fn unsupported_version(requested: &str) -> Self {
        let requested: String = requested.chars().take(80).collect();
        Self::envelope(ErrorCode::UnsupportedVersion, format!("protocol version {requested} is not supported"))
            .with_data(json!({ "supported": [MODERN], "requested": requested }))
    }

    /// The answer to a request that its client's capabilities do not suffice for. `required` has the form of client
    /// capabilities.
    pub(crate) fn missing_capability(what: &str, required: &Value) -> Self {
        let message = format!("this needs `{what}`, which the client did not declare: {required}");
        Self::envelope(ErrorCode::MissingCapability, message).with_data(json!({ "requiredCapabilities": required }))
    }

    /// The error object.
    pub(crate) fn to_json(&self) -> String {
        let mut object = json!({ "code": self.code.number(), "message": self.message });
        if let Some(data) = &self.data {
            object["data"] = data.clone();
        }
        object.to_string()
    }
}
