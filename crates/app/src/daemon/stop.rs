//! Stopping the daemon of a home. Running commands go on without it.

use std::time::{Duration, Instant};

use longshore_domain::fault::{Fault, FaultCode};
use rustix::process::{Pid, Signal};

use super::info::DaemonInfo;

/// Longest wait for a daemon that was asked to stop: its own 10 s to drain, and some.
const STOP_MAX: Duration = Duration::from_secs(20);
/// Pause between two looks where the system cannot tell us of the end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks the daemon to stop and waits until it has; with `now` it ends without finishing what it is doing.
///
/// # Errors
/// `daemon_unreachable` if it does not end in time; `forbidden` if it belongs to somebody else.
pub(crate) fn stop(info: &DaemonInfo, now: bool) -> Result<(), Fault> {
    let pid =
        i32::try_from(info.pid).ok().and_then(Pid::from_raw).ok_or_else(|| Fault::internal("pid out of range"))?;
    // Two different signals, because a second one of the same kind is merged with the first.
    let signals: &[Signal] = if now { &[Signal::TERM, Signal::INT] } else { &[Signal::TERM] };
    for &signal in signals {
        if !info.lives() {
            return Ok(());
        }
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => {
                return Err(Fault::new(FaultCode::Forbidden, format!("process {} cannot be stopped", info.pid))
                    .why(error.to_string()));
            }
        }
    }
    wait(info)
}

fn wait(info: &DaemonInfo) -> Result<(), Fault> {
    let deadline = Instant::now() + STOP_MAX;
    while info.lives() {
        if Instant::now() > deadline {
            return Err(Fault::new(FaultCode::DaemonUnreachable, format!("process {} does not end", info.pid))
                .why(format!("it was asked to {} s ago", STOP_MAX.as_secs()))
                .next("try `longshore down --now`; commands that run are not touched"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
