//! Callers that submit jobs of many sorts through whatever node answers.

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use longshore_testkit::Dice;
use serde_json::{Value, json};

use crate::http::Lines;
use crate::node::Node;
use crate::plan::Plan;
use crate::tickets::Tickets;

/// A variable that every process of this test's jobs inherits; its value tells the test.
pub(crate) const MARK: &str = "CLUSTER_TEST";

/// A job that was acknowledged.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) plan: Plan,
    pub(crate) id: String,
}

/// What all callers share.
pub(crate) struct Load<'l> {
    pub(crate) nodes: &'l [Node],
    pub(crate) marks: &'l Path,
    pub(crate) tickets: &'l Tickets,
    pub(crate) accepted: &'l Mutex<Vec<Accepted>>,
}

impl Load<'_> {
    /// One caller, until there are no more tickets.
    pub(crate) fn call(&self, mut dice: Dice) -> Result<()> {
        let mut lines = Lines::to(self.nodes)?;
        let names: Vec<_> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut earlier: Option<String> = None;
        while let Some(number) = self.tickets.take() {
            let plan = Plan::of(format!("job-{number}"), &mut dice, earlier.as_deref(), &names);
            // The same key whatever node is asked: of several that heard it one took it.
            let id = loop {
                if let Some(id) = self.ask(&mut lines, &mut dice, &plan)? {
                    break id;
                }
            };
            if dice.roll(10) == 0 {
                let again = self.ask(&mut lines, &mut dice, &plan)?;
                ensure!(again.as_ref().is_none_or(|again| *again == id), "{plan:?} is {id} and {again:?}");
            }
            if plan.cancel {
                // Its answer may be lost; the auditor takes either ending of such a job.
                lines.ask(lines.any(&mut dice), &format!("/api/v1/jobs/{id}/cancel"), Some(&json!({})));
            }
            earlier = Some(id.clone());
            self.accepted.lock().map_err(|_| anyhow::anyhow!("a caller panicked"))?.push(Accepted { plan, id });
        }
        Ok(())
    }

    /// The job's id, if it was acknowledged.
    fn ask(&self, lines: &mut Lines<'_>, dice: &mut Dice, plan: &Plan) -> Result<Option<String>> {
        let at = lines.any(dice);
        let mark = self.marks.display().to_string();
        if plan.by_command {
            return self.command(&self.nodes[at], plan, &mark);
        }
        let body = plan.body(self.marks, (MARK, &mark));
        let Some(answer) = lines.ask(at, "/api/v1/jobs", Some(&body)) else { return Ok(None) };
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => id_of(&answer.json()?).map(Some),
            status if status.is_server_error() => Ok(None),
            status => anyhow::bail!("{plan:?} was refused ({status}): {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    fn command(&self, node: &Node, plan: &Plan, mark: &str) -> Result<Option<String>> {
        let (retries, mark, script) = (plan.retries.to_string(), format!("{MARK}={mark}"), plan.script(self.marks));
        let args =
            ["run", "-d", "--json", "--key", &plan.key, "--retry", &retries, "--env", &mark, "--", "sh", "-c", &script];
        let output = node.cli(&args)?.filter(|output| output.status.success());
        let Some(output) = output else { return Ok(None) };
        id_of(&serde_json::from_slice(&output.stdout).context("what run printed")?).map(Some)
    }
}

fn id_of(job: &Value) -> Result<String> {
    Ok(job["id"].as_str().with_context(|| format!("an id in {job}"))?.to_owned())
}
