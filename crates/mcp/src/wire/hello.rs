//! What bridge and daemon say to one another beside the protocol: the first line of the one, the last of the other.

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

/// The line of a request as the `turn`th of its bridge: the id names it only until it is answered.
pub(crate) fn in_turn(line: &[u8], turn: u64) -> Vec<u8> {
    let opened = line.iter().position(|&byte| byte == b'{').map_or(0, |at| at + 1);
    let (before, rest) = line.split_at(opened);
    [before, format!(r#""dev.longshore/turn":{turn},"#).as_bytes(), rest].concat()
}

/// The last line of a daemon that was told to stop, without its newline. Whatever the daemon took is answered, and
/// nothing calls for another one before the client's next request.
pub(crate) const GOODBYE: &str = r#"{"longshore":"goodbye"}"#;

impl Hello {
    /// Version of the line, and of what a bridge understands. Since 2 it understands the goodbye.
    pub const VERSION: u32 = 2;

    /// Whether the bridge that said this understands [`GOODBYE`].
    pub(crate) fn knows_goodbye(&self) -> bool {
        self.bridge >= 2
    }

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
