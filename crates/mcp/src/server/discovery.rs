//! How a client learns what is here: `initialize` and `server/discover`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::connection::Handshake;
use super::instructions::INSTRUCTIONS;
use super::tasks;
use crate::wire::{CacheHint, Capabilities, ClientInfo, Era, ErrorCode, LegacyVersion, MODERN, ResultBody, RpcError};

/// For how long modern clients may keep what never changes while a server runs.
pub(super) const STATIC: CacheHint = CacheHint { ttl_ms: 300_000, public: true };

/// Who we are.
pub(super) fn server_info(version: &str) -> Value {
    json!({ "name": "longshore", "title": "Longshore", "version": version })
}

fn offered(era: Era) -> Value {
    let mut offered = json!({
        "tools": {},
        "resources": { "subscribe": true, "listChanged": true },
        "prompts": {},
        "completions": {},
        "logging": {},
    });
    if era == Era::Modern {
        offered["extensions"] = tasks::offered();
    }
    if tasks::legacy::is_spoken(era) {
        offered["tasks"] = tasks::legacy::offered();
    }
    offered
}

/// Answers `initialize`: settles the version, and remembers the client.
///
/// # Errors
/// Invalid params without a version.
pub(super) fn initialize(call: &Call) -> Result<ResultBody, RpcError> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "protocolVersion")]
        protocol_version: Cow<'a, str>,
        #[serde(borrow, rename = "clientInfo")]
        client_info: Option<&'a RawValue>,
        #[serde(borrow)]
        capabilities: Option<&'a RawValue>,
    }
    let params: Params<'_> = serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get))
        .map_err(|error| RpcError::new(ErrorCode::InvalidParams, format!("`initialize`: {error}")))?;
    let version = LegacyVersion::negotiate(&params.protocol_version);
    let capabilities = Capabilities::lenient(params.capabilities);
    call.connection.settle(Handshake { version, client: ClientInfo::lenient(params.client_info), capabilities });
    ResultBody::new(&json!({
        "protocolVersion": version.as_str(),
        "capabilities": offered(Era::Legacy(version)),
        "serverInfo": server_info(&call.server.settings().version),
        "instructions": INSTRUCTIONS,
    }))
}

/// Answers `server/discover`.
///
/// # Errors
/// None in practice.
pub(super) fn discover() -> Result<ResultBody, RpcError> {
    let result = json!({
        "supportedVersions": [MODERN],
        "capabilities": offered(Era::Modern),
        "instructions": INSTRUCTIONS,
    });
    Ok(ResultBody::new(&result)?.cached(STATIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_stay_short_and_teach_the_whole_pattern() {
        let tokens = INSTRUCTIONS.len() / 4;
        println!("instructions: about {tokens} tokens");
        assert!(tokens <= 250, "{tokens}");
        for word in ["run", "job_wait", "job_read", "job_list", "job_cancel", "key", "longshore wait", "time-out"] {
            assert!(INSTRUCTIONS.contains(word), "{word}");
        }
    }
}
