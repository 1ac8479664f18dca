//! `longshore wait`: returns when jobs have ended, with their exit code.

use std::time::{Duration, Instant};

use clap::Parser;
use longshore_domain::fault::{Fault, FaultCode};
use ureq::http::Method;

use super::term::{self, Stream};
use super::{Outcome, exit, job_text};
use crate::client::{Client, LEG};
use crate::config::units;
use crate::http::wire::{JobBody, WaitBody, WaitedBody};

/// Wait until jobs have ended
///
/// Ends with the exit code of the job; of several: with the first that is not 0, in the order given.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The jobs
    #[arg(required = true, value_name = "JOB")]
    jobs: Vec<String>,
    /// Until one of them has ended
    #[arg(long)]
    any: bool,
    /// Give up after this long; the jobs go on
    #[arg(long, value_name = "LENGTH", value_parser = units::length)]
    timeout: Option<Duration>,
    /// Print each job as a line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let jobs = args.jobs.iter().map(|job| client.job_name(job)).collect::<Result<Vec<_>, _>>()?;
    let jobs = wait(client, jobs, args.any, args.timeout)?;
    for job in jobs.iter().filter(|job| job.outcome.is_some()) {
        match args.json {
            true => term::json(job)?,
            false => term::out(&job_text::ending(job, Stream::Out))?,
        }
    }
    let codes = jobs.iter().filter(|job| job.outcome.is_some()).map(exit::of_job);
    Ok(codes.into_iter().find(|&code| code != 0).unwrap_or(0))
}

/// Waits in legs that the daemon answers in time, so that nothing on the way gives up first.
///
/// # Errors
/// `wait_timeout` after `timeout`; the daemon's own.
pub(super) fn wait(
    client: &Client,
    jobs: Vec<String>,
    any: bool,
    timeout: Option<Duration>,
) -> Result<Vec<JobBody>, Fault> {
    let deadline = timeout.map(|timeout| (Instant::now() + timeout, timeout));
    let mut body = WaitBody { jobs, any, timeout_s: None };
    loop {
        let left = deadline.map_or(LEG, |(deadline, _)| deadline.saturating_duration_since(Instant::now()));
        body.timeout_s = Some(left.min(LEG).as_secs_f64());
        let waited: WaitedBody = client.send(&Method::POST, "/api/v1/wait", &body)?;
        match deadline {
            _ if !waited.timed_out => return Ok(waited.jobs),
            Some((deadline, timeout)) if Instant::now() >= deadline => {
                return Err(timed_out(&waited.jobs, timeout));
            }
            _ => {}
        }
    }
}

fn timed_out(jobs: &[JobBody], timeout: Duration) -> Fault {
    let unfinished: Vec<&JobBody> = jobs.iter().filter(|job| job.outcome.is_none()).collect();
    let states: Vec<String> = unfinished.iter().map(|job| format!("job {} is {}", job.number, job.state)).collect();
    Fault::new(FaultCode::WaitTimeout, format!("not ended within {}", units::show_length(timeout)))
        .why(states.join(", "))
        .next("nothing is lost, the jobs go on: wait again")
}
