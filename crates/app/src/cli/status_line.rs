//! The line below the output of a job in the foreground: what it does, for how long, how long yet.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use longshore_domain::Position;

use super::CliError;
use super::term::{self, Stream};
use crate::client::LEG;
use crate::config::units::{about_length, roughly};
use crate::http::wire::{JobBody, ProgressBody};

/// How often the line is renewed while the job is silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Silence shorter than this is not worth a word.
const SILENCE_MIN_MS: u64 = 30_000;
/// A line of output without an end is held back up to this length, so that it does not mix with ours.
const HELD_BYTES_MAX: usize = 8 * 1024;

/// The line, or its absence where there is no terminal.
pub(super) struct StatusLine {
    bar: Option<ProgressBar>,
    held: RefCell<Vec<u8>>,
    updated: Cell<Option<Instant>>,
}

impl StatusLine {
    /// Begins to show the line, if it is wanted and standard error leads to a terminal.
    pub(super) fn start(wanted: bool, job: &JobBody) -> Self {
        let bar = (wanted && term::is_terminal(Stream::Error)).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(spinner());
            bar.set_message(describe(job));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, held: RefCell::default(), updated: Cell::default() }
    }

    /// Whether there is a line, and what it says has grown old.
    pub(super) fn wants_update(&self) -> bool {
        self.bar.is_some() && self.updated.get().is_none_or(|at| at.elapsed() >= LOOK_EVERY)
    }

    /// How long to wait for output before the line wants renewal.
    pub(super) fn look_every(&self) -> Duration {
        if self.bar.is_some() { LOOK_EVERY } else { LEG }
    }

    /// Shows what is known of the job now.
    pub(super) fn update(&self, job: &JobBody, progress: Option<&ProgressBody>) {
        let Some(bar) = &self.bar else { return };
        self.updated.set(Some(Instant::now()));
        bar.set_message(describe(job));
        if let Some(progress) = progress {
            bar.set_length(100);
            bar.set_position(progress.percent.clamp(0.0, 100.0) as u64);
            // Last, since it is what shows the others.
            bar.set_style(percentage());
        }
    }

    /// Does something to the terminal with the line out of the way.
    pub(super) fn around(&self, work: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(work),
            None => work(),
        }
    }

    /// Prints output above the line; all of it once the job is at its `end`.
    ///
    /// # Errors
    /// [`CliError::Closed`] if nobody reads any more.
    pub(super) fn print(&self, bytes: &[u8], end: bool) -> Result<(), CliError> {
        let Some(bar) = &self.bar else { return term::bytes(bytes) };
        if !term::is_terminal(Stream::Out) {
            return term::bytes(bytes);
        }
        let mut held = self.held.borrow_mut();
        held.extend_from_slice(bytes);
        let ready = match held.iter().rposition(|&byte| byte == b'\n') {
            _ if end => held.len(),
            Some(at) => at + 1,
            None if held.len() > HELD_BYTES_MAX => held.len(),
            None => 0,
        };
        let ready: Vec<u8> = held.drain(..ready).collect();
        let Some(last) = ready.last() else { return Ok(()) };
        let unended = *last != b'\n';
        bar.suspend(|| {
            term::bytes(&ready)?;
            if unended {
                term::note("");
            }
            Ok(())
        })
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn percentage() -> ProgressStyle {
    let bar = ProgressStyle::with_template("{spinner} {elapsed} [{bar:24}] {percent}% {wide_msg}");
    bar.unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn describe(job: &JobBody) -> String {
    let mut parts = vec![format!("job {} {}", job.number, job.state)];
    if let Some(position) = job.position {
        parts.push(format!("{} before it", Position::behind(position)));
    }
    if let Some(remaining) = job.remaining_ms {
        let usually = job.estimate.as_ref().map(|estimate| {
            format!(" (usually {} to {})", about_length(estimate.low_ms), about_length(estimate.high_ms))
        });
        parts.push(format!("{} left{}", roughly(remaining), usually.unwrap_or_default()));
    }
    if let Some(silent) = job.silent_ms.filter(|silent| *silent >= SILENCE_MIN_MS) {
        parts.push(format!("silent for {}", about_length(silent)));
    }
    parts.join(", ")
}
