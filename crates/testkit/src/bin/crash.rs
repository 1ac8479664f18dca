//! The crash test: random jobs, `kill -9` of the daemon at random moments, restart, and an auditor that has seen
//! nothing but what was acknowledged. Drives the real binary from outside, as a script would.
//!
//! Afterwards every acknowledged job must be there and finished, each must have run exactly once (or as often as it
//! allowed), every exit code and every byte of output must be kept, and no process may be left over.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use longshore_testkit::{Dice, random_seed};
use serde_json::Value;

/// Kills the daemon again and again while jobs run, then audits what it acknowledged.
#[derive(Parser)]
struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// Kills of the daemon.
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Callers that submit jobs at the same time.
    #[arg(long, default_value_t = 4)]
    callers: usize,
    /// Start of the random sequence; printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// Also kill a shim in every such round (0 = never): its job must then be `lost`, and say so.
    #[arg(long, default_value_t = 0)]
    shims: usize,
}

/// What a caller asked for, and so what the auditor expects.
#[derive(Clone, Debug)]
struct Plan {
    key: String,
    sleep_ms: u64,
    exit: i32,
    bytes: usize,
    retries: u32,
    orphan: bool,
    cancel: bool,
}

#[derive(Debug)]
struct Accepted {
    plan: Plan,
    id: String,
}

#[derive(Default)]
struct Tally {
    killed: AtomicUsize,
    resubmitted: AtomicUsize,
    shims_killed: AtomicUsize,
}

struct World {
    binary: PathBuf,
    home: PathBuf,
    marks: PathBuf,
    tally: Tally,
    stop: AtomicBool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = options.seed.map_or_else(random_seed, Ok)?;
    let folder = tempfile::tempdir()?;
    let world = Arc::new(World {
        binary: options.binary.canonicalize().context("the binary under test")?,
        home: folder.path().join("home"),
        marks: folder.path().join("marks"),
        tally: Tally::default(),
        stop: AtomicBool::new(false),
    });
    std::fs::create_dir_all(&world.marks)?;
    say(&format!("seed {seed}, {} rounds, {} callers", options.rounds, options.callers));
    let started = Instant::now();
    world.up()?;
    let accepted = run_rounds(&world, &options, seed)?;
    world.up()?;
    let report = audit(&world, &accepted);
    world.down();
    let report = report?;
    say(&format!(
        "{} kills of the daemon, {} of shims, {} jobs accepted, {} submissions repeated after a lost reply, {:.1} s",
        world.tally.killed.load(Ordering::SeqCst),
        world.tally.shims_killed.load(Ordering::SeqCst),
        accepted.len(),
        world.tally.resubmitted.load(Ordering::SeqCst),
        started.elapsed().as_secs_f64(),
    ));
    say(&report);
    say("every accepted job is there, ran as often as it allowed, and kept its exit code and every byte of output");
    Ok(())
}

fn run_rounds(world: &Arc<World>, options: &Options, seed: u64) -> Result<Vec<Accepted>> {
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..options.callers)
        .map(|caller| {
            let (world, accepted) = (Arc::clone(world), Arc::clone(&accepted));
            let dice = Dice::new(seed ^ (caller as u64 + 1) << 32);
            std::thread::spawn(move || submit_until_stopped(&world, caller, dice, &accepted))
        })
        .collect();
    let mut dice = Dice::new(seed);
    let result = (0..options.rounds).try_for_each(|round| {
        pause(20 + dice.roll(400));
        if options.shims > 0 && round % options.shims == options.shims - 1 {
            world.kill_a_shim();
        }
        world.kill_daemon()?;
        pause(dice.roll(150));
        world.up()
    });
    world.stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
    }
    result?;
    let jobs = std::mem::take(&mut *accepted.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?);
    Ok(jobs)
}

fn submit_until_stopped(world: &World, caller: usize, mut dice: Dice, accepted: &Mutex<Vec<Accepted>>) -> Result<()> {
    let mut count = 0;
    while !world.stop.load(Ordering::SeqCst) {
        let plan = Plan {
            key: format!("c{caller}-{count}"),
            sleep_ms: [0, 0, 20, 300, 900][dice.roll(5) as usize],
            exit: [0, 0, 0, 3, 77][dice.roll(5) as usize],
            bytes: [0, 10, 1_000, 70_000, 400_000][dice.roll(5) as usize],
            retries: u32::from(dice.roll(6) == 0),
            orphan: dice.roll(8) == 0,
            cancel: dice.roll(12) == 0,
        };
        count += 1;
        let Some(id) = submit(world, &plan)? else { continue };
        if plan.cancel {
            // The reply may be lost with the daemon; the auditor takes either ending of such a job.
            drop(world.cli(&["cancel", &id, "--json"]));
        }
        accepted.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?.push(Accepted { plan, id });
    }
    Ok(())
}

/// Submits until it is acknowledged, always with the same key. `None` when the test stops meanwhile.
fn submit(world: &World, plan: &Plan) -> Result<Option<String>> {
    let script = script(world, plan);
    let retries = plan.retries.to_string();
    let mark = world.mark();
    for attempt in 0..200 {
        let output = world.cli(&[
            "run", "--detach", "--json", "--key", &plan.key, "--retry", &retries, "--env", &mark, "--", "sh", "-c",
            &script,
        ])?;
        if output.status.success() {
            let job: Value = serde_json::from_slice(&output.stdout).context("what run printed")?;
            return Ok(Some(job["id"].as_str().context("an id")?.to_owned()));
        }
        world.tally.resubmitted.fetch_add(usize::from(attempt == 0), Ordering::SeqCst);
        if attempt > 20 && world.stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        pause(20);
    }
    bail!("a job could not be submitted in 200 tries")
}

/// Leaves a mark for each run, prints known bytes, perhaps leaves an orphan that escapes its session, and exits.
fn script(world: &World, plan: &Plan) -> String {
    let mark = world.marks.join(&plan.key);
    let orphan = if plan.orphan { "setsid sleep 1000 & " } else { "" };
    format!(
        "echo run >> {}; {orphan}head -c {} /dev/zero | tr '\\0' x; sleep {}.{:03}; exit {}",
        mark.display(),
        plan.bytes,
        plan.sleep_ms / 1000,
        plan.sleep_ms % 1000,
        plan.exit
    )
}

impl World {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("LONGSHORE_HOME", &self.home).stdin(Stdio::null()).current_dir("/");
        command
    }

    /// A variable that every process of this test's jobs inherits.
    fn mark(&self) -> String {
        format!("CRASH_TEST={}", self.marks.display())
    }

    fn cli(&self, args: &[&str]) -> Result<Output> {
        self.command().args(args).output().context("the program under test starts")
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.cli(args)?;
        ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {args:?} printed"))
    }

    fn up(&self) -> Result<()> {
        let output = self.cli(&["up"])?;
        ensure!(output.status.success(), "the daemon did not start: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn down(&self) {
        drop(self.cli(&["down"]));
    }

    fn kill_daemon(&self) -> Result<()> {
        let Some(pid) = self.json(&["doctor", "--json"])?["daemon_pid"].as_u64() else { return Ok(()) };
        kill(pid)?;
        self.tally.killed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Kills the shim of some running job: the parent of a marked process that does not carry the mark itself.
    fn kill_a_shim(&self) {
        let marked: Vec<u64> = marked_processes(&self.mark()).into_iter().map(|process| process.pid).collect();
        let shim = marked.iter().filter_map(|&pid| parent(pid)).find(|pid| *pid > 1 && !marked.contains(pid));
        if shim.is_some_and(|pid| kill(pid).is_ok()) {
            self.tally.shims_killed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn audit(world: &World, accepted: &[Accepted]) -> Result<String> {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut faults = vec![];
    for job in accepted {
        match audit_job(world, job) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(fault) => faults.push(format!("{} ({:?}): {fault:#}", job.id, job.plan)),
        }
    }
    let left: Vec<_> = marked_processes(&world.mark());
    ensure!(left.is_empty(), "processes are left over: {left:?}");
    let traces: Vec<_> = std::fs::read_dir(world.home.join("run"))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    ensure!(faults.is_empty(), "{} of {} jobs broke a promise:\n{}", faults.len(), accepted.len(), faults.join("\n"));
    ensure!(traces.is_empty(), "traces of attempts are left over: {traces:?}");
    let parts: Vec<String> = outcomes.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    Ok(parts.join(", "))
}

fn audit_job(world: &World, Accepted { plan, id }: &Accepted) -> Result<String> {
    let waited = world.cli(&["wait", id, "--timeout", "120"])?.status.code();
    let job = world.json(&["show", "--json", id])?;
    ensure!(job["state"] == "finished", "it is {}", job["state"]);
    let outcome = &job["outcome"];
    let runs = std::fs::read_to_string(world.marks.join(&plan.key)).unwrap_or_default().lines().count();
    let shims_killed = world.tally.shims_killed.load(Ordering::SeqCst) > 0;
    let lost = outcome["reason"] == "lost" && shims_killed;
    if outcome["status"] == "cancelled" {
        ensure!(plan.cancel, "it was cancelled though nobody asked");
        ensure!(runs <= 1 + plan.retries as usize, "it ran {runs} times");
        return Ok("cancelled".into());
    }
    if lost {
        ensure!(runs <= 1 + plan.retries as usize, "it ran {runs} times");
        return Ok("lost".into());
    }
    let retried = plan.exit != 0 && plan.retries > 0;
    let expected = if retried { 1 + plan.retries as usize } else { 1 };
    // An attempt whose shim was killed is repeated where that is allowed.
    let repeated = shims_killed && (expected..=1 + plan.retries as usize).contains(&runs);
    let expected_or_less = plan.cancel && runs <= expected;
    ensure!(runs == expected || expected_or_less || repeated, "it ran {runs} times instead of {expected}");
    ensure!(outcome["exit_code"] == plan.exit, "its exit code is {}", outcome["exit_code"]);
    ensure!(waited == Some(plan.exit), "wait ended with {waited:?}");
    let printed = world.cli(&["logs", id])?.stdout;
    ensure!(printed.len() == plan.bytes, "{} of {} bytes of output were kept", printed.len(), plan.bytes);
    ensure!(printed.iter().all(|&byte| byte == b'x'), "its output holds other bytes");
    Ok(outcome["status"].as_str().unwrap_or("?").to_owned())
}

#[derive(Debug)]
struct Marked {
    pid: u64,
    #[expect(dead_code, reason = "shown when the audit fails")]
    command: String,
}

/// Processes whose environment carries the mark of this test.
fn marked_processes(mark: &str) -> Vec<Marked> {
    let ours = |pid: u64| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
    };
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| ours(pid))
        .map(|pid| Marked { pid, command: std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default() })
        .collect()
}

fn parent(pid: u64) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn kill(pid: u64) -> Result<()> {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "process {pid} could not be killed");
    Ok(())
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn say(line: &str) {
    println!("crash: {line}");
}
