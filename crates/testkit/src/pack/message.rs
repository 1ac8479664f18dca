//! One JSON-RPC message as it came, and what is wrong with it whatever it was about.

use serde_json::Value;

/// Which rules hold for an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25 and before: a session opened by `initialize`.
    Legacy,
    /// 2026-07-28: each request for itself.
    Modern,
}

/// A message: its bytes and their meaning.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) value: Value,
}

impl Message {
    /// Reads one message; what is no JSON becomes `null`, which no check accepts.
    pub(crate) fn read(text: &str) -> Message {
        Message { text: text.to_owned(), value: serde_json::from_str(text).unwrap_or(Value::Null) }
    }

    pub(crate) fn is_response(&self) -> bool {
        self.value.get("method").is_none() && (self.value.get("result").is_some() || self.value.get("error").is_some())
    }

    pub(crate) fn is_request(&self) -> bool {
        self.value.get("method").is_some() && self.value.get("id").is_some()
    }

    pub(crate) fn method(&self) -> &str {
        self.value["method"].as_str().unwrap_or_default()
    }
}

/// Stands in a message where bytes are to stand that no value keeps.
pub(crate) const PLACE: &str = "\u{1f}bytes\u{1f}";

/// The text of a message with these bytes in [`PLACE`].
pub(crate) fn spelled(message: &Value, bytes: &str) -> String {
    message.to_string().replace(&Value::from(PLACE).to_string(), bytes)
}

/// What is wrong with `message` as an answer to the request `id`, or as a message that came on its stream.
pub(crate) fn faults(message: &Value, era: Era, id: &Value) -> Vec<String> {
    let Some(members) = message.as_object() else { return vec!["is not a JSON object".to_owned()] };
    let mut found = vec![];
    if message["jsonrpc"] != "2.0" {
        found.push("`jsonrpc` is not \"2.0\"".to_owned());
    }
    let known: &[&str] = if message.get("method").is_some() {
        &["jsonrpc", "id", "method", "params"]
    } else {
        &["jsonrpc", "id", "result", "error"]
    };
    found.extend(members.keys().filter(|name| !known.contains(&name.as_str())).map(|name| format!("has `{name}`")));
    if let Some(method) = message.get("method") {
        found.extend(faults_of_call(message, method, era));
    } else {
        found.extend(faults_of_response(message, era, id));
    }
    found
}

fn faults_of_call(message: &Value, method: &Value, era: Era) -> Vec<String> {
    let mut found = vec![];
    if !method.is_string() {
        found.push("`method` is not a string".to_owned());
    }
    if message.get("params").is_some_and(|params| !params.is_object()) {
        found.push("`params` is not an object".to_owned());
    }
    match message.get("id") {
        Some(_) if era == Era::Modern => found.push("is a request, which no server sends since 2026-07-28".to_owned()),
        Some(id) if !id.is_string() && !id.is_i64() => found.push("`id` is neither string nor integer".to_owned()),
        _ => {}
    }
    found
}

fn faults_of_response(message: &Value, era: Era, id: &Value) -> Vec<String> {
    let mut found = vec![];
    if message.get("id") != Some(id) {
        found.push(format!("`id` is not the {id} that was sent"));
    }
    match (message.get("result"), message.get("error")) {
        (Some(result), None) => found.extend(faults_of_result(result, era)),
        (None, Some(error)) => found.extend(faults_of_error(error, era)),
        (Some(_), Some(_)) => found.push("has both `result` and `error`".to_owned()),
        (None, None) => found.push("has neither `result` nor `error`".to_owned()),
    }
    found
}

fn faults_of_result(result: &Value, era: Era) -> Vec<String> {
    let Some(kind) = result.get("resultType") else {
        let needed = era == Era::Modern || !result.is_object();
        return if needed { vec!["`result` has no `resultType`".to_owned()] } else { vec![] };
    };
    let known: &[&str] = match era {
        Era::Modern => &["complete", "input_required", "task"],
        Era::Legacy => &["complete"],
    };
    if kind.as_str().is_some_and(|kind| known.contains(&kind)) {
        vec![]
    } else {
        vec![format!("`resultType` is {kind}")]
    }
}

fn faults_of_error(error: &Value, era: Era) -> Vec<String> {
    let mut found = vec![];
    let members = error.as_object().map(|members| members.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let unknown = members.iter().filter(|name| !["code", "message", "data"].contains(&name.as_str()));
    found.extend(unknown.map(|name| format!("`error` has `{name}`")));
    if error["message"].as_str().is_none_or(str::is_empty) {
        found.push("`error.message` says nothing".to_owned());
    }
    match error["code"].as_i64() {
        None => found.push("`error.code` is not an integer".to_owned()),
        Some(code @ (-32002 | -32042)) if era == Era::Modern => {
            found.push(format!("`error.code` is {code}, which the modern wire does not have"));
        }
        Some(code @ -32099..=-32023) => found.push(format!("`error.code` is {code}, which is reserved")),
        Some(_) => {}
    }
    found
}

/// What is wrong with the HTTP status of a modern response.
pub(crate) fn status_fault(message: &Value, status: u16) -> Option<String> {
    let wanted: &[u16] = match message.pointer("/error/code").and_then(Value::as_i64) {
        None => &[200],
        Some(-32601) => &[404],
        Some(-32022..=-32020) => &[400],
        Some(_) => return None,
    };
    (!wanted.contains(&status)).then(|| format!("came with HTTP {status} instead of {}", wanted[0]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_envelope_with_a_fault_is_found() {
        let good = [
            json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete"}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "unknown"}}),
            json!({"jsonrpc": "2.0", "method": "notifications/tasks", "params": {}}),
        ];
        for message in &good {
            assert_eq!(faults(message, Era::Modern, &json!(7)), Vec::<String>::new(), "{message}");
        }
        let bad = [
            json!([]),
            json!({"id": 7, "result": {"resultType": "complete"}}),
            json!({"jsonrpc": "2.0", "id": "7", "result": {"resultType": "complete"}}),
            json!({"jsonrpc": "2.0", "id": 7, "result": {}}),
            json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "queued"}}),
            json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete"}, "error": null}),
            json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete"}, "extra": 1}),
            json!({"jsonrpc": "2.0", "id": 7}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": "x", "message": "unknown"}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": ""}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "x", "why": "y"}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32002, "message": "not found"}}),
            json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32050, "message": "reserved"}}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}}),
        ];
        for message in &bad {
            assert_ne!(faults(message, Era::Modern, &json!(7)), Vec::<String>::new(), "{message}");
        }
        let task = json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "task", "taskId": "t"}});
        assert_ne!(faults(&task, Era::Legacy, &json!(7)), Vec::<String>::new());
    }

    #[test]
    fn a_status_that_does_not_fit_is_found() {
        let error = |code: i64| json!({"error": {"code": code, "message": "x"}});
        let cases = [
            (json!({"result": {}}), 200, true),
            (json!({"result": {}}), 202, false),
            (error(-32601), 404, true),
            (error(-32601), 200, false),
            (error(-32021), 400, true),
            (error(-32021), 200, false),
            (error(-32602), 200, true),
        ];
        for (message, status, fits) in cases {
            assert_eq!(status_fault(&message, status).is_none(), fits, "{message} {status}");
        }
    }
}
