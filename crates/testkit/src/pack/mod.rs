//! Checks of how an MCP server does tasks, against any server by URL or command: what the official conformance suite
//! leaves out. The lines and what they mean stand in `tests/pack/README.md`; the program is the binary `mcp_pack`.
//!
//! A check talks to the server as bytes on the wire, in its own words: it uses no MCP library and none of our code.

mod gateway;
mod http;
mod journal;
mod legacy;
mod lines;
mod message;
mod modern;
mod options;
mod report;
mod shape;
mod stdio;
mod stream;
mod tool;
mod upstream;
mod wire;
mod world;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};

pub use options::Options;

use report::{Expected, Status, Verdict, say};
use world::{NotRun, Transport, World};

/// The work of a check: passes, fails with what is wrong, or ends with [`NotRun`].
type Run = for<'a> fn(&'a World) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// One check.
struct Check {
    /// `scenario/check`.
    id: &'static str,
    /// Number of its line in the README.
    line: u8,
    /// Where it applies.
    on: &'static [Transport],
    /// What holds when it succeeds.
    says: &'static str,
    run: Run,
}

const BOTH: &[Transport] = &[Transport::Http, Transport::Stdio];
const HTTP: &[Transport] = &[Transport::Http];
const STDIO: &[Transport] = &[Transport::Stdio];

/// `check!(line, transports, "scenario/check", function, "what holds")`.
macro_rules! check {
    ($line:expr, $on:expr, $id:expr, $run:path, $says:expr $(,)?) => {
        $crate::pack::Check { id: $id, line: $line, on: $on, says: $says, run: |world| Box::pin($run(world)) }
    };
}
use check;

/// Runs the checks that the options ask for and tells what they found; whether the server passed. With `--upstream` it
/// serves instead, until its input ends.
///
/// # Errors
/// The options are incomplete, or a file of theirs cannot be read or written. What the server does is never an error.
pub async fn run(options: Options) -> Result<bool> {
    if let Some(fault) = options.upstream {
        upstream::serve(fault)?;
        return Ok(true);
    }
    options.complete()?;
    if options.list {
        list();
        return Ok(true);
    }
    let expected = options.expected_failures.as_deref().map(Expected::read).transpose()?.unwrap_or_default();
    let options = Arc::new(options);
    let mut verdicts = vec![];
    for transport in BOTH.iter().copied().filter(|transport| options.is_given(*transport)) {
        let world = World::new(transport, Arc::clone(&options));
        for check in chosen(transport, &options) {
            let verdict = judge(&world, check).await;
            report::tell(&verdict, &expected);
            verdicts.push(verdict);
        }
        for verdict in lines::reference::verdicts(&world).await {
            report::tell(&verdict, &expected);
            verdicts.push(verdict);
        }
    }
    let known = !verdicts.is_empty() || lines::all().any(|check| options.wants(check.id));
    ensure!(known, "no check has such an id: --list names them");
    if let Some(path) = &options.json {
        report::write_json(&verdicts, path)?;
    }
    Ok(report::conclude(&verdicts, &expected, options.strict))
}

fn list() {
    for check in lines::all() {
        let on: Vec<&str> = check.on.iter().map(|transport| transport.name()).collect();
        say(&format!("{:>2} {:<40} {:<10} {}", check.line, check.id, on.join(","), check.says));
    }
}

fn chosen(transport: Transport, options: &Options) -> impl Iterator<Item = &'static Check> {
    lines::all().filter(move |check| {
        let of = if lines::gateway::has(check) { options.gateway(transport) } else { options.server(transport) };
        of.is_some() && check.on.contains(&transport) && options.wants(check.id)
    })
}

async fn judge(world: &World, check: &Check) -> Verdict {
    let begun = Instant::now();
    let outcome = (check.run)(world).await;
    let complaints = world.journal.take_complaints();
    drop(world.end_child().await);
    drop((world.journal.take_strays(), world.journal.take_cancelled()));
    let (status, error_message) = match outcome {
        Ok(()) if complaints.is_empty() => (Status::Success, String::new()),
        Ok(()) => (Status::Failure, complaints.join("\n      ")),
        Err(error) if error.is::<NotRun>() => (Status::Skipped, error.to_string()),
        Err(error) => (Status::Failure, [vec![format!("{error:#}")], complaints].concat().join("\n      ")),
    };
    let id = format!("{}/{}", world.transport.name(), check.id);
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Verdict { id, line: check.line, description: check.says.to_owned(), status, error_message, duration_ms }
}
