//! `longshore result`: how a job ended, with the last lines of its output.

use std::time::Duration;

use clap::Parser;
use longshore_domain::fault::{Fault, FaultCode};
use serde::Serialize;

use super::follow::{Follower, Piece, Start};
use super::term::{self, Stream};
use super::{Outcome, exit, job_text};
use crate::client::{Client, escape};
use crate::http::wire::{JobDetailBody, OutcomeBody};

/// Show how a job ended, and the last lines it printed
///
/// Ends with the exit code of the job.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The job
    job: String,
    /// How many of the last lines
    #[arg(long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Print it as JSON; bytes that are no text are replaced
    #[arg(long)]
    json: bool,
}

/// An outcome with the last lines, as JSON.
#[derive(Debug, Serialize)]
struct ResultBody<'a> {
    id: &'a str,
    number: u64,
    outcome: &'a OutcomeBody,
    elapsed_ms: Option<u64>,
    output_bytes: Option<u64>,
    /// Bytes that were not kept, within the tail or behind it.
    omitted: u64,
    tail: String,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let name = client.job_name(&args.job)?;
    let job = client.get::<JobDetailBody>(&format!("/api/v1/jobs/{}", escape(&name)))?.job;
    let Some(outcome) = &job.outcome else {
        return Err(Fault::new(FaultCode::ResultNotReady, format!("job {} is {}", job.number, job.state))
            .why("it has no result until it has ended")
            .next(format!("`longshore wait {}` waits for it", job.number))
            .into());
    };
    let tail = tail(client, &job.id, args.lines)?;
    if args.json {
        let omitted = tail.iter().map(|piece| piece.omitted).sum();
        let tail: Vec<u8> = tail.into_iter().flat_map(|piece| piece.bytes).collect();
        let tail = String::from_utf8_lossy(&tail).into_owned();
        let (id, number, output_bytes) = (job.id.as_str(), job.number, job.output_bytes);
        term::json(&ResultBody { id, number, outcome, elapsed_ms: job.elapsed_ms, output_bytes, omitted, tail })?;
    } else {
        term::out(&job_text::ending(&job, Stream::Out))?;
        for piece in &tail {
            piece.print()?;
        }
    }
    Ok(exit::of_job(&job))
}

/// The last lines; none if retention has removed the output.
fn tail(client: &Client, job: &str, lines: usize) -> Result<Vec<Piece>, Fault> {
    let mut pieces = vec![];
    let mut follower = Follower::new(client, job, Start::Tail(lines));
    loop {
        match follower.next(Duration::ZERO) {
            Ok(piece) => {
                let is_last = piece.end || piece.is_nothing();
                pieces.push(piece);
                if is_last {
                    return Ok(pieces);
                }
            }
            Err(fault) if fault.code == FaultCode::OutputExpired => return Ok(pieces),
            Err(fault) => return Err(fault),
        }
    }
}
