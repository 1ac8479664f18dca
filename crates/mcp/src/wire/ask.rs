//! What a server may ask of a client: a request of its own in the legacy era, part of a result in the modern one.

use serde_json::{Value, json};

use super::error::{ErrorCode, RpcError};

/// Kinds of questions. Source: MCP 2025-11-25 and 2026-07-28, client features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, feature = "fixture")),
    expect(dead_code, reason = "our own tools ask by forms alone; the suite asks all of it")
)]
pub(crate) enum AskKind {
    /// A form for the user.
    Form,
    /// A page for the user to open.
    Url,
    /// A message for the client's model.
    Sampling,
    /// The folders that the client works in.
    Roots,
}

impl AskKind {
    /// The method.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Form | Self::Url => "elicitation/create",
            Self::Sampling => "sampling/createMessage",
            Self::Roots => "roots/list",
        }
    }

    /// The capability that a client must have declared.
    pub(crate) fn required(self) -> Value {
        match self {
            Self::Form => json!({ "elicitation": { "form": {} } }),
            Self::Url => json!({ "elicitation": { "url": {} } }),
            Self::Sampling => json!({ "sampling": {} }),
            Self::Roots => json!({ "roots": {} }),
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ask {
    /// Its kind.
    pub(crate) kind: AskKind,
    /// What exactly.
    pub(crate) params: Value,
}

impl Ask {
    /// A form with `message` above it and the fields of `schema`, a flat object.
    pub(crate) fn form(message: &str, schema: &Value) -> Self {
        Self { kind: AskKind::Form, params: json!({ "message": message, "requestedSchema": schema }) }
    }

    /// The question as a request without an id.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "method": self.kind.method(), "params": self.params })
    }
}

/// Why a client gave no answer to a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AskError {
    /// It did not declare that it can be asked that.
    NotDeclared(AskKind),
    /// Its era or its connection knows no requests from here.
    NoWay,
    /// It has too many questions to answer already.
    TooMany,
    /// It left.
    Gone,
    /// It answered with an error: number and sentence.
    Refused(i64, String),
}

impl From<AskError> for RpcError {
    fn from(error: AskError) -> Self {
        let internal = |message: &str| Self::new(ErrorCode::Internal, message);
        match error {
            AskError::NotDeclared(kind) => Self::missing_capability(kind.method(), &kind.required()),
            AskError::NoWay => internal("the client must be asked, and this connection has no way to do so"),
            AskError::TooMany => internal("the client has too many questions to answer already: answer some first"),
            AskError::Gone => internal("the client left before it answered a question"),
            AskError::Refused(code, message) => {
                internal(&format!("the client refused to answer a question: {message} ({code})"))
            }
        }
    }
}
