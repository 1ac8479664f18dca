//! What nodes say to one another. Nodes of two versions may meet while they are upgraded one by one.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use longshore_domain::fault::Fault;
use longshore_domain::{AttemptNumber, JobId};
use longshore_engine::ops::OUTPUT_BYTES_MAX;
use longshore_engine::peers::{Piece, Printed, ReadFrom, Reading, Said};
use longshore_engine::process::Progress;
use longshore_engine::process::output::Label;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::conversion::millis;
use super::job::ProgressBody;
use crate::home::hex;

/// Longest wait that one node asks of another.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Which output to read; of `offset` and `tail_lines` one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct ReadingQuery {
    offset: Option<u64>,
    tail_lines: Option<usize>,
    bytes_max: usize,
    wait_ms: u64,
    labels: bool,
}

impl From<&Reading> for ReadingQuery {
    fn from(reading: &Reading) -> Self {
        let (offset, tail_lines) = match reading.from {
            ReadFrom::Offset(offset) => (Some(offset), None),
            ReadFrom::TailLines(lines) => (None, Some(lines)),
        };
        let wait_ms = u64::try_from(reading.wait.as_millis()).unwrap_or(u64::MAX);
        Self { offset, tail_lines, bytes_max: reading.bytes_max, wait_ms, labels: reading.labels }
    }
}

impl ReadingQuery {
    /// As the query of an address.
    pub(crate) fn to_text(&self) -> String {
        let start = match (self.offset, self.tail_lines) {
            (_, Some(lines)) => format!("tail_lines={lines}"),
            (offset, None) => format!("offset={}", offset.unwrap_or(0)),
        };
        // A node that knows nothing of labels ignores the word.
        let labels = if self.labels { "&labels=true" } else { "" };
        format!("{start}&bytes_max={}&wait_ms={}{labels}", self.bytes_max, self.wait_ms)
    }

    /// # Errors
    /// `invalid_argument`.
    pub(crate) fn reading(&self, job: JobId, attempt: AttemptNumber) -> Result<Reading, Fault> {
        if !(1..=OUTPUT_BYTES_MAX).contains(&self.bytes_max) {
            return Err(Fault::invalid("bytes_max", format!("must be 1 to {OUTPUT_BYTES_MAX}")));
        }
        let from = self.tail_lines.map_or(ReadFrom::Offset(self.offset.unwrap_or(0)), ReadFrom::TailLines);
        let wait = Duration::from_millis(self.wait_ms).min(WAIT_MAX);
        Ok(Reading { job, attempt, from, bytes_max: self.bytes_max, wait, labels: self.labels })
    }
}

/// Everything about a piece of output but its bytes and their labels, which are the body. Sent as headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PieceHead {
    offset: u64,
    next_offset: u64,
    omitted: u64,
    total: u64,
    /// How many labels follow the bytes, each as the file beside an output has it.
    labels: usize,
}

const OFFSET: &str = "longshore-offset";
const NEXT_OFFSET: &str = "longshore-next-offset";
const OMITTED: &str = "longshore-omitted";
const TOTAL: &str = "longshore-total";
const LABELS: &str = "longshore-labels";

impl PieceHead {
    pub(crate) fn of(piece: &Piece) -> Self {
        let Piece { offset, next_offset, omitted, total, .. } = *piece;
        Self { offset, next_offset, omitted, total, labels: piece.labels.len() }
    }

    /// The piece with what the body brings; nothing if that has no room for the labels.
    pub(crate) fn with(self, mut body: Vec<u8>) -> Option<Piece> {
        let Self { offset, next_offset, omitted, total, labels } = self;
        let labels = body.split_off(body.len().checked_sub(labels.checked_mul(Label::BYTES)?)?);
        let labels = labels.as_chunks().0.iter().map(Label::from_bytes).collect();
        Some(Piece { offset, bytes: body, next_offset, omitted, total, labels })
    }

    pub(crate) fn to_headers(self) -> HeaderMap {
        let Self { offset, next_offset, omitted, total, labels } = self;
        let pairs =
            [(OFFSET, offset), (NEXT_OFFSET, next_offset), (OMITTED, omitted), (TOTAL, total), (LABELS, labels as u64)];
        pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from(value))).into_iter().collect()
    }

    /// What headers say; nothing if one is missing. Older nodes say nothing of labels, and send none.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = |name| headers.get(name)?.to_str().ok()?.parse().ok();
        let (offset, next_offset) = (number(OFFSET)?, number(NEXT_OFFSET)?);
        let labels = number(LABELS).and_then(|labels| usize::try_from(labels).ok()).unwrap_or(0);
        Some(Self { offset, next_offset, omitted: number(OMITTED)?, total: number(TOTAL)?, labels })
    }
}

/// The body that goes with a head: the bytes, and after them the labels.
pub(crate) fn piece_body(piece: Piece) -> Bytes {
    let mut body = piece.bytes;
    body.extend(piece.labels.iter().flat_map(|label| label.to_bytes()));
    body.into()
}

/// What an attempt has printed so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PrintedBody {
    bytes: u64,
    silent_ms: Option<u64>,
    progress: Option<ProgressBody>,
}

impl From<Printed> for PrintedBody {
    fn from(printed: Printed) -> Self {
        let progress = printed.progress.map(ProgressBody::from);
        Self { bytes: printed.bytes, silent_ms: printed.silent_for.map(millis), progress }
    }
}

impl From<PrintedBody> for Printed {
    fn from(body: PrintedBody) -> Self {
        let progress = body.progress.map(|ProgressBody { percent, text }| Progress { percent, text });
        Self { bytes: body.bytes, silent_for: body.silent_ms.map(Duration::from_millis), progress }
    }
}

/// What a client said: the session in one line, and after that its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SaidBody(Bytes);

/// The digest of the body, so that the token covers it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SaidQuery {
    digest: String,
}

impl From<&Said> for SaidBody {
    fn from(said: &Said) -> Self {
        Self([said.session.as_bytes(), b"\n", &said.message].concat().into())
    }
}

impl SaidBody {
    pub(crate) fn digest(&self) -> String {
        hex(&Sha256::digest(&self.0))
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }

    /// What was said.
    ///
    /// # Errors
    /// `invalid_argument` if it is not what the request was signed for.
    pub(crate) fn said(body: Bytes, query: &SaidQuery) -> Result<Said, Fault> {
        let body = Self(body);
        if body.digest() != query.digest {
            return Err(Fault::invalid("digest", "is not that of the body"));
        }
        let mut lines = body.0.splitn(2, |byte| *byte == b'\n');
        let session = lines.next().and_then(|line| String::from_utf8(line.to_vec()).ok()).unwrap_or_default();
        Ok(Said { session, message: lines.next().unwrap_or_default().to_vec() })
    }
}

/// What a node says of an attempt of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AccountBody {
    /// It is there, and its lease is renewed.
    pub(crate) lives: bool,
}

#[cfg(test)]
mod tests {
    use longshore_domain::Timestamp;
    use longshore_engine::process::output::Stream;

    use super::*;

    #[test]
    fn what_one_node_says_another_understands() {
        let label = |offset, stream| Label { offset, at: Timestamp::from_millis(1_795_000_000_123), stream };
        let labels = vec![label(5, Stream::Stdout), label(8, Stream::Stderr)];
        let piece = Piece { offset: 7, bytes: vec![0, 255], next_offset: 9, omitted: 3, total: 11, labels };
        let mut headers = PieceHead::of(&piece).to_headers();
        let head = PieceHead::read(&headers).unwrap();
        assert_eq!(head.with(piece_body(piece.clone()).into()), Some(piece.clone()));
        assert_eq!(head.with(vec![0]), None);
        headers.remove(LABELS);
        let older = PieceHead::read(&headers).unwrap();
        assert_eq!(older.with(piece.bytes.clone()), Some(Piece { labels: vec![], ..piece }));
        assert_eq!(PieceHead::read(&HeaderMap::new()), None);
        let said = Said { session: "s".into(), message: b"{}\n\n".to_vec() };
        let body = SaidBody::from(&said);
        let query = SaidQuery { digest: body.digest() };
        assert_eq!(SaidBody::said(body.into_bytes(), &query).unwrap(), said);
        assert!(SaidBody::said(Bytes::from_static(b"s\nother"), &query).is_err());
        let progress = Some(Progress { percent: 40.0, text: "40%".into() });
        for silent_for in [None, Some(Duration::from_millis(7))] {
            let printed = Printed { bytes: 3, silent_for, progress: progress.clone() };
            assert_eq!(Printed::from(PrintedBody::from(printed.clone())), printed);
        }
    }
}
