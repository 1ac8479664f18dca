//! Lines 14, 17 and 20: what other programs check. The reference client is driven by a script of its own, whose
//! findings become lines of this report; the rest is named, so that nobody takes its absence for a success.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use super::super::gateway::{Gateway, UPSTREAM};
use super::super::report::{Status, Verdict};
use super::super::upstream::Fault;
use super::super::world::{Transport, World};

/// One line that the script prints.
#[derive(Deserialize)]
struct Finding {
    id: String,
    description: String,
    /// Absent when it could not be run.
    ok: Option<bool>,
    #[serde(default)]
    message: String,
}

/// What stands at the end of the report.
pub(in super::super) async fn verdicts(world: &World) -> Vec<Verdict> {
    let options = &world.options;
    let name = |id: &str| format!("{}/{id}", world.transport.name());
    let mut told = vec![];
    let server = options.server(world.transport);
    if let Some(place) = server.filter(|_| options.wants("reference")) {
        told.extend(of_client(world, name("reference"), 14, async |script| talk(world, script, place).await).await);
    }
    if options.gateway(world.transport).is_none() && options.wants("gateway") {
        // Who asks for it alone is told that it was not run.
        let status = if options.scenarios.is_empty() { Status::Elsewhere } else { Status::Skipped };
        told.push(verdict(
            name("gateway"),
            17,
            status,
            "needs --gateway or --gateway-http: no server alone can show it",
        ));
    } else if options.wants("gateway/client") {
        told.extend(of_client(world, name("gateway/client"), 17, async |script| behind(world, script).await).await);
    }
    if server.is_some() && options.wants("official/suite") {
        let status = Status::Elsewhere;
        told.push(verdict(name("official/suite"), 20, status, "run by itself: tests/conformance"));
    }
    told
}

fn verdict(id: String, line: u8, status: Status, message: &str) -> Verdict {
    Verdict { id, line, description: String::new(), status, error_message: message.to_owned(), duration_ms: 0 }
}

impl Finding {
    fn verdict(self, scenario: &str, line: u8) -> Verdict {
        let status = match self.ok {
            Some(true) => Status::Success,
            Some(false) => Status::Failure,
            None => Status::Skipped,
        };
        let mut verdict = verdict(format!("{scenario}/{}", self.id), line, status, &self.message);
        verdict.description = self.description;
        verdict
    }
}

/// What the script found, which `run` tells whom to talk to.
async fn of_client(
    world: &World,
    scenario: String,
    line: u8,
    run: impl AsyncFn(Command) -> Result<Vec<Finding>>,
) -> Vec<Verdict> {
    let missing = |status, message: &str| vec![verdict(scenario.clone(), line, status, message)];
    let Some(command) = &world.options.reference_client else {
        return missing(Status::Skipped, "needs --reference-client");
    };
    let mut script = Command::new("sh");
    script.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit());
    match run(script).await {
        Ok(findings) => findings.into_iter().map(|found| found.verdict(&scenario, line)).collect(),
        Err(error) => missing(Status::Failure, &format!("{error:#}")),
    }
}

/// The client before a gateway whose upstream has every fault.
async fn behind(world: &World, mut script: Command) -> Result<Vec<Finding>> {
    let gateway = Gateway::start(world, Fault::All).await?;
    script.env(UPSTREAM, &gateway.upstream);
    talk(world, script, &gateway.place).await
}

/// The client before the server, or the gateway, at this place.
async fn talk(world: &World, mut script: Command, place: &str) -> Result<Vec<Finding>> {
    match world.transport {
        Transport::Http => {
            script.env("MCP_PACK_URL", place).env("MCP_PACK_HEADERS", world.options.headers.join("\n"));
        }
        Transport::Stdio => {
            script.env("MCP_PACK_COMMAND", place);
        }
    }
    let output = script.output().await?;
    let lines = String::from_utf8(output.stdout)?;
    let findings: Vec<Finding> = lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no finding")))
        .collect::<Result<_>>()?;
    anyhow::ensure!(output.status.success() && !findings.is_empty(), "the script ended with {}", output.status);
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser;

    use super::super::super::Options;
    use super::*;

    #[tokio::test]
    async fn without_a_gateway_its_line_is_named_and_never_passes() {
        for (scenario, status) in [(None, Status::Elsewhere), (Some("--scenario=gateway"), Status::Skipped)] {
            let options = ["mcp_pack", "--command", "true"].into_iter().chain(scenario);
            let world = World::new(Transport::Stdio, Arc::new(Options::parse_from(options)));
            let told = verdicts(&world).await;
            let of_gateways: Vec<Status> = told.iter().filter(|it| it.line == 17).map(|it| it.status).collect();
            assert_eq!(of_gateways, [status]);
        }
    }
}
