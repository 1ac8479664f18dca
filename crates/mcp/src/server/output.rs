//! Output of a job as it is shown to a model: cleaned, cut at lines, with exact counts of what is left out.

use std::time::Duration;

use longshore_domain::{Fault, Job};
use longshore_engine::ops::{OutputCursor, OutputPage, OutputQuery, OutputStart};
use serde::Serialize;

use super::call::Call;
use super::plain;

/// Output for a model.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The job as it stood after reading.
    pub(super) job: Job,
    /// The text.
    pub(super) text: String,
    /// Where to go on.
    pub(super) cursor: String,
    /// What is left out.
    pub(super) omitted: Omitted,
    /// Nothing will come after the text.
    pub(super) end: bool,
}

/// Bytes that are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Omitted {
    /// Before the text, still to be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) bytes_before: u64,
    /// Before the text, not kept by Longshore.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) bytes_not_kept: u64,
    /// After the text, still to be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) bytes_after: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Omitted {
    /// Whether everything is shown.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// What is read: from a position, or the last lines.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// From a position on.
    From(OutputCursor),
    /// The last lines, as far as they fit.
    Tail(usize),
}

/// Reads output, at most `bytes_max` bytes; waits for at most `wait` if there is none yet.
///
/// # Errors
/// Those of the engine's output.
pub(super) async fn read(
    call: &Call,
    job: &str,
    wanted: Wanted,
    bytes_max: usize,
    wait: Duration,
) -> Result<Shown, Fault> {
    let start = match wanted {
        Wanted::From(cursor) => OutputStart::Cursor(cursor),
        Wanted::Tail(lines) => OutputStart::TailLines(lines),
    };
    let query = OutputQuery { start, bytes_max, wait, labels: false };
    let mut page = call.engine().output(&call.caller, job, query).await?;
    let mut before = 0;
    if matches!(wanted, Wanted::Tail(_)) {
        page = behind_gap(call, job, page, bytes_max).await?;
        page = last_bytes(call, job, page, bytes_max).await?;
        // The last lines lie behind whatever was not kept.
        page.omitted = page.omitted.max(not_kept(&page));
        before = page.from.offset.saturating_sub(page.omitted);
    }
    Ok(shown(page, before))
}

/// What lies behind the bytes that were not kept, when the last lines begin before those.
async fn behind_gap(call: &Call, job: &str, page: OutputPage, bytes_max: usize) -> Result<OutputPage, Fault> {
    if page.next.offset >= page.total || page.bytes.len() >= bytes_max {
        return Ok(page);
    }
    let query = OutputQuery { start: OutputStart::Cursor(page.next), bytes_max, wait: Duration::ZERO, labels: false };
    let next = call.engine().output(&call.caller, job, query).await?;
    Ok(if next.omitted > 0 { next } else { page })
}

/// The end of the output, when the last lines have more bytes than may be shown.
async fn last_bytes(call: &Call, job: &str, page: OutputPage, bytes_max: usize) -> Result<OutputPage, Fault> {
    let read_to = page.from.offset + page.bytes.len() as u64;
    if read_to >= page.total || page.bytes.len() < bytes_max {
        return Ok(page);
    }
    let offset = page.total.saturating_sub(bytes_max as u64);
    let start = OutputStart::Cursor(OutputCursor { attempt: page.from.attempt, offset });
    let query = OutputQuery { start, bytes_max, wait: Duration::ZERO, labels: false };
    let mut page = call.engine().output(&call.caller, job, query).await?;
    let skipped = partial_head(&page.bytes);
    page.bytes.drain(..skipped);
    page.from.offset += skipped as u64;
    Ok(page)
}

/// Bytes in the middle that were not kept, known once the attempt has ended.
fn not_kept(page: &OutputPage) -> u64 {
    let report = page.job.outcome().and_then(|outcome| outcome.report.as_ref());
    report.filter(|_| page.from.offset > 0).map_or(0, |report| report.output.omitted_bytes)
}

/// Length of what is left of a line whose beginning was cut off; of a character only, if there is no other line.
fn partial_head(bytes: &[u8]) -> usize {
    let line = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
    let character = bytes.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count().min(3);
    line.filter(|&at| at < bytes.len()).unwrap_or(character)
}

fn shown(mut page: OutputPage, before: u64) -> Shown {
    let read_to = page.from.offset + page.bytes.len() as u64;
    let more = read_to < page.total;
    let cut = if page.end { 0 } else { partial_tail(&page.bytes, more) };
    page.bytes.truncate(page.bytes.len() - cut);
    let cut = cut as u64;
    let next = match cut {
        0 => page.next,
        _ => OutputCursor { attempt: page.from.attempt, offset: read_to - cut },
    };
    let omitted = Omitted {
        bytes_before: before,
        bytes_not_kept: page.omitted,
        bytes_after: page.total.saturating_sub(read_to - cut),
    };
    Shown { text: text(&page), cursor: next.to_string(), omitted, end: page.end, job: page.job }
}

/// Length of what is better shown with what follows it: a line that goes on, or a character of which bytes are missing.
fn partial_tail(bytes: &[u8], more: bool) -> usize {
    let line = bytes.iter().rposition(|&byte| byte == b'\n').filter(|_| more).map(|at| bytes.len() - at - 1);
    line.unwrap_or_else(|| partial_character(bytes))
}

fn partial_character(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => bytes.len().min(4) - error.valid_up_to(),
        _ => (1..=bytes.len().min(3)).find(|&back| starts_character(&bytes[bytes.len() - back..])).unwrap_or(0),
    }
}

/// Whether these last bytes begin a character that is not complete.
fn starts_character(bytes: &[u8]) -> bool {
    matches!(std::str::from_utf8(bytes), Err(error) if error.error_len().is_none() && error.valid_up_to() == 0)
}

fn text(page: &OutputPage) -> String {
    match plain::is_binary(&page.bytes) {
        true => format!(
            "[binary data: {} of {} bytes were read; the resource {} has them]",
            page.bytes.len(),
            page.total,
            super::resources::output_uri(page.job.id)
        ),
        false => plain::readable(&page.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_a_line_or_character_does() {
        let table: &[(&[u8], bool, usize)] = &[
            (b"one\ntwo", true, 3),
            (b"one\n", true, 0),
            (b"one\ntwo", false, 0),
            ("ab\u{e9}".as_bytes(), false, 0),
            (b"ab\xc3", false, 1),
            (b"ab\xe4\xb8", true, 2),
            (b"\xf0\x9f\x98", false, 3),
            (b"abcdefgh\xff", false, 0),
            (b"\x80\x80\x80\xc3", false, 1),
            (b"", true, 0),
        ];
        for (bytes, more, cut) in table {
            assert_eq!(partial_tail(bytes, *more), *cut, "{bytes:?}");
        }
        for (bytes, cut) in [(&b"lf of a line\nnext"[..], 13), (b"\x80\x80abc", 2), (b"abc\n", 0), (b"", 0)] {
            assert_eq!(partial_head(bytes), cut, "{bytes:?}");
        }
    }
}
