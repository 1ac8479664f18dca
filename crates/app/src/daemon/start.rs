//! Finding the daemon of a home, and starting one if there is none.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};

use super::info::DaemonInfo;
use super::{announce, lock, logfile};
use crate::home::Home;
use crate::problem::file_failed;

/// Longest wait for a daemon to become ready.
const READY_MAX: Duration = Duration::from_secs(15);
/// Longest wait for the answer of a daemon that should be ready.
const HEALTH_MAX: Duration = Duration::from_secs(2);

/// The daemon of `home`, started if none answers. Of several that start one at once, one does and all get it.
///
/// # Errors
/// The fault of the daemon itself; `daemon_unreachable` if it does not become ready in time.
pub(crate) fn ensure_running(home: &Home) -> Result<DaemonInfo, Fault> {
    if let Some(info) = running(home) {
        return Ok(info);
    }
    let starter = lock::starter(home)?;
    let found = match running(home) {
        Some(info) => Ok(info),
        None => start(home),
    };
    starter.release();
    found
}

/// The daemon of `home`, if one lives and answers.
pub(crate) fn running(home: &Home) -> Option<DaemonInfo> {
    DaemonInfo::find(home).filter(|info| answers(info.listen))
}

/// Whether a daemon at `address` says that it is there, healthy or not.
fn answers(address: SocketAddr) -> bool {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(HEALTH_MAX))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .new_agent();
    agent.get(format!("http://{address}/health")).call().is_ok()
}

fn start(home: &Home) -> Result<DaemonInfo, Fault> {
    let mut child = spawn(home)?;
    let pipe = child.stdout.take().ok_or_else(|| Fault::internal("no pipe to the daemon"))?;
    let word = first_line(pipe).recv_timeout(READY_MAX);
    match word.map(|line| announce::read(&line)) {
        Ok(Some(Ok(()))) => {
            DaemonInfo::find(home).ok_or_else(|| not_ready("it was ready and ended at once".into(), home))
        }
        Ok(Some(Err(fault))) if fault.code == FaultCode::AlreadyRunning => running(home).ok_or(fault),
        Ok(Some(Err(fault))) => Err(fault),
        Ok(None) => {
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(not_ready(format!("it ended without a word: {status}"), home))
        }
        Err(_) => Err(not_ready(format!("it was not ready within {} s", READY_MAX.as_secs()), home)),
    }
}

/// Starts `longshore serve` in a session of its own, so that it outlives its starter's terminal and process group.
fn spawn(home: &Home) -> Result<Child, Fault> {
    home.prepare()?;
    let program = std::env::current_exe().map_err(|error| file_failed(home.root(), "served", &error))?;
    Command::new(&program)
        .args(["serve", "--detached"])
        .env("LONGSHORE_HOME", home.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(logfile::open(&home.log())?)
        .spawn()
        .map_err(|error| file_failed(&program, "started", &error))
}

/// Reads one line in a thread of its own, so that the wait for it can be bounded.
fn first_line(pipe: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(pipe).read_line(&mut line);
        // The starter may have given up; then nobody wants to know.
        sender.send(read.map_or_else(|_| String::new(), |_| line)).ok();
    });
    receiver
}

fn not_ready(why: String, home: &Home) -> Fault {
    Fault::new(FaultCode::DaemonUnreachable, "the daemon could not be started")
        .why(why)
        .next(format!("look at {}, or run `longshore serve` to see its messages", home.log().display()))
}
