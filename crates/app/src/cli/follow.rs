//! Reads a job's output piece by piece, also while it runs.

use std::time::Duration;

use longshore_domain::fault::Fault;

use crate::client::{Client, escape};
use crate::http::output::headers;
use crate::http::wire::ProgressBody;

/// Bytes asked for at once.
const BYTES: usize = 1024 * 1024;

/// A reader's place in the output of one job.
pub(super) struct Follower<'a> {
    client: &'a Client,
    job: String,
    start: Start,
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
}

impl<'a> Follower<'a> {
    /// A reader of the output of `job`, as the daemon calls it.
    pub(super) fn new(client: &'a Client, job: &str, start: Start) -> Self {
        Self { client, job: escape(job), start }
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
        let raw = self.client.get_raw(&format!("/api/v1/jobs/{job}/output?bytes_max={BYTES}&wait_s={wait}{start}"))?;
        let next = raw.header(headers::CURSOR).to_owned();
        self.start = Start::Cursor(next.clone());
        Ok(Piece {
            from: raw.header(headers::FROM).to_owned(),
            next,
            omitted: raw.header(headers::OMITTED).parse().unwrap_or(0),
            end: raw.header(headers::END) == "true",
            progress: serde_json::from_str(raw.header(headers::PROGRESS)).ok(),
            bytes: raw.bytes,
        })
    }
}

/// What is said in place of bytes that were not kept.
pub(super) fn gap(omitted: u64) -> String {
    format!("… {omitted} bytes were not kept …")
}
