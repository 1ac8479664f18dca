//! `longshore completions`: what a shell needs to complete our commands.

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use super::{Cli, Outcome, term};

/// Print the completions for a shell
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Outcome {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "longshore", &mut script);
    term::bytes(&script)?;
    Ok(0)
}
