//! What a job printed, from any position, also while it runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{AttemptNumber, Job};
use tokio::time::Instant;

use crate::Engine;
use crate::engine::Caller;
use crate::process::output::{Chunk, OutputFile};

/// Most bytes in one answer.
pub const OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

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
    /// Bytes between the asked position and `from` that were not kept.
    pub omitted: u64,
    /// Bytes that the attempt has printed so far.
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
            let page = self.read_page(job, start, query.bytes_max).await?;
            let moved_on = matches!(start, OutputStart::Cursor(cursor) if cursor.attempt != page.next.attempt);
            if !page.bytes.is_empty() || page.end || page.omitted > 0 {
                return Ok(page);
            }
            start = OutputStart::Cursor(page.next);
            if !moved_on && !self.inner.came(news.changed(), deadline).await {
                return Ok(page);
            }
        }
    }

    async fn read_page(&self, job: Job, start: OutputStart, bytes_max: usize) -> Result<OutputPage, Fault> {
        if job.output_expired {
            return Err(Fault::new(FaultCode::OutputExpired, format!("the output of job {} was removed", job.id))
                .why("it is older than the retention of output, or space was needed")
                .next("the job's outcome is still on record; pin jobs whose output must stay"));
        }
        let attempt = match start {
            OutputStart::Cursor(cursor) => cursor.attempt,
            _ => job.attempt,
        };
        if attempt > job.attempt {
            return Err(stale(&format!("{attempt}.0"), "the job has no such attempt"));
        }
        let path = self.inner.settings.output_path(&job, attempt);
        let (total, chunk) = tokio::task::spawn_blocking(move || read(&path, start, bytes_max))
            .await
            .map_err(Fault::internal)?
            .map_err(|error| {
                Fault::new(FaultCode::FileFailed, "the output could not be read").why(error.to_string())
            })?;
        if let OutputStart::Cursor(cursor) = start
            && cursor.offset > total
        {
            return Err(stale(&cursor.to_string(), "it lies beyond the end of the output"));
        }
        Ok(page(job, attempt, total, chunk))
    }
}

fn page(job: Job, attempt: AttemptNumber, total: u64, chunk: Chunk) -> OutputPage {
    let at_end = chunk.next_offset >= total;
    let older = attempt < job.attempt;
    let next = match at_end && older {
        true => OutputCursor { attempt: attempt.next(), offset: 0 },
        false => OutputCursor { attempt, offset: chunk.next_offset },
    };
    OutputPage {
        from: OutputCursor { attempt, offset: chunk.offset },
        bytes: chunk.bytes,
        next,
        omitted: chunk.gap,
        total,
        end: at_end && !older && job.is_finished(),
        job,
    }
}

fn read(path: &std::path::Path, start: OutputStart, bytes_max: usize) -> std::io::Result<(u64, Chunk)> {
    let file = OutputFile::open(path)?;
    let offset = match start {
        OutputStart::Head => 0,
        OutputStart::Cursor(cursor) => cursor.offset,
        OutputStart::TailLines(lines) => file.tail_start(lines)?,
    };
    let chunk = file.read(offset, bytes_max)?;
    Ok((file.total(), chunk))
}

fn stale(cursor: &str, why: &str) -> Fault {
    Fault::new(FaultCode::StaleCursor, format!("the cursor `{cursor}` leads nowhere"))
        .why(why)
        .next("read without a cursor to begin anew")
}
