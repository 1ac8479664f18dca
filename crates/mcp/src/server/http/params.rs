//! Arguments that headers repeat: `Mcp-Param-<Name>` for every property that its tool's schema marks with
//! `x-mcp-header`. Source: MCP 2026-07-28, transports, and tools.

use axum::http::HeaderMap;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::headers::{decoded, mismatch, text};
use crate::server::tools::HEADER_MARK;
use crate::wire::{ErrorCode, RpcError};

/// Checks that each marked argument is repeated by its header, and that no header repeats one that is not there.
///
/// # Errors
/// Header mismatch that names the header; invalid params for arguments that not everybody can read.
pub(super) fn check(headers: &HeaderMap, schema: &str, arguments: Option<&RawValue>) -> Result<(), RpcError> {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let arguments: Value = serde_json::from_str(arguments.map_or("null", RawValue::get)).map_err(|error| {
        RpcError::envelope(ErrorCode::InvalidParams, format!("`arguments` cannot be compared with headers: {error}"))
    })?;
    check_object(headers, &schema, &arguments)
}

fn check_object(headers: &HeaderMap, schema: &Value, arguments: &Value) -> Result<(), RpcError> {
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for (name, property) in properties {
        let argument = &arguments[name];
        if let Some(header) = property[HEADER_MARK].as_str() {
            check_one(headers, &format!("mcp-param-{}", header.to_ascii_lowercase()), argument)?;
        }
        check_object(headers, property, argument)?;
    }
    Ok(())
}

fn check_one(headers: &HeaderMap, header: &str, argument: &Value) -> Result<(), RpcError> {
    let found = match (headers.contains_key(header), text(headers, header)) {
        (false, _) if argument.is_null() => return Ok(()),
        (false, _) => return Err(mismatch(header, "is missing")),
        (true, None) => return Err(mismatch(header, "is not readable, or there twice")),
        (true, Some(found)) => found,
    };
    let found = decoded(found).ok_or_else(|| mismatch(header, "is not readable: its base64 form is broken"))?;
    let equal = match argument {
        Value::String(text) => *text == found,
        Value::Bool(value) => found == value.to_string(),
        Value::Number(number) => found.parse().is_ok_and(|found| same(number, &found)),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    if equal { Ok(()) } else { Err(mismatch(header, "does not say what the body says")) }
}

fn same(one: &Number, other: &Number) -> bool {
    match (one.as_i128(), other.as_i128()) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64() == other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "region":{"type":"string","x-mcp-header":"Region"},
        "count":{"type":"integer","x-mcp-header":"Count"},
        "dry":{"type":"boolean","x-mcp-header":"Dry-Run"},
        "free":{"type":"string"},
        "deep":{"type":"object","properties":{"zone":{"type":"string","x-mcp-header":"zone"}}}}}"#;

    fn number(pairs: &[(&'static str, &str)], arguments: &Value) -> i64 {
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let arguments = serde_json::value::to_raw_value(arguments).unwrap();
        check(&headers, SCHEMA, Some(&arguments)).map_or_else(|error| error.code.number(), |()| 0)
    }

    #[test]
    fn headers_must_repeat_marked_arguments_and_only_those() {
        let region = json!({ "region": "eu" });
        type Case = (&'static [(&'static str, &'static str)], Value, i64);
        let table: &[Case] = &[
            (&[], json!({}), 0),
            (&[], json!({ "free": "x", "region": null }), 0),
            (&[], region.clone(), -32020),
            (&[("mcp-param-region", "eu")], region.clone(), 0),
            (&[("Mcp-Param-Region", "=?base64?ZXU=?=")], region.clone(), 0),
            (&[("mcp-param-region", "=?base64?ZXU?=")], region.clone(), -32020),
            (&[("mcp-param-region", "EU")], region.clone(), -32020),
            (&[("mcp-param-region", "eu")], json!({}), -32020),
            (&[("mcp-param-region", "")], json!({ "region": "" }), 0),
            (&[("mcp-param-count", "10")], json!({ "count": 10 }), 0),
            (&[("mcp-param-count", "10")], json!({ "count": 1e1 }), 0),
            (&[("mcp-param-count", "010")], json!({ "count": 10 }), -32020),
            (&[("mcp-param-count", "9007199254740993")], json!({ "count": 9_007_199_254_740_992_i64 }), -32020),
            (&[("mcp-param-dry-run", "true")], json!({ "dry": true }), 0),
            (&[("mcp-param-dry-run", "True")], json!({ "dry": true }), -32020),
            (&[("mcp-param-zone", "a")], json!({ "deep": { "zone": "a" } }), 0),
            (&[], json!({ "deep": { "zone": "a" } }), -32020),
            (&[("mcp-param-region", "eu")], json!({ "region": ["eu"] }), -32020),
            (&[("mcp-param-unknown", "x")], json!({}), 0),
        ];
        for (headers, arguments, expected) in table {
            assert_eq!(number(headers, arguments), *expected, "{headers:?} {arguments}");
        }
    }

    #[test]
    fn arguments_that_cannot_be_read_are_not_taken_for_absent() {
        for arguments in [r#"{"region":"eu","free":1e999}"#, r#"{"region":"eu","free":"\ud800"}"#] {
            let arguments: Box<RawValue> = serde_json::from_str(arguments).unwrap();
            let error = check(&HeaderMap::new(), SCHEMA, Some(&arguments)).unwrap_err();
            assert_eq!(error.code.number(), -32602, "{arguments}");
        }
    }
}
