//! The cluster test: daemons on one PostgreSQL database, thousands of jobs through all of them, and nodes that are killed,
//! stand still beyond their leases, are cut off or not heard any more, and a database that crashes; then an auditor that has
//! seen nothing but what was acknowledged. Drives the real binary from outside, as a script would.
//!
//! Afterwards every acknowledged job must be finished as its script says, none that may not run twice did, no attempt ran
//! twice, nothing ran too early or where it may not, no time of a schedule made two jobs, no outcome has changed, the whole history keeps its rules, and nothing
//! is left over. With `--expect-breach` the binary is one that breaks the rules, and the test is whether that is seen.

mod audit;
mod disturb;
mod http;
mod load;
mod node;
mod orders;
mod plan;
mod proxy;
mod record;
mod tickets;
mod ticks;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use longshore_domain::job::EventKind;
use longshore_testkit::postgres::Server;
use longshore_testkit::{Dice, random_seed};

use audit::{Audit, Findings};
use disturb::Disturbance;
use load::{Accepted, Load};
use node::{Consent, Fleet, Node};
use record::Record;
use tickets::Tickets;
use watch::Watch;

/// Disturbs nodes and their database again and again while jobs run, then audits what was acknowledged.
#[derive(Parser)]
struct Options {
    /// The program under test.
    #[arg(long)]
    binary: PathBuf,
    /// An older program, which the first node runs: the others were upgraded already.
    #[arg(long)]
    older: Option<PathBuf>,
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=100))]
    nodes: u8,
    /// Jobs that are submitted.
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// Disturbances while they are: of each sort equally many. There are more if submitting takes longer.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Callers that submit jobs at the same time.
    #[arg(long, default_value_t = 12)]
    callers: u64,
    /// Start of the random sequence; printed, so that a run can be repeated.
    #[arg(long)]
    seed: Option<u64>,
    /// The program was built to break the rules of leases: nodes only stand still, and it is a failure if that is not seen.
    #[arg(long)]
    expect_breach: bool,
}

/// Length of the leases.
const LEASE: Duration = Duration::from_secs(2);
/// What such a program wants to be told before it runs.
const CONSENT: Consent = ("LONGSHORE_UNFENCED", "I want my jobs to be corrupted");

fn main() -> Result<()> {
    let options = Options::parse();
    let seed = options.seed.map_or_else(random_seed, Ok)?;
    let folder = tempfile::tempdir()?;
    let marks = folder.path().join("marks");
    std::fs::create_dir_all(&marks)?;
    let binary = options.binary.canonicalize().context("the binary under test")?;
    let older = options.older.as_ref().map(|older| older.canonicalize().context("the older binary")).transpose()?;
    let server = Server::own();
    let database =
        format!("postgres://longshore@{}/postgres", server.folder().display().to_string().replace('/', "%2F"));
    let fleet = Fleet {
        binary: &binary,
        older: older.as_deref(),
        folder: folder.path(),
        database: server.folder(),
        lease: &format!("{}s", LEASE.as_secs()),
        consent: options.expect_breach.then_some(CONSENT),
    };
    let nodes = (1..=options.nodes).map(|number| Node::new(&fleet, number)).collect::<Result<Vec<_>>>()?;
    say(&format!("seed {seed}, {} nodes, {} jobs, {} callers", nodes.len(), options.jobs, options.callers));
    let started = Instant::now();
    nodes.iter().try_for_each(Node::up)?;
    let newest = &nodes[nodes.len() - 1];
    let watch = Watch::start(database.clone());
    ticks::start(newest, &marks)?;
    let accepted = submit_and_disturb(&options, seed, &nodes, server, &marks)?;
    let submitted = started.elapsed();
    nodes.iter().try_for_each(Node::up)?;
    ticks::stop(newest)?;
    let record = Record::read(&database)?;
    let ended = started.elapsed();
    let seen = watch.end()?;
    let findings = Audit { nodes: &nodes, marks: &marks, accepted: &accepted, record: &record, seen: &seen }.run()?;
    drop(nodes);
    server.end();
    let seconds = |time: Duration| format!("{:.0} s", time.as_secs_f64());
    let times = [submitted, ended, started.elapsed()].map(seconds);
    say(&format!(
        "{} jobs accepted after {}, ended after {}, audited after {}",
        accepted.len(),
        times[0],
        times[1],
        times[2]
    ));
    say(&summary(&findings, &record));
    judge(findings, options.expect_breach)
}

/// Lets callers submit all the jobs while bad things happen; gives those that were acknowledged.
fn submit_and_disturb(
    options: &Options,
    seed: u64,
    nodes: &[Node],
    server: &Server,
    marks: &Path,
) -> Result<Vec<Accepted>> {
    let (tickets, accepted) = (Tickets::new(options.jobs), Mutex::new(vec![]));
    let load = Load { nodes, marks, tickets: &tickets, accepted: &accepted };
    std::thread::scope(|scope| {
        let caller = |number: u64| {
            let (load, dice) = (&load, Dice::new(seed ^ ((number + 1) << 32)));
            scope.spawn(move || load.call(dice).inspect_err(|_| load.tickets.void()))
        };
        let callers: Vec<_> = (0..options.callers).map(caller).collect();
        let disturbed = disturb(options, nodes, server, &tickets, &mut Dice::new(seed));
        tickets.allow(options.jobs);
        for caller in callers {
            caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
        }
        disturbed
    })?;
    accepted.into_inner().map_err(|_| anyhow::anyhow!("a caller panicked"))
}

/// Goes on for all rounds, and until there is nothing to be submitted any more.
fn disturb(options: &Options, nodes: &[Node], server: &Server, tickets: &Tickets, dice: &mut Dice) -> Result<()> {
    let mut happened = BTreeMap::<Disturbance, usize>::new();
    let mut dealt = vec![];
    while happened.values().sum::<usize>() < options.rounds || !tickets.are_taken() {
        tickets.allow(options.jobs.div_ceil(options.rounds));
        if dealt.is_empty() {
            dealt = if options.expect_breach { vec![Disturbance::Pause] } else { Disturbance::deal(dice) };
        }
        let Some(next) = dealt.pop() else { break };
        next.happen(nodes, server, LEASE, dice)?;
        *happened.entry(next).or_default() += 1;
    }
    say(&format!("disturbances: {happened:?}"));
    Ok(())
}

fn summary(Findings { endings, .. }: &Findings, record: &Record) -> String {
    let endings: Vec<_> = endings.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
    let given_up = record.history.iter().filter(|line| line.kind == EventKind::Expired).count();
    let (lines, ticks) = (record.history.len(), record.ticks.len());
    format!("{}; {ticks} of a schedule; {lines} lines of history, {given_up} leases given up", endings.join(", "))
}

fn judge(Findings { breaches, faults, .. }: Findings, expect_breach: bool) -> Result<()> {
    if expect_breach {
        ensure!(
            !breaches.is_empty(),
            "the program breaks the rules of leases, and nothing of it was seen: {faults:#?}"
        );
        say(&format!(
            "{} breaches of the rules of leases were seen, as expected; the first: {}",
            breaches.len(),
            breaches[0]
        ));
        return Ok(());
    }
    let all = [breaches, faults].concat();
    ensure!(all.is_empty(), "{} promises were broken:\n{}", all.len(), all.join("\n"));
    say(
        "every accepted job ended as it should, none ran more often than it allowed, and the whole history keeps its rules",
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn say(line: &str) {
    println!("cluster: {line}");
}
