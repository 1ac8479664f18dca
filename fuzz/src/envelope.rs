//! Lines from a bridge: messages and arguments as they are understood, and all of it through the server.

use std::time::Duration;

use longshore_mcp::fuzz::{self, Parsed};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};

use crate::answer::{self, Said};
use crate::world::{World, world};

/// Longer than anything takes that waits for nobody.
const LIMIT: Duration = Duration::from_secs(60);
/// Silence after which whatever waits is left alone.
const PATIENCE: Duration = Duration::from_millis(30);
/// Methods that may wait for jobs or for the client.
const WAITING: [&str; 5] = ["tools/call", "tasks/result", "subscriptions/listen", "prompts/get", "tasks/cancel"];

/// The bytes are what a bridge sends until it leaves.
///
/// # Panics
/// If a promise is broken.
pub fn check(data: &[u8]) {
    let input = world().told(data);
    for line in lines(&input) {
        understood(line);
        skimmed(line);
        read_arguments(line);
    }
    world().runtime.block_on(conversed(&input));
}

/// Lines that are not empty.
fn lines(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    input.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace))
}

/// A message is taken for what it is, and nothing else.
fn understood(line: &[u8]) {
    let is_json = serde_json::from_slice::<IgnoredAny>(line).is_ok() && std::str::from_utf8(line).is_ok();
    let value = serde_json::from_slice::<serde_json::Value>(line).ok();
    match fuzz::parse(line) {
        Parsed::Request { id, method, .. } => {
            assert!(is_id(&id) && id.len() <= 1024, "{id}");
            if let Some(value) = value {
                assert_eq!(value["method"], method.as_str());
                assert_eq!(value["jsonrpc"], "2.0");
                assert!(value["params"].is_object() || value["params"].is_null());
            }
        }
        Parsed::Notification | Parsed::Response => assert!(is_json),
        Parsed::Malformed { id, code } => {
            assert!(id.is_none_or(|id| is_id(&id)));
            assert!(code == -32600 || (code == -32700 && !is_json), "{code}");
        }
    }
}

/// The id of a request is found in passing, too, and none in what is another message.
fn skimmed(line: &[u8]) {
    let found = fuzz::skimmed(line, 1);
    assert_eq!(found, fuzz::skimmed(line, 7));
    match fuzz::parse(line) {
        // Only objects are looked into.
        Parsed::Request { .. } if !line.trim_ascii_start().starts_with(b"{") => assert_eq!(found, None),
        Parsed::Request { id, .. } => assert_eq!(found, Some(id)),
        Parsed::Notification | Parsed::Response => assert_eq!(found, None),
        Parsed::Malformed { id, .. } => {
            assert!(found.as_deref().is_none_or(|found| is_id(found) && found.len() <= 1024));
            assert!(found.is_none() || id.is_none() || found == id);
        }
    }
}

fn is_id(text: &str) -> bool {
    let plain = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get() == text);
    plain && text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// What arguments are read as is within their bounds, and a refusal can stand in a message.
fn read_arguments(line: &[u8]) {
    let (most, range) = (Duration::from_secs(60), 1..=50);
    let Ok(raw) = serde_json::from_slice::<&RawValue>(line) else { return };
    match fuzz::arguments(raw, range.clone(), most) {
        Ok(read) => {
            assert!(read.integer.is_none_or(|number| range.contains(&number)));
            assert!(read.seconds.is_none_or(|length| length <= most));
        }
        Err(message) => assert!(message.len() < 1000 && !message.contains(char::is_control), "{message}"),
    }
}

/// What a server owes for a conversation.
#[derive(Debug, Default)]
struct Owed {
    /// Ids with whether their requests are modern, if that is clear.
    answers: Vec<(String, Option<bool>)>,
    /// Some requests may never be answered.
    lenient: bool,
}

impl Owed {
    fn by(input: &[u8]) -> Self {
        let mut owed = Self::default();
        let mut lines = lines(input).peekable();
        lines.next_if(|line| fuzz::is_hello(line));
        for line in lines {
            match fuzz::batched(line) {
                // Whether batches are taken is a matter of the handshake.
                Some(messages) => {
                    owed.lenient = true;
                    owed.answers.push(("null".into(), None));
                    messages.into_iter().flatten().for_each(|message| owed.add(message.as_bytes()));
                }
                None => owed.add(line),
            }
        }
        owed
    }

    fn add(&mut self, message: &[u8]) {
        match fuzz::parse(message) {
            Parsed::Request { id, method, .. } => {
                self.lenient |= WAITING.contains(&method.as_str());
                let mut modern = answer::is_modern(message);
                // Answers to requests of one id cannot be told apart.
                for (_, other) in self.answers.iter_mut().filter(|(other, _)| *other == id) {
                    (*other, modern) = (None, None);
                }
                self.answers.push((id, modern));
            }
            Parsed::Notification => self.lenient = true,
            Parsed::Response => {}
            Parsed::Malformed { id, .. } => self.answers.push((id.unwrap_or_else(|| "null".into()), None)),
        }
    }

    /// Takes an answer off the list.
    fn paid(&mut self, message: &str) {
        let Said::Answer(answer) = answer::read(message) else { return };
        let fits = |(id, modern): &(String, Option<bool>)| {
            let dressed = match &answer.outcome {
                Ok(kind) => modern.is_none_or(|modern| modern == kind.is_some()),
                Err(_) => true,
            };
            *id == answer.id && dressed
        };
        let at = self.answers.iter().position(fits).unwrap_or_else(|| panic!("nobody asked for {message}"));
        self.answers.swap_remove(at);
    }
}

async fn conversed(input: &[u8]) {
    let mut owed = Owed::by(input);
    let patience = if owed.lenient { PATIENCE } else { LIMIT };
    let (ours, theirs) = duplex(1 << 16);
    let served = tokio::spawn(longshore_mcp::stdio::serve(world().server.clone(), World::principal(), theirs));
    let (reading, mut writing) = split(ours);
    let write = async {
        // The server may leave first.
        writing.write_all(input).await.ok();
        writing.shutdown().await.ok();
    };
    let read = async {
        let mut lines = BufReader::new(reading).lines();
        loop {
            match tokio::time::timeout(patience, lines.next_line()).await {
                Ok(Ok(Some(line))) => owed.paid(&line),
                Ok(Ok(None)) => break,
                Ok(Err(error)) => panic!("not text: {error}"),
                Err(_) if owed.lenient => return,
                Err(_) => panic!("no answer within {LIMIT:?}; owed: {owed:?}"),
            }
        }
        assert!(owed.lenient || owed.answers.is_empty(), "the end, and still owed: {owed:?}");
    };
    tokio::join!(write, read);
    served.abort();
    // Ended by that, or by the end of input.
    drop(served.await);
}
