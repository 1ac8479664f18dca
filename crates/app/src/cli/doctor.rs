//! `longshore doctor`: what is there, whether it is well, and what to do if not. Starts nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::builder::styling::AnsiColor;
use longshore_domain::fault::Fault;
use serde::Serialize;

use super::term::{self, Stream};
use super::{CliError, Outcome};
use crate::client::Client;
use crate::config::units::about_size;
use crate::config::{Cgroup, Config, Flags, Listen, StoreAt};
use crate::daemon::cgroup::{self, Held, Placement};
use crate::daemon::info::DaemonInfo;
use crate::daemon::{machine, port_holder, start};
use crate::home::Home;
use crate::http::wire::{CountsBody, DaemonBody, StoreBody};
use crate::store;

/// Less free space than this is a warning.
const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
/// Less free space than this is a failure: the store may refuse writes any moment.
const FREE_BYTES_FAIL: u64 = 64 * 1024 * 1024;

/// Check this installation, and say what to do about what is wrong
///
/// Starts nothing. Ends with 1 if a check fails.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    home: String,
    version: &'static str,
    daemon_pid: Option<u32>,
    daemon_version: Option<String>,
    listen: Option<String>,
    store: Option<StoreBody>,
    counts: Option<CountsBody>,
    disk_free_bytes: Option<u64>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    message: String,
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl Check {
    fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, message: message.into(), advice: None }
    }

    fn bad(name: &'static str, status: Status, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, status, message: message.into(), advice: Some(advice.into()) }
    }

    fn fault(name: &'static str, fault: &Fault) -> Self {
        let why = fault.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        Self { name, status: Status::Fail, message: format!("{}{why}", fault.message), advice: fault.next.clone() }
    }
}

pub(super) fn run(args: &Args, home: &Home) -> Outcome {
    let report = examine(home);
    match args.json {
        true => term::json(&report)?,
        false => print(&report)?,
    }
    Ok(u8::from(report.checks.iter().any(|check| check.status == Status::Fail)))
}

fn examine(home: &Home) -> Report {
    let config = Config::load(home, &Flags::default());
    let info = start::running(home);
    let answer = info.as_ref().map(|info| ask(home, info));
    let daemon = answer.as_ref().and_then(|answer| answer.as_ref().ok());
    let disk_free_bytes = machine::free_bytes(home.root());
    let checks = vec![
        check_home(home),
        check_token(home),
        config.as_ref().map_or_else(|fault| Check::fault("config", fault), |_| Check::ok("config", "can be used")),
        check_daemon(home, info.as_ref(), config.as_ref().ok()),
        check_store(answer.as_ref(), config.as_ref().ok()),
        check_artifacts(config.as_ref().ok()),
        check_disk(disk_free_bytes),
        check_service(daemon),
        check_trees(daemon, config.as_ref().ok()),
    ];
    Report {
        home: home.root().display().to_string(),
        version: env!("CARGO_PKG_VERSION"),
        daemon_pid: info.as_ref().map(|info| info.pid),
        daemon_version: info.as_ref().map(|info| info.version.clone()),
        listen: info.as_ref().map(|info| info.listen.to_string()),
        store: daemon.map(|daemon| daemon.store.clone()),
        counts: daemon.map(|daemon| daemon.counts.clone()),
        disk_free_bytes,
        checks,
    }
}

fn ask(home: &Home, info: &DaemonInfo) -> Result<DaemonBody, Fault> {
    Client::to(home, &info.listen.to_string())?.get("/api/v1/daemon")
}

/// Whether output outlives its node, where there are nodes.
fn check_artifacts(config: Option<&Config>) -> Check {
    match config {
        Some(Config { store: StoreAt::Server { .. }, artifacts, .. }) if !artifacts.named => Check::bad(
            "artifacts",
            Status::Warn,
            "what commands print is on the node that ran them alone, and gone with it",
            "name a place that all nodes reach in config.toml: `url` under `[artifacts]`",
        ),
        Some(Config { artifacts, .. }) if artifacts.named => {
            Check::ok("artifacts", format!("output is kept at {} too", artifacts.options.url))
        }
        _ => Check::ok("artifacts", "in the home"),
    }
}

fn check_home(home: &Home) -> Check {
    let path = home.root();
    match std::fs::metadata(path) {
        Err(_) => Check::ok("home", "not made yet: the first job makes it"),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            Check::bad("home", Status::Warn, "others may enter it", format!("run `chmod 700 {}`", path.display()))
        }
        Ok(_) => Check::ok("home", "only you may enter it"),
    }
}

fn check_token(home: &Home) -> Check {
    let path = home.file("token");
    match std::fs::metadata(&path) {
        Err(_) => Check::ok("token", "not made yet: the first command that needs it makes it"),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => Check::bad(
            "token",
            Status::Fail,
            "others may read it",
            format!("remove {} and start the daemon anew", path.display()),
        ),
        Ok(_) => Check::ok("token", "only you may read it"),
    }
}

fn check_daemon(home: &Home, info: Option<&DaemonInfo>, config: Option<&Config>) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    match info {
        Some(info) if info.version != ours => Check::bad(
            "daemon",
            Status::Warn,
            format!("it has version {}, this program {ours}", info.version),
            "run `longshore down`; the next command starts the new one",
        ),
        Some(info) => Check::ok("daemon", format!("process {} listens at {}", info.pid, info.listen)),
        None => match DaemonInfo::find(home) {
            Some(info) => Check::bad(
                "daemon",
                Status::Fail,
                format!("process {} lives and does not answer at {}", info.pid, info.listen),
                "run `longshore down --now`; commands that run are not touched",
            ),
            None => stranger(config).unwrap_or_else(|| Check::ok("daemon", "none runs: it is started when needed")),
        },
    }
}

/// Somebody else listens where our daemon would.
fn stranger(config: Option<&Config>) -> Option<Check> {
    let Listen::At(address) = config?.listen else { return None };
    let (pid, name) = port_holder::find(address)?;
    Some(Check::bad(
        "daemon",
        Status::Fail,
        format!("process {pid} ({name}) listens at {address}, where the daemon would"),
        "stop that process, or set another `listen` in config.toml",
    ))
}

fn check_store(answer: Option<&Result<DaemonBody, Fault>>, config: Option<&Config>) -> Check {
    match answer {
        None => match config.map(|config| &config.store) {
            Some(StoreAt::Server { options, location }) => match store::look(options, location) {
                Ok(found) => Check::ok("store", found),
                Err(fault) => Check::fault("store", &fault),
            },
            _ => Check::ok("store", "not looked at: only the daemon opens it"),
        },
        Some(Ok(daemon)) => Check::ok("store", format!("{}, {}", daemon.store.engine, daemon.store.durability)),
        Some(Err(fault)) => Check::fault("store", fault),
    }
}

fn check_disk(free: Option<u64>) -> Check {
    let Some(free) = free else { return Check::ok("disk", "not made yet") };
    let message = format!("{} free", about_size(free));
    let advice = "free some space; `longshore gc` removes old output";
    match free {
        ..FREE_BYTES_FAIL => Check::bad("disk", Status::Fail, message, advice),
        FREE_BYTES_FAIL..FREE_BYTES_WARN => Check::bad("disk", Status::Warn, message, advice),
        _ => Check::ok("disk", message),
    }
}

/// Whether commands outlive what the daemon belongs to.
fn check_service(daemon: Option<&DaemonBody>) -> Check {
    const NAME: &str = "service";
    let Some(daemon) = daemon else { return Check::ok(NAME, "not looked at: no daemon answers") };
    match (daemon.scope, machine::session_of(daemon.pid)) {
        (Some(true), _) => Check::ok(NAME, "commands run in a systemd scope of their own and outlive the service"),
        (Some(false), _) => Check::bad(
            NAME,
            Status::Warn,
            "commands end with the service: systemd gave them no scope of their own (see the daemon's log)",
            "run `loginctl enable-linger` for the service's user, or set `KillMode=process` in its unit",
        ),
        (None, Some(session)) => Check::ok(
            NAME,
            format!("daemon and commands belong to the login session {session}: what systemd ends with it ends too"),
        ),
        (None, None) => Check::ok(NAME, "no service of systemd, and no login session"),
    }
}

/// What holds where commands run: in the folder that the daemon uses, or that one would use that was started from here.
fn check_trees(daemon: Option<&DaemonBody>, config: Option<&Config>) -> Check {
    let asked = config.map_or(&Cgroup::Auto, |config| &config.cgroup);
    let pid = daemon.map_or(std::process::id(), |daemon| daemon.pid);
    let used = match daemon {
        Some(daemon) => daemon.cgroup.as_ref().map(PathBuf::from),
        None => Placement::decide(asked, machine::is_systemd_service(), cgroup::delegated()).cgroup,
    };
    let Some(folder) = used.as_deref() else {
        return Check::ok("limits", format!("{}; no cgroups are used (see `cgroup`)", limits(false, false, pid)));
    };
    let Some(held) = cgroup::look(folder) else {
        return Check::bad(
            "limits",
            Status::Fail,
            format!("{} is no cgroup v2 folder", folder.display()),
            "correct `cgroup` in config.toml",
        );
    };
    match daemon.and_then(|daemon| misplaced(daemon, folder)) {
        Some(message) => Check::bad("limits", Status::Warn, message, "name another folder as `cgroup` in config.toml"),
        None => check_held(folder, held, asked, pid),
    }
}

/// What keeps the cgroups in a folder from doing what they are for.
fn misplaced(daemon: &DaemonBody, folder: &Path) -> Option<String> {
    let shown = folder.display();
    if daemon.cgroup_joined == Some(false) {
        let held = limits(false, false, daemon.pid);
        return Some(format!("{held}: commands of this daemon cannot join cgroups in {shown}"));
    }
    let service = daemon.scope.and_then(|_| machine::service_of(daemon.pid))?;
    let within = folder.to_string_lossy().contains(&format!("/{service}"));
    within.then(|| format!("commands end with the service: {shown} is within it"))
}

fn check_held(folder: &Path, held: Held, asked: &Cgroup, pid: u32) -> Check {
    let kill = match held.kill {
        true => "all of a job is killed at once",
        false => "all of a job is killed one by one, since the kernel is older than 5.14",
    };
    let limits = limits(held.memory, held.processes, pid);
    let message = format!("{kill}, and {limits}, by cgroups in {}", folder.display());
    let missing = [("memory", held.memory), ("pids", held.processes)].into_iter().find(|(_, holds)| !holds);
    match missing.filter(|_| matches!(asked, Cgroup::At(_))) {
        Some((controller, _)) => Check::bad("limits", Status::Warn, message, cgroup::advice(folder, controller)),
        None => Check::ok("limits", message),
    }
}

/// What limits count for where the kernel holds a job to these, in commands of the daemon with this number.
fn limits(memory: bool, processes: bool, pid: u32) -> String {
    let memory = match memory {
        true => "limits on memory count for all of a job",
        false => "limits on memory count for each process alone",
    };
    let processes = match processes {
        true => "those on processes for all of a job",
        // Source: setrlimit(2), `RLIMIT_NPROC`.
        false if machine::is_roots(pid) => "those on processes are not held, since commands are root's",
        false => "those on processes for all of the user's",
    };
    format!("{memory}, {processes}")
}

fn print(report: &Report) -> Result<(), CliError> {
    let pid = report.daemon_pid.map_or_else(|| "none".into(), |pid| pid.to_string());
    term::out(&format!("longshore {}\nhome      {}\ndaemon    {pid}", report.version, report.home))?;
    if let Some(store) = &report.store {
        term::out(&format!("store     {} at {}", store.engine, store.location))?;
    }
    if let Some(counts) = &report.counts {
        let unfinished: u64 = counts.unfinished.values().sum();
        term::out(&format!("jobs      {unfinished} unfinished, {} finished", counts.finished))?;
    }
    for check in &report.checks {
        let (word, colour) = match check.status {
            Status::Ok => ("ok", AnsiColor::Green),
            Status::Warn => ("warn", AnsiColor::Yellow),
            Status::Fail => ("fail", AnsiColor::Red),
        };
        let word = term::paint(Stream::Out, colour.on_default(), &format!("{word:<4}"));
        term::out(&format!("{word}  {:<8}  {}", check.name, check.message))?;
        if let Some(advice) = &check.advice {
            term::out(&format!("      next:     {advice}"))?;
        }
    }
    Ok(())
}
