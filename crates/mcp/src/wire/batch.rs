//! Several messages in one array, which 2025-03-26 demands to be taken and no other version knows.

use serde_json::value::RawValue;

use super::error::{ErrorCode, RpcError};
use super::message::{Malformed, Message};
use super::meta::Meta;

/// Messages in one batch.
const MESSAGES_MAX: usize = 64;

/// The messages of a batch; nothing if the bytes do not look like one.
///
/// # Errors
/// Invalid request for an empty batch or one too long, parse error for what is no JSON.
pub(crate) fn batch(bytes: &[u8]) -> Option<Result<Vec<&RawValue>, RpcError>> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    (first == Some(&b'[')).then(|| messages(bytes))
}

fn messages(bytes: &[u8]) -> Result<Vec<&RawValue>, RpcError> {
    let messages: Vec<&RawValue> = serde_json::from_slice(bytes)
        .map_err(|error| RpcError::envelope(ErrorCode::Parse, format!("the batch is not JSON: {error}")))?;
    match messages.len() {
        1..=MESSAGES_MAX => Ok(messages),
        0 => Err(RpcError::envelope(ErrorCode::InvalidRequest, "the batch is empty")),
        count => Err(RpcError::envelope(
            ErrorCode::InvalidRequest,
            format!("the batch has {count} messages; at most {MESSAGES_MAX} are taken"),
        )),
    }
}

impl<'a> Message<'a> {
    /// Reads one message of a batch, which may hold no handshake, and nothing of a version without batches.
    ///
    /// # Errors
    /// Those of [`Message::parse`], and invalid request for what may not be there.
    pub(crate) fn parse_in_batch(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let message = Self::parse(bytes)?;
        let problem = match &message {
            Self::Request(request) if request.method == "initialize" => "`initialize` cannot be part of a batch",
            Self::Request(request) if Meta::of(request.params).is_ok_and(|meta| meta.is_modern(true)) => {
                "this version has no batches: send it alone"
            }
            _ => return Ok(message),
        };
        Err(Malformed { id: message.id().cloned(), error: RpcError::envelope(ErrorCode::InvalidRequest, problem) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_told_from_messages_and_bounded() {
        let count = |text: &str| {
            batch(text.as_bytes()).map(|found| found.map(|found| found.len()).map_err(|error| error.code.number()))
        };
        assert_eq!(count("{}"), None);
        assert_eq!(count(""), None);
        assert_eq!(count(" [{},{}]"), Some(Ok(2)));
        assert_eq!(count("[]"), Some(Err(-32600)));
        assert_eq!(count(&format!("[{}{{}}]", "{},".repeat(64))), Some(Err(-32600)));
        assert_eq!(count("[{}"), Some(Err(-32700)));
        assert_eq!(count(&"[".repeat(1_000_000)), Some(Err(-32700)));
    }

    #[test]
    fn handshakes_and_modern_requests_stand_alone() {
        let modern = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        for (method, params, allowed) in
            [("ping", "{}", true), ("initialize", "{}", false), ("tools/list", modern, false)]
        {
            let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            match Message::parse_in_batch(line.as_bytes()) {
                Ok(_) => assert!(allowed, "{line}"),
                Err(refused) => {
                    let id = refused.id.as_ref().map(|id| id.as_json());
                    assert_eq!((allowed, id, refused.error.code.number()), (false, Some("1"), -32600), "{line}");
                }
            }
        }
    }
}
