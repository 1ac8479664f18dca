//! What the headers of a request must say. Source: MCP 2026-07-28 and 2025-11-25, transports.

use std::borrow::Cow;

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::params;
use crate::server::tools;
use crate::wire::{ErrorCode, LegacyVersion, MODERN, Meta, Notification, Request, RpcError};

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const METHOD: &str = "mcp-method";
pub(super) const NAME: &str = "mcp-name";
pub(super) const SESSION: &str = "mcp-session-id";
pub(super) const LAST_EVENT_ID: &str = "last-event-id";
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

/// Whether the body may be JSON by what its header says. What a web page can send without asking first is not.
pub(super) fn announces_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get("content-type") else { return true };
    let kind = value.to_str().ok().and_then(|value| value.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

/// A header as text, if it is there once and printable.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (value, further) = (values.next()?, values.next());
    if further.is_none() { value.to_str().ok().map(str::trim) } else { None }
}

/// Checks the headers of a modern request against its body.
///
/// `Mcp-Name` may be absent from requests about a task: it is there for others to route by, which we need not, and
/// clients in use leave it out (fastmcp-tasks 4.1). One that is there must be right.
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
    match named(request)? {
        Some(_) if request.method.starts_with("tasks/") && !headers.contains_key(NAME) => {}
        Some(name) => must_equal(headers, NAME, &name)?,
        None => return Ok(()),
    }
    match tool_schema(request) {
        Some((schema, arguments)) => params::check(headers, schema, arguments),
        None => Ok(()),
    }
}

/// Checks the headers of a modern notification against its body, which need not name the version.
///
/// # Errors
/// Header mismatch for what is missing or different.
pub(super) fn check_modern_notification(
    headers: &HeaderMap,
    notification: &Notification<'_>,
    meta: &Meta<'_>,
) -> Result<(), RpcError> {
    must_equal(headers, PROTOCOL_VERSION, meta.protocol_version.as_deref().unwrap_or(MODERN))?;
    must_equal(headers, METHOD, &notification.method)
}

/// The schema of the tool that is called, with the arguments.
fn tool_schema<'a>(request: &Request<'a>) -> Option<(&'static str, Option<&'a RawValue>)> {
    #[derive(Deserialize)]
    struct Called<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        arguments: Option<&'a RawValue>,
    }
    if request.method != "tools/call" {
        return None;
    }
    let called: Called<'_> = serde_json::from_str(request.params?.get()).ok()?;
    let schema = tools::schema_with_headers(&called.name)?;
    Some((schema, called.arguments))
}

/// Whether a request follows the stateless version, as far as headers and body say anything of it.
pub(super) fn is_modern(headers: &HeaderMap, request: &Request<'_>, meta: &Meta<'_>) -> bool {
    // A client of both eras may say what it would like to speak before it shakes hands.
    let by_header = text(headers, PROTOCOL_VERSION) == Some(MODERN) && request.method != "initialize";
    by_header || meta.is_modern(headers.contains_key(SESSION)) || request.method == "server/discover"
}

/// Whether a notification follows the stateless version: its header or its body names it.
pub(super) fn is_modern_notification(headers: &HeaderMap, meta: &Meta<'_>) -> bool {
    text(headers, PROTOCOL_VERSION) == Some(MODERN) || meta.protocol_version.as_deref() == Some(MODERN)
}

/// The version of a legacy request: what its session has settled, whatever the header says, for there are clients that
/// always name their newest; without a session that of the header.
///
/// # Errors
/// Invalid request for a version that is not spoken here. Source: MCP 2025-06-18 and 2025-11-25, transports.
pub(super) fn version_in(headers: &HeaderMap, settled: Option<LegacyVersion>) -> Result<LegacyVersion, RpcError> {
    let named = match text(headers, PROTOCOL_VERSION) {
        // Requests and notifications that say so are no legacy ones and do not come here.
        Some(MODERN) => None,
        _ => legacy_version(headers)?,
    };
    Ok(settled.or(named).unwrap_or(LegacyVersion::UNNAMED))
}

/// The version of a legacy request that has a header.
///
/// # Errors
/// Invalid request for a version that is not spoken here.
pub(super) fn legacy_version(headers: &HeaderMap) -> Result<Option<LegacyVersion>, RpcError> {
    if !headers.contains_key(PROTOCOL_VERSION) {
        return Ok(None);
    }
    let known = text(headers, PROTOCOL_VERSION).and_then(LegacyVersion::parse);
    known.map(Some).ok_or_else(|| {
        RpcError::envelope(ErrorCode::InvalidRequest, "the version in MCP-Protocol-Version is not supported")
            .with_data(serde_json::json!({ "supported": [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"] }))
    })
}

/// What `Mcp-Name` must repeat, for the methods that have it.
///
/// # Errors
/// Invalid params for what is no text, or there twice: the header cannot be compared with it.
fn named(request: &Request<'_>) -> Result<Option<String>, RpcError> {
    #[derive(Default, Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Option<&'a RawValue>,
        #[serde(borrow)]
        uri: Option<&'a RawValue>,
        #[serde(borrow, rename = "taskId")]
        task_id: Option<&'a RawValue>,
    }
    let unusable =
        |error: serde_json::Error| RpcError::envelope(ErrorCode::InvalidParams, format!("`params`: {error}"));
    let named: Named<'_> = serde_json::from_str(request.params.map_or("{}", RawValue::get)).map_err(unusable)?;
    let found = match &*request.method {
        "tools/call" | "prompts/get" => named.name,
        "resources/read" => named.uri,
        "tasks/get" | "tasks/update" | "tasks/cancel" => named.task_id,
        _ => None,
    };
    found.map(|raw| serde_json::from_str(raw.get()).map_err(unusable)).transpose()
}

/// The answer to a header that is not as it must be.
pub(super) fn mismatch(header: &str, problem: &str) -> RpcError {
    RpcError::envelope(ErrorCode::HeaderMismatch, format!("the header {header} {problem}"))
        .with_data(serde_json::json!({ "header": header }))
}

fn must_equal(headers: &HeaderMap, header: &str, expected: &str) -> Result<(), RpcError> {
    let mismatch = |problem| mismatch(header, problem);
    let found = match (headers.contains_key(header), text(headers, header)) {
        (false, _) => return Err(mismatch("is missing")),
        (true, None) => return Err(mismatch("is not readable, or there twice")),
        (true, Some(found)) => found,
    };
    let found = decoded(found).ok_or_else(|| mismatch("is not readable: its base64 form is broken"))?;
    if found == expected { Ok(()) } else { Err(mismatch("does not say what the body says")) }
}

/// The value of a header, also in its form for text that headers cannot hold: `=?base64?…?=`.
pub(super) fn decoded(value: &str) -> Option<Cow<'_, str>> {
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
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
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
        assert_eq!(checked(&[version, of_call, ("mcp-name", "run"), ("mcp-name", "run")], "tools/call", &call), -32020);
        let odd = format!(r#"{{"name":"run","uri":7,{meta}}}"#);
        assert_eq!(checked(&[version, of_call], "tools/call", &odd), -32020);
        assert_eq!(checked(&[version, of_call, ("mcp-name", "run")], "tools/call", &odd), 0);
        for unusable in [format!(r#"{{"name":7,{meta}}}"#), format!(r#"{{"name":"run","name":"run",{meta}}}"#)] {
            assert_eq!(checked(&[version, of_call, ("mcp-name", "run")], "tools/call", &unusable), -32602);
        }
        assert_eq!(checked(&[version, ("mcp-name", "run")], "tools/call", &call), -32020);
        assert_eq!(checked(&[of_call, ("mcp-name", "run")], "tools/call", &call), -32020);
        let other = ("mcp-protocol-version", "2025-11-25");
        assert_eq!(checked(&[other, of_call, ("mcp-name", "run")], "tools/call", &call), -32020);
        assert_eq!(checked(&[version, of_read, ("mcp-name", &encoded)], "resources/read", &read), 0);
        assert_eq!(checked(&[version, ("mcp-method", "tools/list")], "tools/list", &format!("{{{meta}}}")), 0);
        let task = format!(r#"{{"taskId":"j_1",{meta}}}"#);
        for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
            let of_task = ("mcp-method", method);
            assert_eq!(checked(&[version, of_task, ("mcp-name", "j_1")], method, &task), 0);
            assert_eq!(checked(&[version, of_task], method, &task), 0);
            assert_eq!(checked(&[version, of_task, ("mcp-name", "j_2")], method, &task), -32020);
            assert_eq!(checked(&[version, of_task, ("mcp-name", "")], method, &task), -32020);
        }
        assert_eq!(checked(&[version, ("mcp-method", "tools/list")], "tools/list", "{}"), -32602);
    }
}
