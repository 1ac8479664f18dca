//! The binary `longshore`: configuration, the daemon with its HTTP interface, and the command line.
//!
//! Doors translate, call an operation of the engine, and translate back; nothing is decided here. A module uses only
//! what stands above it in this list.

mod access;
mod cli;
mod client;
mod config;
mod daemon;
mod home;
mod http;
mod moving;
mod peers;
mod problem;
mod serve;
mod store;

use std::process::ExitCode;

/// First argument that makes this program the process that starts commands, without any of the rest.
const SHIM: &str = "shim";

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == SHIM) {
        return ExitCode::from(longshore_engine::shim::run_spawner());
    }
    cli::main()
}
