//! Several messages in one array, which 2025-03-26 demands to be taken and no other version knows.

use serde_json::value::RawValue;

use super::error::{ErrorCode, RpcError};

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
}
