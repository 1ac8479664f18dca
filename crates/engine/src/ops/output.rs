//! What a job printed, from any position, also while it runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{AttemptNumber, Job};
use tokio::time::Instant;

use crate::Engine;
use crate::engine::Caller;
use crate::peers::{Piece, ReadFrom, Reading};
use crate::process::output::Label;

/// Most bytes in one answer.
pub const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest wait that is asked of another node in one request.
const PEER_WAIT_MAX: Duration = Duration::from_secs(20);

/// A position in the output of a job: the attempt, and the byte within it. Written `attempt.offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCursor {
    /// The attempt.
    pub attempt: AttemptNumber,
    /// The first byte not yet read.
    pub offset: u64,
}

impl fmt::Display for OutputCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.attempt, self.offset)
    }
}

impl FromStr for OutputCursor {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let parsed = text.split_once('.').and_then(|(attempt, offset)| {
            Some(Self { attempt: AttemptNumber(attempt.parse().ok()?), offset: offset.parse().ok()? })
        });
        parsed.ok_or_else(|| stale(text, "it has not the form that answers give it"))
    }
}

/// Where to begin to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputStart {
    /// At the first byte of the newest attempt.
    #[default]
    Head,
    /// At a position from an earlier answer.
    Cursor(OutputCursor),
    /// So that the last lines of the newest attempt are read.
    TailLines(usize),
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct OutputQuery {
    /// Where to begin.
    pub start: OutputStart,
    /// Most bytes, 1 to [`OUTPUT_BYTES_MAX`].
    pub bytes_max: usize,
    /// How long to wait for something new if there is nothing; an engine that drains waits no longer.
    pub wait: Duration,
    /// Whether to tell when the bytes came, and from which stream.
    pub labels: bool,
}

/// Some output.
#[derive(Clone, Debug)]
pub struct OutputPage {
    /// The job as it stood after reading.
    pub job: Job,
    /// Where the bytes begin.
    pub from: OutputCursor,
    /// The bytes exactly as they were printed.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next: OutputCursor,
    /// The label in force at the first byte and those within the bytes, by their offset in the output of the attempt;
    /// none if they were not asked for, or nothing is known.
    pub labels: Vec<Label>,
    /// Bytes between the asked position and `from` that were not kept.
    pub omitted: u64,
    /// Bytes that the attempt has printed so far; those that no disk took only once `from` lies behind them.
    pub total: u64,
    /// Nothing more will come after these bytes.
    pub end: bool,
}

impl Engine {
    /// Reads some output. Two readers never disturb one another; the same cursor gives the same bytes, unless they
    /// lie in the part that is not kept. Cancel safe.
    ///
    /// # Errors
    /// `job_not_found`, `output_expired`, `stale_cursor`, `invalid_argument`.
    pub async fn output(&self, caller: &Caller, name: &str, query: OutputQuery) -> Result<OutputPage, Fault> {
        let job = self.find(&caller.principal, name).await?;
        if !(1..=OUTPUT_BYTES_MAX).contains(&query.bytes_max) {
            return Err(Fault::invalid("bytes_max", format!("must be 1 to {OUTPUT_BYTES_MAX}")));
        }
        let deadline = Instant::now() + query.wait;
        let mut news = self.inner.hub.listen(job.id);
        let _watch = (!query.wait.is_zero() && !job.is_finished()).then(|| self.inner.watch_output(job.id));
        let mut start = query.start;
        loop {
            // The job is read before its output: if it is finished, the output read next is all there will be.
            let job = self.inner.store.job(job.id).await?.ok_or_else(|| Fault::job_not_found(name))?;
            let attempt = attempt_asked_for(&job, start)?;
            let elsewhere = self.elsewhere(&job, attempt).await?;
            // Only where an attempt runs its output is news.
            let wait = match job.is_finished() || attempt < job.attempt {
                false if elsewhere.is_some() => deadline.saturating_duration_since(Instant::now()).min(PEER_WAIT_MAX),
                _ => Duration::ZERO,
            };
            let from = match start {
                OutputStart::Head => ReadFrom::Offset(0),
                OutputStart::Cursor(cursor) => ReadFrom::Offset(cursor.offset),
                OutputStart::TailLines(lines) => ReadFrom::TailLines(lines),
            };
            let OutputQuery { bytes_max, labels, .. } = query;
            let reading = Reading { job: job.id, attempt, from, bytes_max, wait, labels };
            let piece = match (elsewhere, &self.inner.peers) {
                (Some(node), Some(peers)) => {
                    let read = self.inner.unless_draining(peers.read(node, reading)).await;
                    self.or_kept(&job, &reading, read).await?
                }
                _ => self.read_here_or_kept(&job, &reading).await?,
            };
            let page = page(job, start, attempt, piece)?;
            let moved_on = matches!(start, OutputStart::Cursor(cursor) if cursor.attempt != page.next.attempt);
            if !page.bytes.is_empty() || page.end || page.omitted > 0 {
                return Ok(page);
            }
            start = OutputStart::Cursor(page.next);
            let is_late = match elsewhere {
                Some(_) => Instant::now() >= deadline,
                None => !moved_on && !self.inner.came(news.changed(), deadline).await,
            };
            if is_late {
                return Ok(page);
            }
        }
    }
}

/// # Errors
/// `output_expired`, `stale_cursor`.
fn attempt_asked_for(job: &Job, start: OutputStart) -> Result<AttemptNumber, Fault> {
    if job.output_expired {
        return Err(Fault::new(FaultCode::OutputExpired, format!("the output of job {} was removed", job.id))
            .why("it is older than the retention of output, or space was needed")
            .next("the job's outcome is still on record; pin jobs whose output must stay"));
    }
    match start {
        OutputStart::Cursor(cursor) if cursor.attempt > job.attempt => {
            Err(stale(&cursor.to_string(), "the job has no such attempt"))
        }
        OutputStart::Cursor(cursor) => Ok(cursor.attempt),
        _ => Ok(job.attempt),
    }
}

fn page(job: Job, start: OutputStart, attempt: AttemptNumber, piece: Piece) -> Result<OutputPage, Fault> {
    let printed = printed(&job, attempt).max(piece.total);
    if let OutputStart::Cursor(cursor) = start
        && cursor.offset > printed
    {
        return Err(stale(&cursor.to_string(), "it lies beyond the end of the output"));
    }
    let piece = behind_lost(piece, printed);
    let at_end = piece.next_offset >= printed;
    let older = attempt < job.attempt;
    let next = match at_end && older {
        true => OutputCursor { attempt: attempt.next(), offset: 0 },
        false => OutputCursor { attempt, offset: piece.next_offset },
    };
    Ok(OutputPage {
        from: OutputCursor { attempt, offset: piece.offset },
        bytes: piece.bytes,
        labels: piece.labels,
        next,
        omitted: piece.omitted,
        total: piece.total,
        end: at_end && !older && job.is_finished(),
        job,
    })
}

/// Bytes that an attempt printed, by its report, whatever the disk took of them; 0 where no report is at hand.
fn printed(job: &Job, attempt: AttemptNumber) -> u64 {
    let report = job.outcome().and_then(|outcome| outcome.report.as_ref()).filter(|_| attempt == job.attempt);
    report.map_or(0, |report| report.output.bytes)
}

/// The piece, or if nothing is left of what the disk took, one that leaves out the rest of what was printed.
fn behind_lost(piece: Piece, printed: u64) -> Piece {
    if !piece.bytes.is_empty() || piece.next_offset < piece.total || piece.next_offset >= printed {
        return piece;
    }
    let omitted = piece.omitted + (printed - piece.next_offset);
    Piece { offset: printed, next_offset: printed, omitted, total: printed, ..piece }
}

fn stale(cursor: &str, why: &str) -> Fault {
    Fault::new(FaultCode::StaleCursor, format!("the cursor `{cursor}` leads nowhere"))
        .why(why)
        .next("read without a cursor to begin anew")
}
