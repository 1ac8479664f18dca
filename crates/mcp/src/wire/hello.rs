//! The first line that a bridge sends to the daemon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a bridge knows and the daemon cannot: the surroundings of the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of this line.
    pub bridge: u32,
    /// Random name of the bridge, the same for all its connections.
    pub id: String,
    /// Directory of commands that name none.
    pub cwd: String,
    /// Variables that commands inherit; already reduced to those that may be.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The chat, if the client told it.
    #[serde(default)]
    pub conversation: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Wrapped<H> {
    longshore: H,
}

impl Hello {
    /// The only version of the line so far.
    pub const VERSION: u32 = 1;

    /// The line that says it, with its newline.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // A map with text keys can always be written.
        let mut line = serde_json::to_vec(&Wrapped { longshore: self }).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// What a line says; nothing if it is no hello.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Wrapped<Self>>(line).ok().map(|wrapped| wrapped.longshore)
    }
}
