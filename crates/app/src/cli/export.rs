//! `longshore export`: everything of this home into a file.

use std::path::PathBuf;

use clap::Parser;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::term::{self, Stream};
use super::{CliError, Outcome};
use crate::config::{Config, Flags};
use crate::home::Home;
use crate::moving::{self, Moved};

/// Write everything into a file, to move to another store or machine
///
/// Jobs with their history, questions, output and artifacts, queues, schedules and what chats were told. The daemon must be stopped;
/// commands go on. The file holds what commands were given in their environment: keep it as safe as the home.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The file to write
    file: PathBuf,
    /// Print counts and digests as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let config = Config::load(home, &Flags::default())?;
    let bar = bar(None);
    let moved = moving::export(home, &config, &args.file, &|jobs| bar.set_message(format!("{jobs} jobs")));
    bar.finish_and_clear();
    show(args.json, "exported", &args.file, &moved?)
}

/// Shows how far it is, if a person looks on.
pub(super) fn bar(bytes: Option<u64>) -> ProgressBar {
    match (term::is_terminal(Stream::Error), bytes) {
        (false, _) => ProgressBar::hidden(),
        (true, Some(bytes)) => ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr()),
        (true, None) => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
    }
}

/// Prints what was moved.
pub(super) fn show(as_json: bool, verb: &str, file: &std::path::Path, moved: &Moved) -> Result<u8, CliError> {
    let Moved { store, blobs, existing, without_output } = moved;
    if as_json {
        let without = without_output;
        term::json(&json!({
            "file": file, "store": store, "blobs": blobs, "existing": existing, "without_output": without
        }))?;
        return Ok(0);
    }
    let note = if *existing { ", which the store had already" } else { "" };
    term::out(&format!("{verb} {}{note}", file.display()))?;
    let tallies = [
        ("jobs", store.jobs),
        ("queues", store.queues),
        ("chats", store.chats),
        ("samples", store.samples),
        ("schedules", store.schedules),
    ];
    for (kind, tally) in tallies {
        term::out(&format!("  {kind}: {tally}"))?;
    }
    let counts = [
        ("events", store.events),
        ("questions", store.questions),
        ("keys", store.keys),
        ("artifacts", store.artifacts),
    ];
    for (kind, count) in counts {
        term::out(&format!("  {kind}: {count}"))?;
    }
    term::out(&format!("  output and artifacts: {} files, {}", blobs.count, HumanBytes(blobs.bytes)))?;
    if *without_output > 0 {
        term::note(&format!(
            "the output of {without_output} jobs is not in the file: it is on other nodes and not among the artifacts"
        ));
    }
    Ok(0)
}
