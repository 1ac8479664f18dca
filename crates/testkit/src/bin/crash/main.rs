//! The crash test: random jobs, `kill -9` of the daemon at random moments, restart, and an auditor that has seen
//! nothing but what was acknowledged. Drives the real binary from outside, as a script would.
//!
//! Afterwards every acknowledged job must be there and finished, each must have run exactly once (or as often as it
//! allowed), every exit code and every byte of output must be kept, and no process may be left over: none of a job, and
//! once the daemon is down no spawner and no shim.

mod audit;
mod plan;
mod processes;
mod world;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use longshore_testkit::{Dice, random_seed};
use serde_json::Value;

use audit::audit;
use plan::Plan;
use world::World;

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

#[derive(Debug)]
struct Accepted {
    plan: Plan,
    id: String,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = options.seed.map_or_else(random_seed, Ok)?;
    let folder = tempfile::tempdir()?;
    let binary = options.binary.canonicalize().context("the binary under test")?;
    let world = Arc::new(World::new(binary, folder.path())?);
    say(&format!("seed {seed}, {} rounds, {} callers", options.rounds, options.callers));
    let started = Instant::now();
    world.up()?;
    let accepted = run_rounds(&world, &options, seed)?;
    world.up()?;
    let report = audit(&world, &accepted)?;
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
    say("no process of a job, no spawner and no shim is left over");
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
        let plan = Plan::of(format!("c{caller}-{count}"), &mut dice);
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
    let script = plan.script(&world.marks);
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

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn say(line: &str) {
    println!("crash: {line}");
}
