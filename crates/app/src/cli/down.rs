//! `longshore down`: stops the daemon; running commands go on.

use clap::Parser;
use serde_json::json;

use super::{Outcome, term};
use crate::daemon::info::DaemonInfo;
use crate::daemon::stop;
use crate::home::Home;

/// Stop the daemon; running commands go on, and the next daemon takes them up
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Do not wait for requests under way
    #[arg(long)]
    now: bool,
    /// Print what was stopped as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let found = DaemonInfo::find(home);
    if let Some(info) = &found {
        stop::stop(info, args.now)?;
    }
    let pid = found.map(|info| info.pid);
    match (args.json, pid) {
        (true, pid) => term::json(&json!({ "stopped": pid.is_some(), "daemon_pid": pid }))?,
        (false, Some(pid)) => term::out(&format!("daemon {pid} stopped; running commands go on"))?,
        (false, None) => term::note("no daemon runs"),
    }
    Ok(0)
}
