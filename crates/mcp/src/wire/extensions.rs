//! Extensions of the protocol that a client says it knows.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Name of the tasks extension. Source: MCP extension tasks, 2026-07-28.
pub(crate) const TASKS: &str = "io.modelcontextprotocol/tasks";

/// The extensions that matter here; all others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// Takes tasks in place of results.
    pub(crate) tasks: bool,
}

impl Extensions {
    /// What client capabilities declare; what is not understood counts as absent.
    pub(crate) fn lenient(capabilities: Option<&RawValue>) -> Self {
        #[derive(Default, Deserialize)]
        struct Capabilities<'a> {
            #[serde(borrow, default)]
            extensions: Option<Listed<'a>>,
        }
        #[derive(Default, Deserialize)]
        struct Listed<'a> {
            #[serde(borrow, rename = "io.modelcontextprotocol/tasks", default)]
            tasks: Option<&'a RawValue>,
        }
        let found: Capabilities<'_> =
            capabilities.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let tasks = found.extensions.unwrap_or_default().tasks;
        Self { tasks: tasks.is_some_and(|settings| settings.get().starts_with('{')) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_declared_by_an_object_under_their_name() {
        assert!(!Extensions::lenient(None).tasks);
        for (raw, declared) in [
            (r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#, true),
            (r#"{"extensions":{"x/y":{},"io.modelcontextprotocol/tasks":{"a":1}},"elicitation":{}}"#, true),
            ("{}", false),
            ("7", false),
            (r#"{"extensions":null}"#, false),
            (r#"{"extensions":[]}"#, false),
            (r#"{"extensions":{"io.modelcontextprotocol/tasks":null}}"#, false),
            (r#"{"extensions":{"io.modelcontextprotocol/tasks":true}}"#, false),
            (r#"{"io.modelcontextprotocol/tasks":{}}"#, false),
            // The capability of 2025-11-25 declares nothing here.
            (r#"{"tasks":{"list":{},"requests":{}}}"#, false),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
            assert_eq!(Extensions::lenient(Some(&raw)).tasks, declared, "{raw}");
        }
    }
}
