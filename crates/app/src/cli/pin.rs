//! `longshore pin` and `unpin`: whether retention leaves a job alone.

use clap::Parser;
use ureq::http::Method;

use super::{Outcome, term};
use crate::client::{Client, escape};
use crate::http::wire::{JobBody, PinBody};

/// Keep a job and its output from retention, or no longer
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Print the job as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client, pinned: bool) -> Outcome {
    let name = client.job_name(&args.job)?;
    let path = format!("/api/v1/jobs/{}/pin", escape(&name));
    let job: JobBody = client.send(&Method::PUT, &path, &PinBody { pinned })?;
    match args.json {
        true => term::json(&job)?,
        false => term::out(&format!("job {} {}", job.number, if pinned { "pinned" } else { "no longer pinned" }))?,
    }
    Ok(0)
}
