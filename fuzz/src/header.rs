//! Headers: `name: value` in lines, an empty line, and the message that they belong to.

use std::borrow::Cow;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_domain::Principal;
use longshore_mcp::fuzz::http as checks;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::world::KEY;

/// Every kind of argument that a header repeats.
const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "count":{"type":"integer","x-mcp-header":"Count"},
    "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
    "deep":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"Zone"}}}}}"#;

/// What must be so of the headers and the message in `data`.
///
/// # Panics
/// If a promise is broken.
pub fn check(data: &[u8]) {
    let (head, message) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &b""[..]),
    };
    let headers = headers(head);
    accepts(&headers);
    versions(&headers);
    sentinels(&headers, message);
    repeats(&headers, message);
    repeats_arguments(&headers, message);
    tokens(&headers);
}

fn headers(head: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&line[..at]), value) {
            headers.append(name, value);
        }
    }
    headers
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value.trim())
}

/// The text that a header stands for, if it is there once.
fn meant<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let value = only(headers, name)?;
    match value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
        None => Some(value.into()),
    }
}

fn accepts(headers: &HeaderMap) {
    let (json, events) = checks::accepted(headers);
    let values: Vec<&str> = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok()).collect();
    let listed = |kind: &str| values.iter().any(|value| value.split(',').any(|part| part.trim() == kind));
    assert!(json || !(values.is_empty() || listed("*/*") || listed("application/json")), "{values:?}");
    assert!(events || !(values.is_empty() || listed("*/*") || listed("text/event-stream")), "{values:?}");
    let mentions = |word: &str| values.iter().any(|value| value.to_ascii_lowercase().contains(word));
    assert!(!json || values.is_empty() || mentions("*/*") || mentions("application/"), "{values:?}");
    assert!(!events || values.is_empty() || mentions("*/*") || mentions("text/"), "{values:?}");
}

fn versions(headers: &HeaderMap) {
    let name = "mcp-protocol-version";
    match checks::legacy_version(headers) {
        Ok(Some(version)) => assert_eq!(only(headers, name), Some(version)),
        Ok(None) => assert!(!headers.contains_key(name)),
        Err(code) => assert_eq!(code, -32600),
    }
}

fn sentinels(headers: &HeaderMap, message: &[u8]) {
    let text = String::from_utf8_lossy(message);
    let encoded = format!("=?base64?{}?=", STANDARD.encode(text.as_bytes()));
    assert_eq!(checks::decoded(&encoded).as_deref(), Some(&*text));
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        match checks::decoded(value) {
            Some(text) if text == value => {}
            Some(text) => assert_eq!(format!("=?base64?{}?=", STANDARD.encode(text)), value),
            None => assert!(value.starts_with("=?base64?") && value.ends_with("?=")),
        }
    }
}

/// Headers that pass say what the body says: whoever routes by them is not fooled.
fn repeats(headers: &HeaderMap, message: &[u8]) {
    let Some(checked) = checks::checked(headers, message) else { return };
    if let Err(code) = checked {
        assert!([-32020, -32602].contains(&code), "{code}");
        return;
    }
    // What is no plain JSON for everybody has more than one meaning.
    let Ok(body) = serde_json::from_slice::<Value>(message) else { return };
    let params = &body["params"];
    let repeated = |header: &str, said: &Value| {
        assert_eq!(meant(headers, header).as_deref(), said.as_str(), "{header} passed: {body}");
    };
    repeated("mcp-protocol-version", &params["_meta"]["io.modelcontextprotocol/protocolVersion"]);
    repeated("mcp-method", &body["method"]);
    let (named, needed) = match body["method"].as_str().unwrap_or_default() {
        "tools/call" | "prompts/get" => (&params["name"], true),
        "resources/read" => (&params["uri"], true),
        "tasks/get" | "tasks/update" | "tasks/cancel" => (&params["taskId"], false),
        _ => (&Value::Null, false),
    };
    if named.is_string() && (needed || headers.contains_key("mcp-name")) {
        repeated("mcp-name", named);
    }
}

/// The same of arguments, where `message` is taken for these.
fn repeats_arguments(headers: &HeaderMap, message: &[u8]) {
    let Ok(raw) = serde_json::from_slice::<&RawValue>(message) else { return };
    let checked = checks::checked_params(headers, SCHEMA, Some(raw));
    if let Err(code) = checked {
        assert!([-32020, -32602].contains(&code), "{code}");
        return;
    }
    let said = |name: &str| member(raw, name);
    for (header, said) in [
        ("mcp-param-region", said("region")),
        ("mcp-param-count", said("count")),
        ("mcp-param-dry-run", said("dry")),
        ("mcp-param-zone", said("deep").and_then(|deep| member(&deep, "zone"))),
    ] {
        let Some(said) = said else {
            assert!(!headers.contains_key(header), "{header} repeats nothing: {raw}");
            continue;
        };
        let meant = meant(headers, header).unwrap_or_else(|| panic!("{header} is not there once: {raw}"));
        let text: String = match said.get().starts_with('"') {
            true => serde_json::from_str(said.get()).unwrap_or_else(|_| panic!("{header} passed: {raw}")),
            false => said.get().into(),
        };
        let number = |text: &str| text.parse::<f64>().ok();
        let equal = *meant == *text || (number(&meant).is_some() && number(&meant) == number(&text));
        assert!(equal, "{header} passed: {meant} is not {text}");
    }
}

/// The last member of that name, unless it is null.
fn member(raw: &RawValue, name: &str) -> Option<Box<RawValue>> {
    let members: std::collections::BTreeMap<String, Box<RawValue>> = serde_json::from_str(raw.get()).ok()?;
    members.get(name).filter(|value| value.get() != "null").cloned()
}

/// A session is one that we made, to the last byte.
fn tokens(headers: &HeaderMap) {
    let principal = Principal::agent("owner");
    let sent = headers.get_all("mcp-session-id").iter().filter_map(|value| value.to_str().ok());
    for token in sent {
        let other = Principal::agent("other");
        assert_eq!(checks::session_again(token, &principal, &[8; 32]), None);
        if let Some(again) = checks::session_again(token, &principal, &KEY) {
            assert_eq!(again, token);
            assert_eq!(checks::session_again(token, &other, &KEY), None);
        }
        changed(token, &principal);
    }
}

/// A good token with the bytes of another text in it is good no more.
fn changed(text: &str, principal: &Principal) {
    let good = checks::session_token("2025-11-25", text, principal, &KEY).expect("a known version");
    assert_eq!(checks::session_again(&good, principal, &KEY).as_deref(), Some(&*good));
    let at = text.len() % good.len();
    let mut bytes = good.clone().into_bytes();
    bytes.iter_mut().skip(at).zip(text.bytes()).for_each(|(byte, other)| *byte = other);
    let bad = String::from_utf8_lossy(&bytes);
    if *bad != good {
        assert_eq!(checks::session_again(&bad, principal, &KEY), None, "{bad}");
    }
}
