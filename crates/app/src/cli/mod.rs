//! The command line: one file per command. Only this module prints.

mod brief;
mod cancel;
mod command_args;
mod completions;
mod config;
mod doctor;
mod down;
mod drain;
mod exit;
mod export;
mod follow;
mod gc;
mod import;
mod job_text;
mod logs;
mod ls;
mod mcp;
mod nodes;
mod pin;
mod result;
mod retry;
mod rm;
mod run;
mod schedule;
mod serve;
mod show;
mod source;
mod stamps;
mod status_line;
mod term;
mod token;
mod up;
mod wait;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use longshore_domain::fault::Fault;

use crate::client::Client;
use crate::home::Home;

/// Durable jobs for AI agents, over MCP.
///
/// Jobs go on when the terminal, the agent or the daemon ends. A JOB is its id, its number (`12` or `#12`), or `@` for
/// the newest one. The daemon is started when it is needed.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, max_term_width = 100, after_help = "Exit codes: longshore help exit-codes")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Schedule(schedule::Args),
    Ls(ls::Args),
    Show(show::Args),
    Logs(logs::Args),
    Wait(wait::Args),
    Brief(brief::Args),
    Result(result::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Rm(rm::Args),
    Pin(pin::Args),
    Unpin(pin::Args),
    Gc(gc::Args),
    Export(export::Args),
    Import(import::Args),
    Nodes(nodes::Args),
    Drain(drain::Args),
    Up(up::Args),
    Down(down::Args),
    Serve(serve::Args),
    Mcp(mcp::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Token(token::Args),
    Completions(completions::Args),
    #[command(hide = true, long_about = exit::TABLE)]
    ExitCodes,
}

impl Command {
    /// Whether its exit code is that of a job.
    fn ends_as_a_job(&self) -> bool {
        matches!(self, Self::Run(_) | Self::Wait(_) | Self::Result(_))
    }
}

/// Why a command ended without doing what it was asked.
#[derive(Debug)]
enum CliError {
    /// Something went wrong, and the fault says what.
    Fault(Fault),
    /// Whoever read our output has gone; there is nobody to tell.
    Closed,
}

impl From<Fault> for CliError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What a command comes to: its exit code.
type Outcome = Result<u8, CliError>;

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let parsed = Cli::command().try_get_matches();
    let parsed = parsed.and_then(|matches| Ok((wants_json(&matches), Cli::from_arg_matches(&matches)?)));
    let (json, cli) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help that nobody reads any more is no failure.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE));
        }
    };
    let closed = if cli.command.ends_as_a_job() { exit::CUT_OFF } else { 0 };
    let code = match dispatch(cli.command) {
        Ok(code) => code,
        Err(CliError::Closed) => closed,
        Err(CliError::Fault(fault)) => {
            term::fault(&fault, json);
            fault.code.exit_code()
        }
    };
    ExitCode::from(code)
}

/// Whether the command that the arguments name is to be read by a program. Each has the word or has it not.
fn wants_json(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, command)) => wants_json(command),
        None => matches.try_get_one::<bool>("json").is_ok_and(|json| json == Some(&true)),
    }
}

fn dispatch(command: Command) -> Outcome {
    let home = Home::find()?;
    let client = || Client::connect(&home);
    match command {
        Command::Run(args) => run::run(*args, &home),
        Command::Schedule(args) => schedule::run(args, &home),
        Command::Ls(args) => ls::run(&args, &client()?),
        Command::Show(args) => show::run(&args, &client()?),
        Command::Logs(args) => logs::run(&args, &client()?),
        Command::Wait(args) => wait::run(args, &home),
        Command::Brief(args) => brief::run(&args, &home),
        Command::Result(args) => result::run(&args, &client()?),
        Command::Cancel(args) => cancel::run(&args, &client()?),
        Command::Retry(args) => retry::run(&args, &client()?),
        Command::Rm(args) => rm::run(&args, &client()?),
        Command::Pin(args) => pin::run(&args, &client()?, true),
        Command::Unpin(args) => pin::run(&args, &client()?, false),
        Command::Gc(args) => gc::run(&args, &client()?),
        Command::Export(args) => export::run(&args, &home),
        Command::Import(args) => import::run(&args, &home),
        Command::Nodes(args) => nodes::run(&args, &client()?),
        Command::Drain(args) => drain::run(&args, &client()?),
        Command::Up(args) => up::run(&args, &home),
        Command::Down(args) => down::run(&args, &home),
        Command::Serve(args) => serve::run(args, &home),
        Command::Mcp(args) => mcp::run(&args, &home),
        Command::Doctor(args) => doctor::run(&args, &home),
        Command::Config(args) => config::run(&args, &home),
        Command::Token(args) => token::run(&args, &home),
        Command::Completions(args) => completions::run(&args),
        Command::ExitCodes => term::out(exit::TABLE).map(|()| 0),
    }
}
