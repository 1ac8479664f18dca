//! `longshore run`: submits a command; in the foreground also shows its output and ends as it does.

use std::sync::mpsc;

use clap::Parser;
use longshore_domain::fault::{Fault, FaultCode};
use tokio::signal::unix::{SignalKind, signal};
use ureq::http::Method;

use super::command_args::{CommandArgs, by_flags, milliseconds};
use super::follow::{Follower, Start};
use super::status_line::StatusLine;
use super::term::{self, Stream};
use super::{CliError, Outcome, exit, job_text};
use crate::client::Client;
use crate::config::{Config, Flags, environment};
use crate::home::{Home, random_hex};
use crate::http::wire::{AcceptedBody, JobBody, JobDetailBody, SubmitBody};

/// Run a command as a job, and watch it
///
/// The job goes on whatever becomes of this terminal. Ctrl-C leaves it running.
#[derive(Debug, Parser)]
pub(super) struct Args {
    /// Do not watch: print the job and return
    #[arg(short, long)]
    detach: bool,
    /// Print nothing but the job's output
    #[arg(short, long)]
    quiet: bool,
    /// Print the job as JSON; in the foreground when it has ended, without its output
    #[arg(long)]
    json: bool,
    /// Run it after this job has succeeded; may be repeated
    #[arg(long, value_name = "JOB")]
    after: Vec<String>,
    /// One job per intent: the same key gives the same job
    #[arg(long)]
    key: Option<String>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Not before this instant, e.g. 2026-11-20T22:00:00Z
    #[arg(long, value_name = "INSTANT", conflicts_with = "in")]
    at: Option<String>,
    /// Not before this long from now, e.g. 5m
    #[arg(long, value_name = "LENGTH", value_parser = milliseconds)]
    r#in: Option<u64>,
    /// The chat it belongs to
    #[arg(long, value_name = "NAME")]
    conversation: Option<String>,
    #[command(flatten)]
    command: CommandArgs,
}

/// What the arguments of a request are called here that schedules have not.
const FLAGS: [(&str, &str); 4] = [("not_before", "--at"), ("delay_ms", "--in"), ("key", "--key"), ("name", "--name")];

pub(super) fn run(args: Args, home: &Home) -> Outcome {
    let config = Config::load(home, &Flags::default())?;
    let (detach, quiet, json) = (args.detach, args.quiet, args.json);
    let by_flags = |fault| by_flags(fault, &FLAGS);
    let mut body = to_body(args, &config.env_allow).map_err(by_flags)?;
    let client = Client::connect(home)?;
    body.after = body.after.iter().map(|job| client.job_name(job)).collect::<Result<_, _>>()?;
    let accepted: AcceptedBody = client.send(&Method::POST, "/api/v1/jobs", &body).map_err(by_flags)?;
    if detach {
        return detached(&accepted, quiet, json);
    }
    let watched = Watched { client, job: accepted.job.clone(), quiet: quiet || json, json };
    if !watched.quiet {
        term::note(&format!(
            "{} is durable: come back with `longshore logs -f {}`",
            job_text::called(&accepted.job),
            accepted.job.number
        ));
    }
    match unless_interrupted(move || watched.watch())? {
        Some(outcome) => outcome,
        None => Ok(left(&accepted.job)),
    }
}

fn detached(accepted: &AcceptedBody, quiet: bool, json: bool) -> Outcome {
    match json {
        true => term::json(accepted)?,
        false => term::out(&accepted.job.id)?,
    }
    if !quiet && !json {
        let was = if accepted.existing { " (accepted before, under the same key)" } else { "" };
        let number = accepted.job.number;
        term::note(&format!("job {number} {}{was}; `longshore wait {number}` waits for it", accepted.job.state));
    }
    Ok(0)
}

/// Says that the job goes on after Ctrl-C.
fn left(job: &JobBody) -> u8 {
    let number = job.number;
    term::note(&format!(
        "\njob {number} goes on: `longshore logs -f {number}` shows it, `longshore cancel {number}` ends it"
    ));
    exit::CANCELLED
}

fn to_body(args: Args, env_allow: &[String]) -> Result<SubmitBody, Fault> {
    Ok(SubmitBody {
        name: args.name,
        not_before: args.at,
        delay_ms: args.r#in,
        after: args.after,
        // A key of our own lets us ask again when the answer was lost, without a second job.
        key: Some(args.key.unwrap_or_else(|| format!("cli-{}", &random_hex()[..32]))),
        conversation: args.conversation.or_else(environment::conversation),
        ..args.command.into_body(env_allow)?
    })
}

/// A job in the foreground.
struct Watched {
    client: Client,
    job: JobBody,
    quiet: bool,
    json: bool,
}

impl Watched {
    /// Shows the output until the job has ended, and comes to the job's exit code.
    fn watch(self) -> Outcome {
        let line = StatusLine::start(!self.quiet, &self.job);
        let shown = self.show_output(&line);
        line.clear();
        shown?;
        let job: JobDetailBody = self.client.get(&format!("/api/v1/jobs/{}", self.job.id))?;
        if self.json {
            term::json(&job)?;
        } else if !self.quiet {
            term::note(&job_text::ending(&job.job, Stream::Error));
        }
        Ok(exit::of_job(&job.job))
    }

    fn show_output(&self, line: &StatusLine) -> Result<(), CliError> {
        term::end_with_reader(exit::CUT_OFF);
        let mut follower = Follower::new(&self.client, &self.job.id, Start::Head);
        loop {
            let piece = match follower.next(line.look_every()) {
                Err(fault) if fault.code == FaultCode::OutputExpired => return Ok(()),
                piece => piece?,
            };
            if piece.omitted > 0 && !self.quiet {
                line.around(|| piece.note_gap());
            }
            if !self.json {
                line.print(&piece.bytes, piece.end)?;
            }
            if piece.end {
                return Ok(());
            }
            if line.wants_update() {
                let job: JobDetailBody = self.client.get(&format!("/api/v1/jobs/{}", self.job.id))?;
                line.update(&job.job, piece.progress.as_ref());
            }
        }
    }
}

/// Does `work` in a thread of its own; nothing if Ctrl-C was pressed before it was done.
fn unless_interrupted<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Option<T>, Fault> {
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Fault::internal)?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::internal)?;
    drop(entered);
    let pressed = sender.clone();
    // Both threads end with the process if they are not done; whoever comes second finds nobody listening.
    std::thread::spawn(move || {
        runtime.block_on(interrupt.recv());
        pressed.send(None).ok();
    });
    std::thread::spawn(move || sender.send(Some(work())).ok());
    receiver.recv().map_err(Fault::internal)
}
