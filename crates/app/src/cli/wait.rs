//! `longshore wait`: returns when jobs have ended, with their exit code.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Parser;
use longshore_domain::fault::{Fault, FaultCode};
use ureq::http::Method;

use super::term::{self, Stream};
use super::{Outcome, exit, job_text};
use crate::client::{Client, LEG};
use crate::config::units;
use crate::home::Home;
use crate::http::wire::{JobBody, WaitBody, WaitedBody};

/// How much later than it was asked for the daemon's answer is still waited for, since it says where the jobs stand.
const LATE_MAX: Duration = Duration::from_secs(1);

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

/// How long is waited.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    length: Duration,
    end: Instant,
}

pub(super) fn run(args: Args, home: &Home) -> Outcome {
    let (json, limit) = (args.json, args.timeout.map(Limit::from_now));
    let home = home.clone();
    let jobs = within(limit, move || {
        let client = Client::connect(&home)?;
        let jobs = args.jobs.iter().map(|job| client.job_name(job)).collect::<Result<Vec<_>, _>>()?;
        wait(&client, jobs, args.any, limit)
    })?;
    for job in jobs.iter().filter(|job| job.outcome.is_some()) {
        match json {
            true => term::json(job)?,
            false => term::out(&job_text::ending(job, Stream::Out))?,
        }
    }
    let codes = jobs.iter().filter(|job| job.outcome.is_some()).map(exit::of_job);
    Ok(codes.into_iter().find(|&code| code != 0).unwrap_or(0))
}

impl Limit {
    fn from_now(length: Duration) -> Self {
        Self { length, end: Instant::now() + length }
    }

    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

/// Does `work` in a thread of its own, which ends with the process if it is not done in time: a daemon may be sought,
/// started, or silent for longer.
fn within<T: Send + 'static>(
    limit: Option<Limit>,
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    let done = match limit {
        Some(limit) => receiver.recv_timeout(limit.left() + LATE_MAX),
        None => receiver.recv().map_err(RecvTimeoutError::from),
    };
    match (done, limit) {
        (Err(RecvTimeoutError::Timeout), Some(limit)) => Err(timed_out(limit, "no daemon has answered".into())),
        (done, _) => done.map_err(Fault::internal)?,
    }
}

/// Waits in legs that the daemon answers in time, so that nothing on the way gives up first.
///
/// # Errors
/// `wait_timeout` at the limit; the daemon's own.
pub(super) fn wait(client: &Client, jobs: Vec<String>, any: bool, limit: Option<Limit>) -> Result<Vec<JobBody>, Fault> {
    let mut body = WaitBody { jobs, any, timeout_s: None };
    loop {
        body.timeout_s = Some(limit.map_or(LEG, Limit::left).min(LEG).as_secs_f64());
        let waited: WaitedBody = client.send(&Method::POST, "/api/v1/wait", &body)?;
        match limit {
            _ if !waited.timed_out => return Ok(waited.jobs),
            Some(limit) if limit.left().is_zero() => return Err(timed_out(limit, unfinished(&waited.jobs))),
            _ => {}
        }
    }
}

fn unfinished(jobs: &[JobBody]) -> String {
    let unfinished = jobs.iter().filter(|job| job.outcome.is_none());
    let states: Vec<String> = unfinished.map(|job| format!("job {} is {}", job.number, job.state)).collect();
    states.join(", ")
}

fn timed_out(limit: Limit, why: String) -> Fault {
    Fault::new(FaultCode::WaitTimeout, format!("not ended within {}", units::show_length(limit.length)))
        .why(why)
        .next("nothing is lost, the jobs go on: wait again")
}
