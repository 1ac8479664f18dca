//! Jobs of many sorts, submitted through whatever node answers.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use longshore_testkit::Dice;
use serde_json::Value;

use crate::node::Node;

/// What a caller asks for, and so what the auditor expects.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) key: String,
    sleep_ms: u64,
    pub(crate) exit: i32,
    pub(crate) bytes: u64,
    pub(crate) retries: usize,
    pub(crate) cancel: bool,
}

/// A job that was acknowledged.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) plan: Plan,
    pub(crate) id: String,
}

/// One caller that submits until it is told to stop.
pub(crate) fn submit(
    nodes: &[Node],
    marks: &Path,
    caller: u64,
    seed: u64,
    stop: &AtomicBool,
    accepted: &Mutex<Vec<Accepted>>,
) -> Result<()> {
    let mut dice = Dice::new(seed ^ ((caller + 1) << 32));
    for count in 0.. {
        let plan = Plan {
            key: format!("c{caller}-{count}"),
            sleep_ms: [0, 50, 400, 1_500, 4_000][dice.roll(5) as usize],
            exit: [0, 0, 0, 3][dice.roll(4) as usize],
            bytes: [0, 10, 70_000][dice.roll(3) as usize],
            retries: dice.roll(2) as usize,
            cancel: dice.roll(12) == 0,
        };
        // The same key whatever node is asked: of several that heard it one took it.
        let id = loop {
            if stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            if let Some(id) = ask(&nodes[dice.roll(nodes.len() as u64) as usize], marks, &plan)? {
                break id;
            }
        };
        if plan.cancel {
            // Its answer may be lost; the auditor takes either ending of such a job.
            nodes[dice.roll(nodes.len() as u64) as usize].cli(&["cancel", &id])?;
        }
        accepted.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?.push(Accepted { plan, id });
    }
    Ok(())
}

fn ask(node: &Node, marks: &Path, plan: &Plan) -> Result<Option<String>> {
    let script = format!(
        "echo $LONGSHORE_ATTEMPT >>{}; head -c {} /dev/zero | tr '\\0' x; sleep {}.{:03}; exit {}",
        marks.join(&plan.key).display(),
        plan.bytes,
        plan.sleep_ms / 1000,
        plan.sleep_ms % 1000,
        plan.exit
    );
    let retries = plan.retries.to_string();
    let mark = crate::audit::mark(marks);
    let args =
        ["run", "-d", "--json", "--key", &plan.key, "--retry", &retries, "--env", &mark, "--", "sh", "-c", &script];
    let output = node.cli(&args)?.filter(|output| output.status.success());
    let Some(output) = output else { return Ok(None) };
    let job: Value = serde_json::from_slice(&output.stdout).context("what run printed")?;
    Ok(Some(job["id"].as_str().context("an id")?.to_owned()))
}
