//! Replaces what differs from run to run.

use serde_json::Value;

const ID_CHARS: usize = 38;

/// Replaces ids by their order of appearance, and times by their names.
pub(crate) fn redact(value: &Value) -> Value {
    let mut seen = vec![];
    walk(value, "", &mut seen)
}

fn walk(value: &Value, key: &str, seen: &mut Vec<String>) -> Value {
    match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), walk(value, key, seen))).collect(),
        Value::Array(items) => items.iter().map(|item| walk(item, key, seen)).collect(),
        Value::Number(_) if changes(key) => Value::from(format!("<{key}>")),
        Value::String(text) => Value::from(redact_text(text, seen)),
        other => other.clone(),
    }
}

fn changes(key: &str) -> bool {
    key == "pollIntervalMs"
        || key == "pollInterval"
        || key.ends_with("_s")
        || key.ends_with("_ms")
        || key.ends_with("_at")
        || key == "memory_max_bytes"
}

fn redact_text(text: &str, seen: &mut Vec<String>) -> String {
    // A resource is JSON within text.
    if let Some(inner) = text.strip_prefix('{').and_then(|_| serde_json::from_str::<Value>(text).ok()) {
        return walk(&inner, "", seen).to_string();
    }
    let words = text.split_inclusive([' ', '\n']).map(|word| redact_word(word, seen));
    words.collect()
}

fn redact_word(word: &str, seen: &mut Vec<String>) -> String {
    let mut word = word.to_owned();
    while let Some(at) = word.find("j_0").filter(|at| word.len() >= at + ID_CHARS) {
        let id = word[at..at + ID_CHARS].to_owned();
        let number = seen.iter().position(|known| *known == id).unwrap_or_else(|| {
            seen.push(id.clone());
            seen.len() - 1
        });
        word = word.replace(&id, &format!("<job {}>", number + 1));
    }
    let bare = word.trim_end_matches([' ', '\n', '.', ',', ';', ':']);
    let rest = &word[bare.len()..];
    let length = bare.strip_suffix('s').is_some_and(|number| number.contains('.') && number.parse::<f64>().is_ok());
    match (length, fresh_cursor(bare)) {
        (true, _) => format!("<time>{rest}"),
        (_, Some(cursor)) => word.replace(&cursor, "<fresh>"),
        _ if bare.len() == 24 && bare.starts_with("20") && bare.ends_with('Z') => format!("<instant>{rest}"),
        _ if word.contains("/tmp/") => format!("<folder>{rest}"),
        _ => word,
    }
}

/// A cursor made of the present time, such as `w1795000000000`.
fn fresh_cursor(word: &str) -> Option<String> {
    let at =
        word.rfind("w1").filter(|at| word[at + 1..].chars().take(13).filter(char::is_ascii_digit).count() == 13)?;
    Some(word[at..at + 14].to_owned())
}
