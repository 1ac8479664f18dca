//! Finding the daemon of a home, and starting one if there is none.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_engine::process::scoped;

use super::info::DaemonInfo;
use super::{announce, lock, logfile, machine};
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

/// How a daemon is told that somebody waits for its word.
const SERVE: [&str; 2] = ["serve", "--detached"];

fn start(home: &Home) -> Result<DaemonInfo, Fault> {
    home.prepare()?;
    let program = std::env::current_exe().map_err(|error| file_failed(home.root(), "served", &error))?;
    let mut why = String::new();
    for way in ways(&program) {
        match word_of(home, way, logfile::open(&home.log())?) {
            Ok(word) => return started(home, word),
            Err(silence) => why = silence,
        }
    }
    Err(not_ready(why, home))
}

/// How to run the program, the best way first: beside the login session, so that it does not end with that, or just so.
fn ways(program: &Path) -> Vec<Command> {
    let mut ways = vec![];
    if machine::session_of(std::process::id()).is_some() && machine::may_linger() {
        ways.extend(scoped(program, &SERVE));
    }
    let mut plain = Command::new(program);
    plain.args(SERVE);
    ways.push(plain);
    ways
}

/// Starts `longshore serve` in a session of its own, so that it outlives its starter's terminal and process group, and waits
/// for its word, ready or not; or why it ended without one.
fn word_of(home: &Home, mut command: Command, log: File) -> Result<Result<(), Fault>, String> {
    command.env("LONGSHORE_HOME", home.root()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| format!("{} cannot be run: {error}", command.get_program().display()))?;
    let pipe = child.stdout.take().ok_or("no pipe to it")?;
    let Ok(line) = first_line(pipe).recv_timeout(READY_MAX) else {
        return Ok(Err(not_ready(format!("it was not ready within {} s", READY_MAX.as_secs()), home)));
    };
    announce::read(&line).ok_or_else(|| {
        let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        format!("it ended without a word: {status}")
    })
}

fn started(home: &Home, word: Result<(), Fault>) -> Result<DaemonInfo, Fault> {
    match word {
        Ok(()) => DaemonInfo::find(home).ok_or_else(|| not_ready("it was ready and ended at once".into(), home)),
        Err(fault) if fault.code == FaultCode::AlreadyRunning => {
            running(home).ok_or_else(|| DaemonInfo::find(home).map_or(fault, |silent| no_answer(&silent)))
        }
        Err(fault) => Err(fault),
    }
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

fn no_answer(daemon: &DaemonInfo) -> Fault {
    let (pid, at) = (daemon.pid, daemon.listen);
    Fault::new(FaultCode::DaemonUnreachable, format!("the daemon, process {pid}, does not answer at {at}"))
        .why(format!("it lives, but had no answer within {} s", HEALTH_MAX.as_secs()))
        .next("try again; if it goes on so, run `longshore down --now`: commands that run are not touched")
}

fn not_ready(why: String, home: &Home) -> Fault {
    Fault::new(FaultCode::DaemonUnreachable, "the daemon could not be started")
        .why(why)
        .next(format!("look at {}, or run `longshore serve` to see its messages", home.log().display()))
}
