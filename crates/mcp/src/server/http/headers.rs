//! What the headers of a request must say. Source: MCP 2026-07-28 and 2025-11-25, transports.

use std::borrow::Cow;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::{ErrorCode, LegacyVersion, MODERN, Meta, Request, RpcError};

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const METHOD: &str = "mcp-method";
pub(super) const NAME: &str = "mcp-name";
pub(super) const SESSION: &str = "mcp-session-id";
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Which kind of answer a caller can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// One JSON document.
    pub(super) json: bool,
    /// A stream of events.
    pub(super) events: bool,
}

impl Accepted {
    /// What the `Accept` header allows; without one everything.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let listed: Vec<&str> = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect();
        if listed.is_empty() {
            return Self { json: true, events: true };
        }
        let types = || listed.iter().flat_map(|value| value.split(',')).filter_map(|part| part.split(';').next());
        let allows = |wanted: &str| {
            let family = wanted.split_once('/').map_or(wanted, |(family, _)| family);
            types().map(str::trim).any(|one| {
                one == "*/*"
                    || one.eq_ignore_ascii_case(wanted)
                    || one.strip_suffix("/*").is_some_and(|f| f.eq_ignore_ascii_case(family))
            })
        };
        Self { json: allows("application/json"), events: allows("text/event-stream") }
    }
}

/// A header as text, if it is there once and printable.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Checks the headers of a modern request against its body.
///
/// # Errors
/// Header mismatch for what is missing or different; invalid params where the body lacks what the header promises.
pub(super) fn check_modern(headers: &HeaderMap, request: &Request<'_>, meta: &Meta<'_>) -> Result<(), RpcError> {
    let Some(version) = meta.protocol_version.as_deref() else {
        let message = "`params._meta[\"io.modelcontextprotocol/protocolVersion\"]` is missing";
        return Err(RpcError::envelope(ErrorCode::InvalidParams, message));
    };
    must_equal(headers, PROTOCOL_VERSION, version)?;
    must_equal(headers, METHOD, &request.method)?;
    match named(request) {
        Some(name) => must_equal(headers, NAME, &name),
        None => Ok(()),
    }
}

/// Whether a request follows the stateless version, as far as headers and body say anything of it.
pub(super) fn is_modern(headers: &HeaderMap, request: &Request<'_>, meta: &Meta<'_>) -> bool {
    let by_header = text(headers, PROTOCOL_VERSION) == Some(MODERN);
    request.method != "initialize" && (by_header || meta.is_modern() || request.method == "server/discover")
}

/// The version of a legacy request that has a header.
///
/// # Errors
/// Invalid request for a version that is not spoken here.
pub(super) fn legacy_version(headers: &HeaderMap) -> Result<Option<LegacyVersion>, RpcError> {
    let Some(value) = headers.get(PROTOCOL_VERSION) else { return Ok(None) };
    let known = value.to_str().ok().and_then(|name| LegacyVersion::parse(name.trim()));
    known.map(Some).ok_or_else(|| {
        RpcError::envelope(ErrorCode::InvalidRequest, "the version in MCP-Protocol-Version is not supported")
            .with_data(serde_json::json!({ "supported": [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"] }))
    })
}

/// What `Mcp-Name` must repeat, for the methods that have it.
fn named(request: &Request<'_>) -> Option<String> {
    #[derive(Default, Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
        #[serde(borrow)]
        uri: Option<Cow<'a, str>>,
    }
    let named: Named<'_> = serde_json::from_str(request.params.map_or("{}", RawValue::get)).unwrap_or_default();
    let found = match &*request.method {
        "tools/call" => named.name,
        "resources/read" => named.uri,
        _ => None,
    };
    found.map(Cow::into_owned)
}

fn must_equal(headers: &HeaderMap, header: &str, expected: &str) -> Result<(), RpcError> {
    let mismatch = |problem: &str| {
        RpcError::envelope(ErrorCode::HeaderMismatch, format!("the header {header} {problem}"))
            .with_data(serde_json::json!({ "header": header }))
    };
    let found = text(headers, header).ok_or_else(|| mismatch("is missing"))?;
    let found = decoded(found).ok_or_else(|| mismatch("is not readable: its base64 form is broken"))?;
    if found == expected { Ok(()) } else { Err(mismatch("does not say what the body says")) }
}

/// The value of a header, also in its form for text that headers cannot hold: `=?base64?…?=`.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(value));
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn accept_is_read_as_http_says() {
        let of = |value: &str| Accepted::of(&headers(&[("accept", value)]));
        let both = Accepted { json: true, events: true };
        assert_eq!(Accepted::of(&HeaderMap::new()), both);
        assert_eq!(of("*/*"), both);
        assert_eq!(of("application/json, text/event-stream"), both);
        assert_eq!(of("Application/JSON;q=0.9"), Accepted { json: true, events: false });
        assert_eq!(of("text/*"), Accepted { json: false, events: true });
        assert_eq!(of("text/html"), Accepted { json: false, events: false });
    }

    fn checked(pairs: &[(&'static str, &str)], method: &str, params: &str) -> i64 {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let Ok(Message::Request(request)) = Message::parse(line.as_bytes()) else { panic!("{line}") };
        let meta = Meta::of(request.params).unwrap();
        check_modern(&headers(pairs), &request, &meta).map_or_else(|error| error.code.number(), |()| 0)
    }

    #[test]
    fn modern_headers_must_repeat_the_body() {
        let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
        let call = format!(r#"{{"name":"run",{meta}}}"#);
        let read = format!(r#"{{"uri":"longshore://jobs/ü",{meta}}}"#);
        let version = ("mcp-protocol-version", "2026-07-28");
        let of_call = ("mcp-method", "tools/call");
        let of_read = ("mcp-method", "resources/read");
        let encoded = format!("=?base64?{}?=", STANDARD.encode("longshore://jobs/ü"));
        assert_eq!(checked(&[version, of_call, ("mcp-name", "run")], "tools/call", &call), 0);
        assert_eq!(checked(&[version, of_call, ("mcp-name", "=?base64?cnVu?=")], "tools/call", &call), 0);
        assert_eq!(checked(&[version, of_call, ("mcp-name", "=?BASE64?cnVu?=")], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, of_call, ("mcp-name", "=?base64?%?=")], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, of_call, ("mcp-name", "Run")], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, of_call], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, ("mcp-name", "run")], "tools/call", &call), -32020);
        assert_eq!(checked(&[of_call, ("mcp-name", "run")], "tools/call", &call), -32020);
        let other = ("mcp-protocol-version", "2025-11-25");
        assert_eq!(checked(&[other, of_call, ("mcp-name", "run")], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, of_read, ("mcp-name", &encoded)], "resources/read", &read), 0);
        assert_eq!(checked(&[version, ("mcp-method", "tools/list")], "tools/list", &format!("{{{meta}}}")), 0);
        assert_eq!(checked(&[version, ("mcp-method", "tools/list")], "tools/list", "{}"), -32602);
    }
}
