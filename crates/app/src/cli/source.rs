//! Output of one of the two streams that a command prints on.

use std::collections::VecDeque;
use std::time::Duration;

use clap::ValueEnum;
use longshore_domain::fault::Fault;
use longshore_engine::ops::OutputCursor;

use super::follow::{Follower, Label, Piece, Start};
use crate::client::{Client, escape};
use crate::http::wire::JobDetailBody;

/// A stream that a command prints on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Source {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
}

impl Source {
    fn has(self, label: &Label) -> bool {
        let name = match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        };
        label.stream.as_deref() == Some(name)
    }

    /// Leaves in a piece what came from this stream. How many bytes came from nobody knows which.
    pub(super) fn pick(self, piece: &mut Piece) -> usize {
        piece.bytes =
            piece.stretches().filter(|(label, _)| self.has(label)).flat_map(|(_, bytes)| bytes).copied().collect();
        let is_known = |label: &&Label| [Self::Stdout, Self::Stderr].iter().any(|source| source.has(label));
        let known: usize = piece.labels.iter().filter(is_known).map(|label| label.bytes).sum();
        let all: usize = piece.labels.iter().map(|label| label.bytes).sum();
        piece.labels.retain(|label| self.has(label));
        all - known
    }

    /// Where the last lines of this stream begin, as the output is now; a last line without a newline counts.
    ///
    /// # Errors
    /// Those of the follower, which is read to its end.
    pub(super) fn tail_start(self, follower: &mut Follower<'_>, lines: usize) -> Result<Start, Fault> {
        let mut starts = VecDeque::new();
        let mut within_line = false;
        loop {
            let piece = follower.next(Duration::ZERO)?;
            let attempt = piece.from.parse::<OutputCursor>()?.attempt;
            within_line &= piece.omitted == 0;
            for (label, bytes) in piece.stretches().filter(|(label, _)| self.has(label)) {
                let mut offset = label.offset;
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    if !within_line {
                        starts.push_back(OutputCursor { attempt, offset });
                        starts.drain(..starts.len().saturating_sub(lines));
                    }
                    offset += line.len() as u64;
                    within_line = !line.ends_with(b"\n");
                }
            }
            if piece.end || piece.is_nothing() {
                return Ok(Start::Cursor(starts.front().map_or(piece.next, ToString::to_string)));
            }
        }
    }
}

/// # Errors
/// `invalid_argument` if the streams of the job went through one pipe; the daemon's own.
pub(super) fn must_be_apart(client: &Client, job: &str) -> Result<(), Fault> {
    let JobDetailBody { job, spec, .. } = client.get(&format!("/api/v1/jobs/{}", escape(job)))?;
    if spec.split {
        return Ok(());
    }
    let number = job.number;
    Err(Fault::invalid("--stream", format!("the streams of job {number} were not captured apart"))
        .why("both went through one pipe, so nobody knows what was printed on which")
        .next(format!("`longshore logs {number}` shows both; run it with `longshore run --split` to tell them apart")))
}
