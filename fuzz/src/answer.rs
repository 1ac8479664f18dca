//! What a server may say, whatever it was told.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Every code that an error may have.
const CODES: [i64; 9] = [-32700, -32600, -32601, -32602, -32603, -32002, -32020, -32021, -32022];
/// Requests that a server may make.
const ASKS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

/// One message of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Answers a request.
    Answer(Answer),
    /// Anything else.
    Other,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The id, as JSON.
    pub id: String,
    /// The result's kind, if it names one, or the error's code.
    pub outcome: Result<Option<String>, i64>,
}

/// Members in the order they came.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = vec![];
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Members {
    /// The members of an object, each of which is there once.
    fn of(text: &str) -> Self {
        let members: Self = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        for (at, (name, _)) in members.0.iter().enumerate() {
            assert!(members.0[..at].iter().all(|(other, _)| other != name), "`{name}` twice: {text}");
        }
        members
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.get())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|raw| serde_json::from_str(raw).unwrap_or_else(|error| panic!("{name}: {error}: {raw}")))
    }
}

/// Reads one message of a server.
///
/// # Panics
/// If it is none, or one that no server of ours may send.
pub fn read(message: &str) -> Said {
    assert!(!message.contains(['\n', '\r']), "more than a line: {message}");
    let members = Members::of(message);
    assert_eq!(members.text("jsonrpc").as_deref(), Some("2.0"), "{message}");
    let parts = (members.get("id"), members.text("method"), members.get("result"), members.get("error"));
    match parts {
        (Some(id), None, Some(result), None) => {
            let kind = Members::of(result).text("resultType");
            Said::Answer(Answer { id: id.to_owned(), outcome: Ok(kind) })
        }
        (Some(id), None, None, Some(error)) => Said::Answer(Answer { id: id.to_owned(), outcome: Err(code(error)) }),
        (None, Some(method), None, None) if method.starts_with("notifications/") => Said::Other,
        (Some(_), Some(method), None, None) if ASKS.contains(&method.as_str()) => Said::Other,
        _ => panic!("no message that may be sent: {message}"),
    }
}

fn code(error: &str) -> i64 {
    let members = Members::of(error);
    let code = members.get("code").and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no code: {error}"));
    let message = members.text("message").unwrap_or_default();
    assert!(CODES.contains(&code), "a code that nobody knows: {error}");
    assert!(!message.is_empty() && message.len() < 4096, "a message that says nothing, or too much: {error}");
    assert!(code != -32603 || message.starts_with("too many listens"), "a bug, or a disk that fails: {error}");
    code
}

/// Whether a request says that it follows the stateless version; nothing where that can be seen in two ways.
pub fn is_modern(message: &[u8]) -> Option<bool> {
    let message: serde_json::Value = serde_json::from_slice(message).ok()?;
    let meta = &message["params"]["_meta"];
    let says = |key: &str| !meta[format!("io.modelcontextprotocol/{key}")].is_null();
    Some(says("protocolVersion") || says("clientCapabilities") || message["method"] == "server/discover")
}
