//! `longshore import`: everything in a file into this home.

use std::path::PathBuf;

use clap::Parser;

use super::{Outcome, export};
use crate::config::{Config, Flags};
use crate::home::Home;
use crate::moving;

/// Bring everything from a file that `longshore export` wrote into an empty store
///
/// The daemon must be stopped, and so must all others that share the store. What arrived is compared with the file. It
/// can be interrupted and repeated; a store with jobs of its own is left as it is.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The file to read
    file: PathBuf,
    /// Print counts and digests as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let config = Config::load(home, &Flags::default())?;
    let bytes = std::fs::metadata(&args.file).ok().map(|found| found.len());
    let bar = export::bar(bytes);
    let moved = moving::import(home, &config, &args.file, &|position| bar.set_position(position));
    bar.finish_and_clear();
    export::show(args.json, "imported", &args.file, &moved?)
}
