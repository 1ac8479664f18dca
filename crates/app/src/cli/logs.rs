//! `longshore logs`: what a job printed, byte for byte.

use std::time::Duration;

use clap::Parser;
use longshore_domain::fault::Fault;
use serde::Serialize;

use super::follow::{Follower, Label, Piece, Start};
use super::source::{self, Source};
use super::stamps::Stamps;
use super::{CliError, Outcome, term};
use crate::client::{Client, LEG};

/// Print the output of a job, exactly as it was printed
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Go on until the job has ended
    #[arg(short, long)]
    follow: bool,
    /// Begin at a cursor from `--json`
    #[arg(long, value_name = "CURSOR", conflicts_with = "tail")]
    since: Option<String>,
    /// Begin so that the last N lines are printed
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Print before each line the time at which it came; coarse where much comes at once
    #[arg(long)]
    timestamps: bool,
    /// Print only what came on this stream; for jobs that were run with `--split`
    #[arg(long, value_enum, value_name = "STREAM")]
    stream: Option<Source>,
    /// Print each piece as a line of JSON with its cursors; bytes that are no text are replaced
    #[arg(long)]
    json: bool,
}

/// A piece of output as JSON.
#[derive(Debug, Serialize)]
struct PieceBody<'a> {
    from: &'a str,
    next: &'a str,
    omitted: u64,
    end: bool,
    text: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<&'a [Label]>,
    /// Bytes left out because nobody knows on which stream they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<usize>,
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let job = client.job_name(&args.job)?;
    if args.stream.is_some() {
        source::must_be_apart(client, &job)?;
    }
    let mut follower = args.follower(client, &job, start(args, client, &job)?);
    let wait = if args.follow { LEG } else { Duration::ZERO };
    if args.follow {
        term::end_with_reader(0);
    }
    let mut stamps = args.timestamps.then(Stamps::default);
    loop {
        let mut piece = follower.next(wait)?;
        let is_last = piece.end || (piece.is_nothing() && !args.follow);
        let unknown = args.stream.map(|stream| stream.pick(&mut piece));
        match args.json {
            true => print_json(args, &piece, unknown)?,
            false => print(&piece, stamps.as_mut(), unknown.unwrap_or(0))?,
        }
        if is_last {
            return Ok(0);
        }
    }
}

impl Args {
    fn follower<'c>(&self, client: &'c Client, job: &str, start: Start) -> Follower<'c> {
        let follower = Follower::new(client, job, start);
        if self.wants_labels() { follower.labelled() } else { follower }
    }

    fn wants_labels(&self) -> bool {
        self.timestamps || self.stream.is_some()
    }
}

fn start(args: &Args, client: &Client, job: &str) -> Result<Start, Fault> {
    match (&args.since, args.tail, args.stream) {
        (Some(cursor), ..) => Ok(Start::Cursor(cursor.clone())),
        (None, Some(lines), Some(stream)) => stream.tail_start(&mut args.follower(client, job, Start::Head), lines),
        (None, Some(lines), None) => Ok(Start::Tail(lines)),
        (None, None, _) => Ok(Start::Head),
    }
}

fn print_json(args: &Args, piece: &Piece, unknown: Option<usize>) -> Result<(), CliError> {
    term::json(&PieceBody {
        from: &piece.from,
        next: &piece.next,
        omitted: piece.omitted,
        end: piece.end,
        text: String::from_utf8_lossy(&piece.bytes),
        labels: args.wants_labels().then_some(&piece.labels),
        unknown,
    })
}

fn print(piece: &Piece, stamps: Option<&mut Stamps>, unknown: usize) -> Result<(), CliError> {
    piece.note_gap();
    if unknown > 0 {
        term::note(&format!("… nobody knows on which stream {unknown} bytes came …"));
    }
    match stamps {
        Some(stamps) => term::bytes(&stamps.put(piece)),
        None => term::bytes(&piece.bytes),
    }
}
