//! Where clients say which chat they speak from. The one list of it: each row with where it was seen.
//!
//! Names are used as they are, without that of the client: the same chat is told by metadata to the server, by a
//! variable to a shell, and by a hook's input to a script.

use std::borrow::Cow;

use longshore_domain::Conversation;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Members of a request's `_meta` that name its chat, beside our own key, which goes before them; the first goes first.
#[derive(Deserialize)]
struct ClientKeys<'a> {
    /// Codex since 0.123; sub-agents have threads of their own. Seen: openai/codex pull request 18093, April 2026.
    #[serde(borrow, rename = "threadId")]
    codex: Option<&'a RawValue>,
    /// VS Code, any provider of models. Seen: openai/codex issue 7951, December 2025.
    #[serde(borrow, rename = "vscode.conversationId")]
    vscode: Option<&'a RawValue>,
    /// OpenCode 2. Seen: anomalyco/opencode pull request 46008, August 2026.
    #[serde(borrow, rename = "sessionID")]
    opencode: Option<&'a RawValue>,
    /// goose since January 2026, offered to other agents as a common name. Counted up for each day and machine. Seen:
    /// aaif-goose/goose pull request 6626.
    #[serde(borrow, rename = "agent-session-id")]
    goose: Option<&'a RawValue>,
    /// goose from October 2025 to then. Seen: block/goose pull request 5165.
    #[serde(borrow, rename = "goose-session-id")]
    older_goose: Option<&'a RawValue>,
}

/// Environment variables that name the chat of a process, the first that is set: ours, and those that clients give to
/// the servers and shells that they start.
///
/// A client within a client hands on the outer one's unless it cleans up; then the outer chat is meant. Left out:
/// `CURSOR_CONVERSATION_ID`, which Cursor was seen not to give to servers (June 2026).
pub const CONVERSATION_VARIABLES: [&str; 5] = [
    "LONGSHORE_CONVERSATION",
    // Claude Code: shells since 2.1.132, servers over stdio (some versions not to those of plugins); the `session_id` of
    // its hooks. Seen: kurrent-io/kcap-cli issue 942, anthropics/claude-code pull request 61754, 2026.
    "CLAUDE_CODE_SESSION_ID",
    // Codex, shells only; the same as `threadId`. Seen: openai/codex issue 19937.
    "CODEX_THREAD_ID",
    // Gemini CLI, hooks only. Seen: its table of a hook's environment.
    "GEMINI_SESSION_ID",
    // goose; the same as `agent-session-id`. Seen: aaif-goose/goose pull request 6626.
    "AGENT_SESSION_ID",
];

/// The chat that a client names in `meta`, by whatever key. Values that are no text, or empty, name none.
pub(super) fn of_meta(meta: &RawValue) -> Option<Conversation> {
    let keys: ClientKeys<'_> = serde_json::from_str(meta.get()).ok()?;
    let named_by = |value: &RawValue| named(&serde_json::from_str::<Cow<'_, str>>(value.get()).ok()?);
    [keys.codex, keys.vscode, keys.opencode, keys.goose, keys.older_goose].into_iter().flatten().find_map(named_by)
}

/// The chat of that name, if it is one.
pub(crate) fn named(name: &str) -> Option<Conversation> {
    Some(name.trim()).filter(|name| !name.is_empty()).map(Conversation::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_names_the_chat() {
        let table = [
            (r"{}", None),
            (r#"{"progressToken":1,"threadId":"t"}"#, Some("t")),
            (r#"{"vscode.requestId":"r","vscode.conversationId":"v"}"#, Some("v")),
            (r#"{"sessionID":"ses_1"}"#, Some("ses_1")),
            (r#"{"agent-session-id":"20261120_1"}"#, Some("20261120_1")),
            (r#"{"goose-session-id":"20251120_1"}"#, Some("20251120_1")),
            (r#"{"sessionID":"s","threadId":"t"}"#, Some("t")),
            (r#"{"threadId":"  ","sessionID":"s"}"#, Some("s")),
            (r#"{"threadId":7,"vscode.conversationId":null,"sessionID":["x"]}"#, None),
            (r#"{"threadId":"\u0061 b"}"#, Some("a b")),
            (r#"{"threadid":"t","io.example/threadId":"t"}"#, None),
        ];
        for (meta, expected) in table {
            let meta: Box<RawValue> = serde_json::from_str(meta).unwrap();
            let found = of_meta(&meta);
            assert_eq!(found.as_ref().map(Conversation::as_str), expected, "{meta}");
        }
    }
}
