//! What happened since a chat last heard, told along with an answer of one of our own tools.

use longshore_engine::ops::{Brief, Briefing};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::call::Call;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// What ended; in the first answer over a connection also what runs and waits, except what the answer is about.
    New,
    /// All of it.
    All,
}

/// What is to be told now; nothing if there is nothing, or if it cannot be read: the answer itself goes first.
pub(super) async fn for_answer(call: &Call, telling: Telling) -> Option<Brief> {
    let caller = call.caller_now();
    let first = call.server.chats().greet(call.connection.origin(), caller.conversation.as_ref()?);
    let briefing = match telling {
        Telling::New => Briefing { ends_only: !first, except: call.told(), peek: false },
        Telling::All => Briefing::default(),
    };
    let brief = Box::pin(call.engine().brief(&caller, briefing)).await;
    let brief = brief.inspect_err(|fault| tracing::warn!(fault.code = %fault.code, "a chat was not told its news"));
    brief.ok().filter(|brief| !brief.is_empty())
}

/// The news as a structure: the same lines as in its text.
#[derive(Serialize)]
struct SinceLast {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    running: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<String>,
}

/// The structure of an answer with the news in it.
pub(super) fn added(structured: &RawValue, brief: &Brief) -> Option<Box<RawValue>> {
    let [ended, running, waiting] = brief.sections().map(|(_, section)| {
        let lines = section.lines.iter().map(|line| format!("{} {}", line.job, line.text));
        let more = (section.more > 0).then(|| format!("{} more, see job_list", section.more));
        lines.chain(more).collect()
    });
    let news = to_raw_value(&SinceLast { ended, running, waiting }).ok()?;
    let members = structured.get().trim_end().strip_suffix('}')?;
    let comma = if members.trim_end().ends_with('{') { "" } else { "," };
    RawValue::from_string(format!("{members}{comma}\"since_last\":{news}}}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_become_the_last_member() {
        let table = [
            ("{}", r#"{"since_last":{}}"#),
            (r#"{"a":{}}"#, r#"{"a":{},"since_last":{}}"#),
            (r#"{ "a": 1e400 } "#, r#"{ "a": 1e400 ,"since_last":{}}"#),
        ];
        for (structured, expected) in table {
            let structured = RawValue::from_string(structured.into()).unwrap();
            assert_eq!(added(&structured, &Brief::default()).unwrap().get(), expected);
        }
    }
}
