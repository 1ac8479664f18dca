//! Lines 14, 17 and 20: what other programs check. The reference client is driven by a script of its own, whose
//! findings become lines of this report; the rest is named, so that nobody takes its absence for a success.

use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use super::super::report::{Status, Verdict};
use super::super::world::World;

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

const ELSEWHERE: &[(u8, &str, &str)] = &[
    (17, "gateway/quarantine", "needs a gateway with a bad upstream: no server alone can show it"),
    (20, "official/suite", "run by itself: tests/conformance"),
];

/// What stands at the end of the report.
pub(in super::super) async fn verdicts(world: &World) -> Vec<Verdict> {
    let options = &world.options;
    let name = |id: &str| format!("{}/{id}", world.transport.name());
    let mut told = vec![];
    if options.wants("reference") {
        told.extend(match &options.reference_client {
            None => vec![verdict(name("reference/client"), 14, Status::Skipped, "needs --reference-client")],
            Some(command) => match findings(world, command).await {
                Ok(findings) => findings.into_iter().map(|found| found.verdict(&name("reference"))).collect(),
                Err(error) => vec![verdict(name("reference/client"), 14, Status::Failure, &format!("{error:#}"))],
            },
        });
    }
    let elsewhere = ELSEWHERE.iter().filter(|(_, id, _)| options.wants(id));
    told.extend(elsewhere.map(|(line, id, why)| verdict(name(id), *line, Status::Elsewhere, why)));
    told
}

fn verdict(id: String, line: u8, status: Status, message: &str) -> Verdict {
    Verdict { id, line, description: String::new(), status, error_message: message.to_owned(), duration_ms: 0 }
}

impl Finding {
    fn verdict(self, scenario: &str) -> Verdict {
        let status = match self.ok {
            Some(true) => Status::Success,
            Some(false) => Status::Failure,
            None => Status::Skipped,
        };
        let mut verdict = verdict(format!("{scenario}/{}", self.id), 14, status, &self.message);
        verdict.description = self.description;
        verdict
    }
}

async fn findings(world: &World, command: &str) -> Result<Vec<Finding>> {
    let options = &world.options;
    let mut script = Command::new("sh");
    script.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit());
    match world.transport {
        super::super::world::Transport::Http => {
            script.env("MCP_PACK_URL", options.url.as_deref().unwrap_or_default());
            script.env("MCP_PACK_HEADERS", options.headers.join("\n"));
        }
        super::super::world::Transport::Stdio => {
            script.env("MCP_PACK_COMMAND", options.command.as_deref().unwrap_or_default());
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
