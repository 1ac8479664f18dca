//! What follows from a line of the client.

use serde_json::value::RawValue;

use super::memory::{Memory, Noted};
use crate::wire::{Line, Message, Reply, RequestId, RpcError, batch};

/// The error that answers request `id`, or a line whose id could not be read, as a line.
pub(super) fn refusal(id: Option<&RequestId>, error: RpcError) -> Vec<u8> {
    Reply::failed(id, error).message.into_bytes()
}

/// Notes a line of the client.
pub(super) fn note(memory: &mut Memory, line: Line) -> Noted {
    let refused = |id: Option<&RequestId>, error| Noted { back: vec![refusal(id, error)], ..Noted::default() };
    let line = match line {
        Line::Whole(line) => line,
        // Nobody else hears of it, so nobody else answers it.
        Line::TooLong(id) => return refused(id.as_ref(), RpcError::too_long()),
        // The id is one of the daemon's.
        Line::TooLongAnswer(_) => return refused(None, RpcError::too_long()),
    };
    match memory.takes_batches().then(|| batch(&line)).flatten() {
        Some(Ok(messages)) => note_batch(memory, &messages),
        Some(Err(error)) => refused(None, error),
        None => match Message::parse(&line) {
            Ok(message) => memory.sent(&message, &line),
            Err(malformed) => refused(malformed.id.as_ref(), malformed.error),
        },
    }
}

fn note_batch(memory: &mut Memory, messages: &[&RawValue]) -> Noted {
    let (mut good, mut refusals) = (vec![], vec![]);
    for message in messages {
        let line = message.get().as_bytes();
        match Message::parse_in_batch(line) {
            Ok(message) => good.push((message, line)),
            Err(malformed) => refusals.push(refusal(malformed.id.as_ref(), malformed.error)),
        }
    }
    let missing = good.iter().filter_map(|(message, _)| message.id().cloned()).collect();
    let mut noted = Noted { back: memory.batches.begin(missing, refusals).into_iter().collect(), ..Noted::default() };
    for (message, line) in good {
        noted.add(memory.sent(&message, line));
    }
    noted
}
