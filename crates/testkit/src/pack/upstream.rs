//! The server behind a gateway under test: sound tools, and among them those that a gateway must set aside or mend.
//!
//! It speaks both eras on standard input and output, answers each call with the name of its tool, and never changes.

use std::io::{BufRead, Write};

use anyhow::Result;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::modern::VERSION;
use super::shape;

/// What is wrong with the tools beside the sound ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// Nothing: there are only sound ones.
    None,
    /// `inputSchema` is missing, or no schema of an object.
    InputSchema,
    /// `outputSchema` is no object, or (before 2026-07-28) not of one.
    OutputSchema,
    /// A schema of an object, but with members that no schema has or references to nothing.
    BrokenSchema,
    /// No name, no text as a name, an empty one, the same one twice.
    Names,
    /// No tool at all, or members of a wrong type.
    Members,
    /// Everything at once.
    All,
}

impl Fault {
    /// As `--upstream` takes it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The tools that must come through whatever stands beside them. `echo` gives its arguments back, byte for byte.
pub(crate) fn sound() -> Vec<Value> {
    let typed = json!({"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]});
    vec![tool("sound"), with("typed", "outputSchema", typed), tool("echo")]
}

/// The tools of this fault.
pub(crate) fn faulty(fault: Fault) -> Vec<Value> {
    match fault {
        Fault::None => vec![],
        Fault::InputSchema => vec![
            without("input_missing", "inputSchema"),
            with("input_null", "inputSchema", Value::Null),
            with("input_text", "inputSchema", json!("none")),
            with("input_array", "inputSchema", json!({"type": "array", "items": {}})),
            with("input_untyped", "inputSchema", json!({})),
        ],
        Fault::OutputSchema => vec![
            with("output_null", "outputSchema", Value::Null),
            with("output_text", "outputSchema", json!("none")),
            with("output_array", "outputSchema", json!({"type": "array", "items": {}})),
        ],
        Fault::BrokenSchema => vec![
            with("properties_as_list", "inputSchema", json!({"type": "object", "properties": []})),
            with("required_as_text", "inputSchema", json!({"type": "object", "required": "a"})),
            with("input_of_unknown_type", "inputSchema", of_a(json!({"type": "strin"}))),
            with("input_from_nowhere", "inputSchema", of_a(json!({"$ref": "#/$defs/nothing"}))),
            with("output_of_unknown_type", "outputSchema", of_a(json!({"type": "strin"}))),
            with("output_from_nowhere", "outputSchema", of_a(json!({"$ref": "#/$defs/nothing"}))),
        ],
        Fault::Names => {
            vec![without("", "name"), with("", "name", json!(7)), tool(""), tool("twice"), tool("twice")]
        }
        Fault::Members => vec![
            Value::Null,
            json!("text"),
            with("description_as_number", "description", json!(7)),
            with("annotations_as_text", "annotations", json!("read only")),
        ],
        Fault::All => {
            let each = [Fault::InputSchema, Fault::OutputSchema, Fault::BrokenSchema, Fault::Names, Fault::Members];
            each.into_iter().flat_map(faulty).collect()
        }
    }
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "Says its name.", "inputSchema": of_a(json!({"type": "string"}))})
}

fn with(name: &str, member: &str, value: Value) -> Value {
    let mut tool = tool(name);
    tool[member] = value;
    tool
}

fn without(name: &str, member: &str) -> Value {
    let mut tool = tool(name);
    tool.as_object_mut().map(|members| members.remove(member));
    tool
}

/// The schema of an object whose member `a` has this one.
fn of_a(schema: Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}})
}

/// Serves until the input ends.
///
/// # Errors
/// Nobody reads the answers any more.
pub(crate) fn serve(fault: Fault) -> Result<()> {
    // Those with a fault stand in the middle, so that neither the beginning nor the end of the list is safe.
    let mut tools = sound();
    tools.splice(1..1, faulty(fault));
    for line in std::io::stdin().lock().lines() {
        if let Some(answer) = answer(&line?, &tools) {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
    }
    Ok(())
}

/// The answer to a line; to a notification, or to what is no message, there is none.
fn answer(line: &str, tools: &[Value]) -> Option<String> {
    let message: Value = serde_json::from_str(line).ok()?;
    let (id, params) = (message.get("id")?, &message["params"]);
    let server = json!({"name": "mcp-pack-upstream", "version": env!("CARGO_PKG_VERSION")});
    let mut result = match message["method"].as_str()? {
        "initialize" => {
            json!({"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": server})
        }
        "server/discover" => {
            json!({"supportedVersions": [VERSION], "capabilities": {"tools": {}}, "serverInfo": server})
        }
        "tools/list" => json!({"tools": tools}),
        "tools/call" if params["name"] == "echo" => return echo(id, line),
        "tools/call" => said(params["name"].as_str()?),
        "ping" => json!({}),
        method => {
            let error = json!({"code": -32601, "message": format!("there is no `{method}` here")});
            return Some(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string());
        }
    };
    if params["_meta"].get("io.modelcontextprotocol/protocolVersion").is_some() {
        result["resultType"] = json!("complete");
        if message["method"] != "tools/call" {
            result["ttlMs"] = json!(0);
            result["cacheScope"] = json!("private");
        }
    }
    Some(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}

/// The result of every tool but `echo`.
pub(crate) fn said(name: &str) -> Value {
    let content = json!([{"type": "text", "text": name}]);
    if name == "typed" {
        json!({"content": content, "structuredContent": {"said": name}})
    } else {
        json!({"content": content})
    }
}

/// No value stands between the bytes of the arguments and those of the answer.
fn echo(id: &Value, line: &str) -> Option<String> {
    let arguments = shape::raw_at(line, &["params", "arguments"]).ok()?;
    let text = json!([{"type": "text", "text": arguments}]);
    Some(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","content":{text},"structuredContent":{arguments}}}}}"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_back_and_each_era_gets_its_own() {
        let call = |meta: &str| {
            let params = format!(r#"{{"name":"echo","arguments":{{ "b":1.0, "a":1e3 }},"_meta":{meta}}}"#);
            format!(r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{params}}}"#)
        };
        let echoed = answer(&call("{}"), &[]).expect("an answer");
        assert_eq!(shape::raw_at(&echoed, &["result", "structuredContent"]).expect("raw"), r#"{ "b":1.0, "a":1e3 }"#);
        let list = |meta: Value| json!({"id": 1, "method": "tools/list", "params": {"_meta": meta}}).to_string();
        let plain = answer(&list(json!({})), &[]).expect("an answer");
        let modern =
            answer(&list(json!({"io.modelcontextprotocol/protocolVersion": VERSION})), &[]).expect("an answer");
        assert_eq!(plain, r#"{"id":1,"jsonrpc":"2.0","result":{"tools":[]}}"#);
        assert!(modern.contains(r#""ttlMs":0"#) && modern.contains(r#""resultType":"complete""#), "{modern}");
        assert_eq!(answer(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, &[]), None);
    }
}
