//! What a tool must look like for strict clients to take the list that it stands in, and to call it.
//!
//! `@modelcontextprotocol/client` 2.3.1 refuses a whole list for one wrong member, and a call when it cannot compile the
//! `outputSchema`. Others compile the `inputSchema` too.

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::message::Era;

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "string", "integer"];

/// # Errors
/// A strict client of this era does not take the tool.
pub(crate) fn acceptable(tool: &Value, era: Era) -> Result<()> {
    ensure!(tool.is_object(), "{tool} is no object");
    ensure!(tool["name"].as_str().is_some_and(|name| !name.is_empty()), "`name` is {}", tool["name"]);
    for member in ["title", "description"] {
        ensure!(tool.get(member).is_none_or(Value::is_string), "`{member}` is {}", tool[member]);
    }
    ensure!(tool.get("icons").is_none_or(Value::is_array), "`icons` is {}", tool["icons"]);
    annotations(tool.get("annotations"))?;
    root("inputSchema", &tool["inputSchema"], true)?;
    tool.get("outputSchema").map_or(Ok(()), |schema| root("outputSchema", schema, era == Era::Legacy))
}

fn annotations(annotations: Option<&Value>) -> Result<()> {
    let Some(annotations) = annotations else { return Ok(()) };
    let Some(members) = annotations.as_object() else { bail!("`annotations` is {annotations}") };
    let odd = members.iter().find(|(name, value)| name.ends_with("Hint") && !value.is_boolean());
    odd.map_or(Ok(()), |(name, value)| bail!("`{name}` is {value}"))
}

/// A whole schema, which stands in this member of a tool.
fn root(member: &str, schema: &Value, of_object: bool) -> Result<()> {
    ensure!(schema.is_object(), "`{member}` is {schema}");
    ensure!(!of_object || schema["type"] == "object", "`{member}` is not of type object: {schema}");
    part(schema, schema).map_err(|error| anyhow::anyhow!("`{member}` is no schema: {error}"))
}

/// One schema within a whole one. Of references only those into the whole are followed.
fn part(schema: &Value, whole: &Value) -> Result<()> {
    if schema.is_boolean() {
        return Ok(());
    }
    let Some(members) = schema.as_object() else { bail!("{schema} stands for one") };
    for (name, value) in members {
        let fits = match name.as_str() {
            "type" => types(value),
            "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
            "$ref" => value.as_str().is_some_and(|to| leads_somewhere(to, whole)),
            "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions" => value.is_object(),
            "anyOf" | "oneOf" | "allOf" | "prefixItems" => value.as_array().is_some_and(|parts| !parts.is_empty()),
            _ => true,
        };
        ensure!(fits, "`{name}` is {value}");
        parts(name, value).into_iter().try_for_each(|inner| part(inner, whole))?;
    }
    Ok(())
}

/// The schemas in one member of a schema.
fn parts<'a>(name: &str, value: &'a Value) -> Vec<&'a Value> {
    match (name, value) {
        ("properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions", Value::Object(named)) => {
            named.values().collect()
        }
        ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Value::Array(listed)) => listed.iter().collect(),
        ("items" | "additionalProperties" | "not" | "if" | "then" | "else" | "contains" | "propertyNames", _) => {
            vec![value]
        }
        _ => vec![],
    }
}

fn types(value: &Value) -> bool {
    let known = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    value.as_array().map_or_else(|| known(value), |names| names.iter().all(known))
}

fn leads_somewhere(to: &str, whole: &Value) -> bool {
    match to.strip_prefix('#') {
        Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => whole.pointer(pointer).is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::upstream::{Fault, faulty, sound};
    use super::*;

    #[test]
    fn what_the_upstream_serves_is_told_apart() {
        for tool in sound() {
            for era in [Era::Legacy, Era::Modern] {
                acceptable(&tool, era).unwrap_or_else(|error| panic!("{tool}: {error}"));
            }
        }
        for tool in faulty(Fault::All) {
            // Each of two with the same name is sound by itself, and since 2026-07-28 results may be of any type.
            let fits = |era| tool["name"] == "twice" || (era == Era::Modern && tool["name"] == "output_array");
            for era in [Era::Legacy, Era::Modern] {
                assert_eq!(acceptable(&tool, era).is_ok(), fits(era), "{era:?} {tool}");
            }
        }
    }

    #[test]
    fn schemas_are_read_to_their_depth() {
        let cases = [
            (json!({"properties": {"type": {"type": ["string", "null"]}, "required": true}}), true),
            (json!({"$defs": {"a": {}}, "items": {"$ref": "#/$defs/a"}, "not": {"$ref": "#"}}), true),
            (json!({"default": {"type": "strin"}, "$ref": "https://example.com/schema"}), true),
            (json!({"items": {"$ref": "#/$defs/a"}}), false),
            (json!({"anyOf": []}), false),
            (json!({"anyOf": [{"additionalProperties": {"type": "any"}}]}), false),
            (json!({"properties": {"a": "string"}}), false),
            (json!({"properties": {"a": {"required": true}}}), false),
        ];
        for (schema, fits) in cases {
            assert_eq!(part(&schema, &schema).is_ok(), fits, "{schema}");
        }
    }

    #[test]
    fn members_of_a_wrong_type_are_found() {
        let faults = [
            ("annotations", json!({"readOnlyHint": "yes"})),
            ("icons", json!("x.png")),
            ("title", json!(7)),
            ("description", Value::Null),
        ];
        for (member, value) in faults {
            let mut tool = sound().remove(0);
            tool[member] = value;
            assert!(acceptable(&tool, Era::Modern).is_err(), "{tool}");
        }
    }
}
