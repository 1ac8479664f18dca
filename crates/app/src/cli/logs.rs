//! `longshore logs`: what a job printed, byte for byte.

use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use super::follow::{Follower, Piece, Start, gap};
use super::{Outcome, term};
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
}

pub(super) fn run(args: &Args, client: &Client) -> Outcome {
    let start = match (&args.since, args.tail) {
        (Some(cursor), _) => Start::Cursor(cursor.clone()),
        (None, Some(lines)) => Start::Tail(lines),
        (None, None) => Start::Head,
    };
    let mut follower = Follower::new(client, &client.job_name(&args.job)?, start);
    let wait = if args.follow { LEG } else { Duration::ZERO };
    if args.follow {
        term::end_with_reader();
    }
    loop {
        let piece = follower.next(wait)?;
        print(&piece, args.json)?;
        let nothing_new = piece.bytes.is_empty() && piece.omitted == 0;
        if piece.end || (nothing_new && !args.follow) {
            return Ok(0);
        }
    }
}

fn print(piece: &Piece, json: bool) -> Result<(), super::CliError> {
    if json {
        let text = String::from_utf8_lossy(&piece.bytes);
        return term::json(&PieceBody {
            from: &piece.from,
            next: &piece.next,
            omitted: piece.omitted,
            end: piece.end,
            text,
        });
    }
    if piece.omitted > 0 {
        term::note(&gap(piece.omitted));
    }
    term::bytes(&piece.bytes)
}
