//! `longshore rm`: removes finished jobs for good.

use clap::Parser;
use ureq::http::Method;

use super::{Outcome, job_text, term};
use crate::client::{Client, escape};
use crate::http::wire::RemovedBody;

/// Remove finished jobs with their output, for good
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// Print each removed job as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let mut first_fault = None;
    for name in &args.jobs {
        let removed = client.job_name(name).and_then(|name| {
            client.send_once::<RemovedBody>(&Method::DELETE, &format!("/api/v1/jobs/{}", escape(&name)))
        });
        match removed {
            Ok(removed) if args.json => term::json(&removed)?,
            Ok(removed) => term::out(&format!("job {} removed", removed.number))?,
            Err(fault) => {
                first_fault.get_or_insert(fault.code.exit_code());
                term::fault(&job_text::about(name, fault), args.json);
            }
        }
    }
    Ok(first_fault.unwrap_or(0))
}
