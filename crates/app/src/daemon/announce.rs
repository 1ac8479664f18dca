//! How a daemon tells whoever started it that it is ready, or why it is not: one line through a pipe that is its
//! standard output. Afterwards its standard output leads nowhere.

use std::fs::OpenOptions;
use std::io::Write;

use longshore_domain::fault::Fault;

/// The line of a daemon that is ready; any other line is a fault as JSON.
const READY: &str = "ready";

/// Tells the starter how the start went, and lets go of the pipe.
pub(crate) fn tell(result: Result<(), &Fault>) {
    let line = match result {
        Ok(()) => READY.to_owned(),
        Err(fault) => serde_json::to_string(fault).unwrap_or_default(),
    };
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "whoever started this daemon has gone");
    }
    let nowhere = OpenOptions::new().write(true).open("/dev/null").map_err(|error| error.to_string());
    let freed = nowhere.and_then(|file| rustix::stdio::dup2_stdout(file).map_err(|error| error.to_string()));
    if let Err(error) = freed {
        tracing::warn!(%error, "the pipe to the starter stays open");
    }
}

/// Reads what a daemon told; nothing if it ended without a word.
pub(crate) fn read(line: &str) -> Option<Result<(), Fault>> {
    match line.trim() {
        "" => None,
        READY => Some(Ok(())),
        fault => Some(Err(serde_json::from_str(fault).unwrap_or_else(Fault::internal))),
    }
}
