//! How long the clients that we know let one call take.

use std::time::Duration;

use crate::wire::ClientInfo;

/// One kind of client.
struct Row {
    /// What its name begins with, in lower case.
    name: &'static str,
    /// Oldest version that the row holds for.
    since: (u32, u32),
    /// How long a call may be held: its time-out less a margin.
    budget_s: u64,
}

/// The first row that fits holds. Clients that are not here have the usual budget, which fits a time-out of 60 s.
const TABLE: &[Row] = &[
    // Time-out 300 s; 120 s from 0.105 and 60 s before.
    Row { name: "codex", since: (0, 139), budget_s: 240 },
    Row { name: "codex", since: (0, 105), budget_s: 100 },
    // 600 s, and no sign of life is shown meanwhile.
    Row { name: "gemini-cli", since: (0, 0), budget_s: 300 },
    Row { name: "qwen-code", since: (0, 0), budget_s: 300 },
    // A plain call is moved to the background at 120 s and ends with the session.
    Row { name: "claude-code", since: (0, 0), budget_s: 100 },
    // None short, but calls over 5 min were seen hanging.
    Row { name: "visual studio code", since: (0, 0), budget_s: 240 },
    // 300 s per extension.
    Row { name: "goose", since: (0, 0), budget_s: 240 },
    // About 30 s, fixed.
    Row { name: "jetbrains", since: (0, 0), budget_s: 20 },
];

/// How long one call of this client may be held. `overrides` are prefixes of names that win over the table, the
/// first that fits; `usual` holds for clients that are not known.
pub(crate) fn budget(client: &ClientInfo, overrides: &[(String, Duration)], usual: Duration) -> Duration {
    let name = client.name.to_lowercase();
    let version = version(&client.version);
    let set = overrides.iter().find(|(prefix, _)| name.starts_with(&prefix.to_lowercase())).map(|(_, budget)| *budget);
    let known = || TABLE.iter().find(|row| name.starts_with(row.name) && version >= row.since);
    set.or_else(|| known().map(|row| Duration::from_secs(row.budget_s))).unwrap_or(usual)
}

/// Major and minor number; an unreadable version counts as the oldest.
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.trim_start_matches('v').split(['.', '-', '+']);
    let mut next = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    (next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_fit_the_clients() {
        let table = [
            ("codex-mcp-client", "0.169.0", 240),
            ("codex-mcp-client", "0.120.3", 100),
            ("codex-mcp-client", "0.98.0", 45),
            ("codex-mcp-client", "1.0.0-alpha.1", 240),
            ("codex-mcp-client", "", 45),
            ("Visual Studio Code - Insiders", "1.120", 240),
            ("gemini-cli-mcp-client", "0.61.0", 300),
            ("claude-code", "2.1.319", 100),
            ("opencode", "1.18.33", 45),
            ("", "", 45),
            ("my-editor", "1", 10),
            ("My-Editor-Pro", "9", 10),
            ("goose", "1.9.0", 5),
        ];
        let overrides = [("my-editor", 10), ("Goose", 5)];
        let overrides = overrides.map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds)));
        for (name, version, seconds) in table {
            let client = ClientInfo { name: name.into(), version: version.into() };
            let found = budget(&client, &overrides, Duration::from_secs(45));
            assert_eq!(found.as_secs(), seconds, "{name} {version}");
        }
    }
}
