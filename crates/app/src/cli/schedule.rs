//! `longshore schedule`: jobs that come again and again.

use clap::{Parser, Subcommand, ValueEnum};
use longshore_domain::Timestamp;
use longshore_domain::time::format_length;
use longshore_engine::Clock;
use ureq::http::Method;

use super::command_args::{CommandArgs, by_flags};
use super::{Outcome, term};
use crate::client::{Client, escape};
use crate::config::{Config, Flags, environment};
use crate::home::Home;
use crate::http::wire::{NewScheduleBody, PauseBody, ScheduleBody, SchedulesBody};

const PATH: &str = "/api/v1/schedules";

/// Have jobs come again and again, at the times of a calendar
#[derive(Debug, Parser)]
pub(super) struct Args {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Make a schedule
    ///
    /// At each of its times it makes a job of its name, once, whichever nodes are there. Of times at which nothing ran to
    /// make a job, the last one is made up for. A job finds its time in LONGSHORE_SCHEDULED_AT.
    Add(Box<AddArgs>),
    /// List schedules
    Ls {
        /// Print each as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a schedule
    Show(NamedArgs),
    /// Have a schedule make no more jobs; those that it made go on
    Pause(NamedArgs),
    /// Have a paused schedule make jobs again, from now on
    Resume(NamedArgs),
    /// Remove a schedule; the jobs that it made stay
    Rm(NamedArgs),
}

#[derive(Debug, Parser)]
struct AddArgs {
    /// Its name
    name: String,
    /// Its times: minute, hour, day of the month, month, day of the week, e.g. "30 4 * * mon-fri"; or @hourly, @daily …
    #[arg(long, value_name = "EXPRESSION")]
    cron: String,
    /// The time zone in which they are meant, e.g. Europe/Berlin; this machine's if absent
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// What if the job before has not ended
    #[arg(long, value_enum, default_value_t = Overlap::Skip)]
    overlap: Overlap,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    command: CommandArgs,
}

#[derive(Debug, Parser)]
struct NamedArgs {
    /// Its name or id
    schedule: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What a schedule does at a time at which the job before has not ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Overlap {
    /// Make no job for that time
    Skip,
    /// Make another job
    Allow,
}

pub(super) fn run(args: Args, home: &Home) -> Outcome {
    let client = Client::connect(home)?;
    let named = |args: &NamedArgs| format!("{PATH}/{}", escape(&args.schedule));
    let pause = |args: &NamedArgs, paused| {
        let schedule: ScheduleBody =
            client.send(&Method::PUT, &format!("{}/paused", named(args)), &PauseBody { paused })?;
        show(&schedule, args.json)
    };
    match args.command {
        ScheduleCommand::Add(args) => add(*args, home, &client),
        ScheduleCommand::Ls { json } => list(json, &client),
        ScheduleCommand::Show(args) => show(&client.get(&named(&args))?, args.json),
        ScheduleCommand::Pause(args) => pause(&args, true),
        ScheduleCommand::Resume(args) => pause(&args, false),
        ScheduleCommand::Rm(args) => {
            let removed: ScheduleBody = client.send_once(&Method::DELETE, &named(&args))?;
            match args.json {
                true => term::json(&removed)?,
                false => term::note(&format!("removed the schedule {}", term::harmless(&removed.name))),
            }
            Ok(0)
        }
    }
}

fn add(args: AddArgs, home: &Home, client: &Client) -> Outcome {
    let config = Config::load(home, &Flags::default())?;
    let by_flags = |fault| by_flags(fault, &[("cron", "--cron"), ("time_zone", "--time-zone")]);
    let body = NewScheduleBody {
        name: args.name,
        cron: args.cron,
        time_zone: args.time_zone.or_else(environment::time_zone),
        overlap: Some(match args.overlap {
            Overlap::Skip => "skip".into(),
            Overlap::Allow => "allow".into(),
        }),
        job: args.command.into_body(&config.env_allow).map_err(by_flags)?,
    };
    show(&client.send(&Method::POST, PATH, &body).map_err(by_flags)?, args.json)
}

fn list(json: bool, client: &Client) -> Outcome {
    let now = Clock::system().now();
    let found: SchedulesBody = client.get(PATH)?;
    if !json {
        term::out(&row("NAME", "NEXT", "CALENDAR", "COMMAND"))?;
    }
    for schedule in &found.schedules {
        match json {
            true => term::json(schedule)?,
            false => {
                let calendar = format!("{} {}", schedule.cron, schedule.time_zone);
                term::out(&row(&term::harmless(&schedule.name), &next(schedule, now), &calendar, &schedule.title))?;
            }
        }
    }
    Ok(0)
}

fn row(name: &str, next: &str, calendar: &str, command: &str) -> String {
    format!("{name:<20}  {next:<12}  {calendar:<30}  {command}")
}

/// When a schedule fires next, for people.
fn next(schedule: &ScheduleBody, now: Timestamp) -> String {
    match schedule.next_at.as_deref().and_then(|at| at.parse::<Timestamp>().ok()) {
        Some(at) => format!("in {}", format_length(at.since(now))),
        None => schedule.state.clone(),
    }
}

fn show(schedule: &ScheduleBody, json: bool) -> Outcome {
    if json {
        term::json(schedule)?;
        return Ok(0);
    }
    let now = Clock::system().now();
    let last = schedule.last.as_ref().map(|last| format!("{} for {}", last.job, last.due_at));
    let next_at = schedule.next_at.as_ref().map(|at| format!("{at} ({})", next(schedule, now)));
    let lines = [
        ("name", Some(term::harmless(&schedule.name))),
        ("id", Some(schedule.id.clone())),
        ("state", Some(schedule.state.clone())),
        ("calendar", Some(format!("{} in {}", schedule.cron, schedule.time_zone))),
        ("next", next_at),
        ("overlap", Some(schedule.overlap.clone())),
        ("last job", last),
        ("passed over", schedule.skipped_at.clone()),
        ("queue", Some(schedule.queue.clone())),
        ("command", Some(term::harmless(&schedule.title))),
    ];
    for (name, value) in lines {
        if let Some(value) = value {
            term::out(&format!("{name:<12} {value}"))?;
        }
    }
    Ok(0)
}
