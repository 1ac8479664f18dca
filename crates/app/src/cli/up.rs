//! `longshore up`: makes sure that a daemon runs.

use clap::Parser;

use super::{Outcome, term};
use crate::daemon::start::ensure_running;
use crate::home::Home;

/// Start the daemon, if none runs
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Print the daemon as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let info = ensure_running(home)?;
    match args.json {
        true => term::json(&info)?,
        false => term::out(&format!("daemon {} listens at http://{}", info.pid, info.listen))?,
    }
    Ok(0)
}
