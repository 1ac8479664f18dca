//! The cluster test: daemons on one PostgreSQL database, jobs through all of them, and nodes that are killed, stand
//! still beyond their leases or are cut off, and a database that crashes; then an auditor that has seen nothing but what
//! was acknowledged. Drives the real binary from outside, as a script would.
//!
//! Afterwards every acknowledged job must be finished, none that may not run twice did, no attempt ran twice, the whole
//! history keeps its rules, and nothing is left over.

mod audit;
mod load;
mod node;
mod proxy;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use longshore_testkit::postgres::Server;
use longshore_testkit::{Dice, random_seed};
use rustix::process::Signal;

use node::Node;

/// Disturbs nodes and their database again and again while jobs run, then audits what was acknowledged.
#[derive(Parser)]
struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// Nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Disturbances.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Callers that submit jobs at the same time.
    #[arg(long, default_value_t = 3)]
    callers: u64,
    /// Start of the random sequence; printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

/// Length of the leases.
const LEASE: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = options.seed.map_or_else(random_seed, Ok)?;
    let folder = tempfile::tempdir()?;
    let marks = folder.path().join("marks");
    std::fs::create_dir_all(&marks)?;
    let binary = options.binary.canonicalize().context("the binary under test")?;
    let server = Server::own();
    let lease = format!("{}s", LEASE.as_secs());
    let make = |number| Node::new(&binary, folder.path(), server.folder(), number, &lease);
    let nodes = (1..=options.nodes).map(make).collect::<Result<Vec<_>>>()?;
    say(&format!("seed {seed}, {} nodes, {} rounds, {} callers", nodes.len(), options.rounds, options.callers));
    let started = Instant::now();
    nodes.iter().try_for_each(Node::up)?;
    let (stop, accepted) = (AtomicBool::new(false), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        let (nodes, marks, stop, accepted) = (&nodes[..], &marks, &stop, &accepted);
        let caller = |caller| scope.spawn(move || load::submit(nodes, marks, caller, seed, stop, accepted));
        let callers: Vec<_> = (0..options.callers).map(caller).collect();
        let mut dice = Dice::new(seed);
        let disturbed = (0..options.rounds).try_for_each(|_| disturb(nodes, server, &mut dice));
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
        }
        disturbed
    })?;
    nodes.iter().try_for_each(Node::up)?;
    let accepted = accepted.into_inner().map_err(|_| anyhow::anyhow!("a caller panicked"))?;
    let database =
        format!("postgres://longshore@{}/postgres", server.folder().display().to_string().replace('/', "%2F"));
    let report = audit::audit(&nodes, &database, &marks, &accepted);
    drop(nodes);
    server.end();
    say(&format!("{} jobs accepted, {:.1} s", accepted.len(), started.elapsed().as_secs_f64()));
    say(&report?);
    say("every accepted job ended, none ran more often than it allowed, and the whole history keeps its rules");
    Ok(())
}

/// Does one bad thing, and makes it good again.
fn disturb(nodes: &[Node], server: &Server, dice: &mut Dice) -> Result<()> {
    pause(dice.roll(1_500));
    let node = &nodes[dice.roll(nodes.len() as u64) as usize];
    let long = LEASE.as_millis() as u64;
    match dice.roll(4) {
        0 => {
            say(&format!("{} is killed", node.name));
            node.signal(Signal::KILL)?;
            pause(dice.roll(2 * long));
            node.up()
        }
        1 => {
            say(&format!("{} stands still", node.name));
            node.signal(Signal::STOP)?;
            pause(long + dice.roll(long));
            node.signal(Signal::CONT)
        }
        2 => {
            say(&format!("{} is cut off", node.name));
            node.line.cut();
            pause(dice.roll(3 * long));
            node.line.mend();
            Ok(())
        }
        _ => {
            say("the database crashes");
            server.crash();
            pause(dice.roll(long));
            server.go_on();
            Ok(())
        }
    }
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn say(line: &str) {
    println!("cluster: {line}");
}
