//! The log: to standard error, which is a file when the daemon runs in the background.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Begins to log. Called once.
pub(crate) fn start(log: &Log) {
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // They would be told on standard error, which is what failed: `eprintln!` panics then.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && crate::config::environment::variable("NO_COLOR").is_none());
    match log.json {
        true => builder.json().init(),
        false => builder.init(),
    }
}
