//! `longshore retry`: runs the work of a failed or cancelled job once more, as a new job.

use clap::Parser;
use ureq::http::Method;

use super::{Outcome, job_text, term};
use crate::client::{Client, escape};
use crate::http::wire::AcceptedBody;

/// Run a failed or cancelled job once more, as a new job
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Print the new job as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let name = client.job_name(&args.job)?;
    let accepted: AcceptedBody = client.send_once(&Method::POST, &format!("/api/v1/jobs/{}/retry", escape(&name)))?;
    match args.json {
        true => term::json(&accepted)?,
        false => term::out(&format!("{} is {}", job_text::called(&accepted.job), accepted.job.state))?,
    }
    Ok(0)
}
