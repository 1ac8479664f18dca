//! `longshore cancel`: asks for jobs to end.

use clap::Parser;
use ureq::http::Method;

use super::term::{self, Stream};
use super::{Outcome, job_text, wait};
use crate::client::{Client, escape};
use crate::http::wire::{CancelBody, JobBody};

/// Ask for jobs to end
///
/// A running job gets SIGTERM, after a grace SIGKILL, and has ended when all its processes are gone.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// A reason for people
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Return when they have ended
    #[arg(long)]
    wait: bool,
    /// Print each job as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let body = CancelBody { reason: args.reason.clone() };
    let mut first_fault = None;
    for name in &args.jobs {
        let result = client.job_name(name).and_then(|name| {
            let job: JobBody = client.send(&Method::POST, &format!("/api/v1/jobs/{}/cancel", escape(&name)), &body)?;
            match args.wait && job.outcome.is_none() {
                true => Ok(wait::wait(client, vec![job.id.clone()], false, None)?.pop().unwrap_or(job)),
                false => Ok(job),
            }
        });
        match result {
            Ok(job) if args.json => term::json(&job)?,
            Ok(job) if job.outcome.is_some() => term::out(&job_text::ending(&job, Stream::Out))?,
            Ok(job) => term::out(&format!("job {} is {}", job.number, job.state))?,
            Err(fault) => {
                first_fault.get_or_insert(fault.code.exit_code());
                term::fault(&job_text::about(name, fault), args.json);
            }
        }
    }
    Ok(first_fault.unwrap_or(0))
}
