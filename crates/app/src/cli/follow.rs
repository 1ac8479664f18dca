//! Reads a job's output piece by piece, also while it runs.

use std::time::Duration;

use longshore_domain::fault::Fault;
use serde::Serialize;

use super::{CliError, term};
use crate::client::{Client, escape, misunderstood};
use crate::http::output::headers;
use crate::http::wire::{ProgressBody, StretchBody};

/// Bytes asked for at once.
const BYTES: usize = 1024 * 1024;

/// A reader's place in the output of one job.
pub(super) struct Follower<'a> {
    client: &'a Client,
    job: String,
    start: Start,
    labels: bool,
}

/// Where a reader begins.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Head,
    Tail(usize),
    Cursor(String),
}

/// Some output.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Where the bytes begin.
    pub(super) from: String,
    /// Where the next piece begins.
    pub(super) next: String,
    /// Bytes before these that were not kept.
    pub(super) omitted: u64,
    /// Nothing more will come.
    pub(super) end: bool,
    pub(super) progress: Option<ProgressBody>,
    /// What is known of the bytes, stretch by stretch, if it was asked for.
    pub(super) labels: Vec<Label>,
}

/// What is known of a stretch of a piece.
#[derive(Debug, Serialize)]
pub(super) struct Label {
    /// Where it begins in the output of the attempt.
    pub(super) offset: u64,
    /// When its first byte was read.
    pub(super) at: Option<String>,
    /// `stdout`, `stderr` or `merged`.
    pub(super) stream: Option<String>,
    /// Its length.
    pub(super) bytes: usize,
}

impl Piece {
    /// Nothing came.
    pub(super) fn is_nothing(&self) -> bool {
        self.bytes.is_empty() && self.omitted == 0
    }

    /// Prints the bytes, and says first how many before them were not kept.
    ///
    /// # Errors
    /// As [`term::bytes`].
    pub(super) fn print(&self) -> Result<(), CliError> {
        self.note_gap();
        term::bytes(&self.bytes)
    }

    /// Says how many bytes before these were not kept, if some were not.
    pub(super) fn note_gap(&self) {
        if self.omitted > 0 {
            term::note(&format!("… {} bytes were not kept …", self.omitted));
        }
    }

    /// Each label with the bytes that it is about.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (&Label, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.labels.iter().map(move |label| {
            let (bytes, after) = rest.split_at(label.bytes.min(rest.len()));
            rest = after;
            (label, bytes)
        })
    }
}

impl<'a> Follower<'a> {
    /// A reader of the output of `job`, as the daemon calls it.
    pub(super) fn new(client: &'a Client, job: &str, start: Start) -> Self {
        Self { client, job: escape(job), start, labels: false }
    }

    /// The same with labels.
    pub(super) fn labelled(self) -> Self {
        Self { labels: true, ..self }
    }

    /// The next piece; waits at most `wait` if there is none, and then gives an empty one.
    ///
    /// # Errors
    /// The daemon's own, e.g. `stale_cursor`, `output_expired`.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Piece, Fault> {
        let start = match &self.start {
            Start::Head => String::new(),
            Start::Tail(lines) => format!("&tail_lines={lines}"),
            Start::Cursor(cursor) => format!("&cursor={}", escape(cursor)),
        };
        let job = &self.job;
        let wait = wait.as_secs_f64();
        let labels = if self.labels { "&labels=true" } else { "" };
        let path = format!("/api/v1/jobs/{job}/output?bytes_max={BYTES}&wait_s={wait}{labels}{start}");
        let mut raw = self.client.get_raw(&path)?;
        let labels = if self.labels { unpack(&mut raw.bytes)? } else { vec![] };
        let next = raw.header(headers::CURSOR).to_owned();
        self.start = Start::Cursor(next.clone());
        Ok(Piece {
            from: raw.header(headers::FROM).to_owned(),
            next,
            omitted: raw.header(headers::OMITTED).parse().unwrap_or(0),
            end: raw.header(headers::END) == "true",
            progress: serde_json::from_str(raw.header(headers::PROGRESS)).ok(),
            bytes: raw.bytes,
            labels,
        })
    }
}

/// Turns lines, each a stretch, into the bytes in them; what the lines say beside that.
fn unpack(lines: &mut Vec<u8>) -> Result<Vec<Label>, Fault> {
    let mut labels = vec![];
    let mut all = vec![];
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let stretch: StretchBody = serde_json::from_slice(line).map_err(misunderstood)?;
        let (offset, at, stream) = (stretch.offset, stretch.at.clone(), stretch.stream.clone());
        let bytes = stretch.into_bytes();
        labels.push(Label { offset, at, stream, bytes: bytes.len() });
        all.extend(bytes);
    }
    *lines = all;
    Ok(labels)
}
