//! `longshore brief`: what a chat should know now, for hooks that begin a session.

use clap::Parser;
use longshore_domain::fault::FaultCode;

use super::{CliError, Outcome, term};
use crate::client::{Client, escape};
use crate::config::environment;
use crate::daemon::start::running;
use crate::home::Home;
use crate::http::wire::BriefBody;

/// Tell a chat what ended since it last heard, what runs and what waits
///
/// Made for hooks: at most 200 tokens, and nothing at all if there is nothing to tell, the chat is not known or no
/// daemon runs. Each end is told once.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The chat; absent = the one that the environment names
    #[arg(long, value_name = "NAME")]
    conversation: Option<String>,
    /// Leave the ends to be told to whoever asks next
    #[arg(long)]
    peek: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let named = args.conversation.clone().filter(|name| !name.trim().is_empty());
    let Some(conversation) = named.or_else(environment::conversation) else { return Ok(0) };
    let Some(daemon) = running(home) else { return Ok(0) };
    let client = Client::to(home, &daemon.listen.to_string())?;
    let path = format!("/api/v1/brief?conversation={}&peek={}", escape(conversation.trim()), args.peek);
    let brief: BriefBody = match client.get_once(&path) {
        Ok(brief) => brief,
        // It has ended since: then nothing is told now, and nothing is lost.
        Err(fault) if fault.code == FaultCode::DaemonUnreachable => return Ok(0),
        Err(fault) => return Err(CliError::Fault(fault)),
    };
    match (brief.text.is_empty(), args.json) {
        (true, _) => {}
        (false, true) => term::json(&brief)?,
        (false, false) => term::out(&brief.text)?,
    }
    Ok(0)
}
