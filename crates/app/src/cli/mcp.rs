//! `longshore mcp`: carries the protocol between a client's pipes and the daemon. Standard output belongs to it.

use std::io;
use std::path::Path;

use clap::Parser;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_mcp::{Hello, run_bridge};
use tokio::net::UnixStream;

use super::Outcome;
use crate::config::{Config, Flags, environment};
use crate::daemon::start::ensure_running;
use crate::home::{Home, random_hex};

/// Speak MCP on standard input and output
///
/// Ends at the end of input; jobs go on. The daemon is started if none runs.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The chat that jobs belong to
    #[arg(long, value_name = "NAME")]
    conversation: Option<String>,
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let config = Config::load(home, &Flags::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::internal)?;
    let connect = async || connect(home).await;
    let bridge = run_bridge(hello(args, &config)?, tokio::io::stdin(), tokio::io::stdout(), connect);
    let ended = runtime.block_on(bridge);
    // A read of standard input that is under way cannot be ended; it goes with the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(super::CliError::Closed),
        Err(error) => {
            Err(Fault::new(FaultCode::FileFailed, "the pipes to the client broke").why(error.to_string()).into())
        }
    }
}

fn hello(args: &Args, config: &Config) -> Result<Hello, Fault> {
    let cwd = std::env::current_dir().unwrap_or_else(|_| Path::new("/").into());
    let cwd = cwd.into_os_string().into_string();
    let conversation = args.conversation.clone().or_else(environment::conversation);
    Ok(Hello {
        bridge: Hello::VERSION,
        id: random_hex()[..32].to_owned(),
        cwd: cwd.map_err(|_| Fault::invalid("cwd", "the path of this directory is not UTF-8"))?,
        env: environment::inherited(&config.env_allow),
        conversation,
    })
}

/// A connection to the daemon, which is started if none takes it.
async fn connect(home: &Home) -> io::Result<UnixStream> {
    if let Ok(stream) = UnixStream::connect(home.socket()).await {
        return Ok(stream);
    }
    let home = home.clone();
    let socket = home.socket();
    let started = tokio::task::spawn_blocking(move || ensure_running(&home)).await?;
    started.map_err(|fault| {
        super::term::fault(&fault, false);
        io::Error::other(fault)
    })?;
    UnixStream::connect(socket).await
}
