//! `longshore serve`: is the daemon, in the foreground.

use clap::Parser;

use super::{CliError, Outcome};
use crate::config::{Config, Flags};
use crate::daemon::announce;
use crate::home::Home;
use crate::serve::{self, End};

/// Be the daemon, in the foreground
///
/// SIGTERM and SIGINT end it in order; a second one ends it at once. Running commands go on.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Listen at this address instead of the configured one, `IP:port`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Leave the session, and tell through standard output how the start went
    #[arg(long, hide = true)]
    detached: bool,
}

pub(super) fn run(args: Args, home: &Home) -> Outcome {
    let detached = args.detached;
    let config = Config::load(home, &Flags { listen: args.listen });
    if let (Err(fault), true) = (&config, detached) {
        announce::tell(Err(fault));
    }
    match serve::run(home, config?, detached) {
        Ok(End::Clean) => Ok(0),
        Ok(End::Hurried(signal)) => Ok(u8::try_from(128 + signal).unwrap_or(1)),
        Err(fault) => Err(CliError::Fault(fault)),
    }
}
