//! What every command that makes jobs lets one say of the job's command.

use std::collections::BTreeMap;

use clap::Args;
use longshore_domain::fault::Fault;

use crate::config::{environment, units};
use crate::http::wire::SubmitBody;

/// A command, how it runs, and where it stands in line.
#[derive(Debug, Args)]
pub(super) struct CommandArgs {
    /// The line to stand in
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Stop it after this long, e.g. 10m
    #[arg(long, value_name = "LENGTH", value_parser = milliseconds)]
    deadline: Option<u64>,
    /// Ask it once to end after this long, before the deadline
    #[arg(long, value_name = "LENGTH", value_parser = milliseconds)]
    soft_deadline: Option<u64>,
    /// Run it again up to N times if it fails; running twice must be harmless
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,
    /// Higher runs first within its queue
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    priority: i16,
    /// Run it on a node that has this label; may be repeated
    #[arg(long, value_name = "LABEL")]
    require: Vec<String>,
    /// Working directory; this one if absent
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// A variable for the command: NAME=VALUE, or NAME to pass on this terminal's; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Give the command to /bin/sh as one line
    #[arg(long)]
    shell: bool,
    /// Capture standard output and standard error apart
    #[arg(long)]
    split: bool,
    /// Limit on memory, e.g. 2G
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    memory: Option<u64>,
    /// Limit on processes
    #[arg(long, value_name = "N")]
    processes: Option<u64>,
    /// Niceness to add, 0 to 19
    #[arg(long, value_name = "N")]
    nice: Option<u8>,
    /// Bytes of output to keep, e.g. 10M
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    output_max: Option<u64>,
    /// The command and its arguments, after `--`
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl CommandArgs {
    /// As it is sent, with the variables of this process that commands may inherit.
    ///
    /// # Errors
    /// `invalid_argument` if the directory or a variable cannot be used.
    pub(super) fn into_body(self, env_allow: &[String]) -> Result<SubmitBody, Fault> {
        Ok(SubmitBody {
            cwd: directory(self.cwd.as_deref())?,
            env: named_variables(&self.env)?,
            inherited: environment::inherited(env_allow),
            command: match self.shell {
                true => vec![self.command.join(" ")],
                false => self.command,
            },
            shell: self.shell,
            queue: self.queue,
            priority: self.priority,
            requires: self.require,
            deadline_ms: self.deadline,
            soft_deadline_ms: self.soft_deadline,
            memory_bytes: self.memory,
            processes: self.processes,
            nice: self.nice,
            output_bytes_max: self.output_max,
            split: self.split,
            retries: self.retry,
            ..SubmitBody::default()
        })
    }
}

/// What the arguments of requests are called on the command line of every command that makes jobs.
const FLAGS: [(&str, &str); 13] = [
    ("queue", "--queue"),
    ("priority", "--priority"),
    ("requires", "--require"),
    ("deadline", "--deadline"),
    ("soft_deadline", "--soft-deadline"),
    ("retry", "--retry"),
    ("cwd", "--cwd"),
    ("env", "--env"),
    ("shell", "--shell"),
    ("memory_bytes", "--memory"),
    ("processes", "--processes"),
    ("nice", "--nice"),
    ("output_bytes_max", "--output-max"),
];

/// A fault that names the flag of the argument that it is about, by the list above and the command's `own`.
pub(super) fn by_flags(fault: Fault, own: &[(&str, &str)]) -> Fault {
    let named = fault.message.strip_prefix('`').and_then(|rest| rest.split_once("`: "));
    let flag = |argument: &str| FLAGS.iter().chain(own).find(|(name, _)| *name == argument).map(|(_, flag)| *flag);
    match named.and_then(|(argument, problem)| Some((flag(argument)?, problem))) {
        Some((flag, problem)) => Fault { message: format!("`{flag}`: {problem}"), ..fault },
        None => fault,
    }
}

/// Reads a length of time, such as `10m`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let length = units::length(text)?;
    u64::try_from(length.as_millis()).map_err(|_| format!("`{text}` is too long"))
}

fn directory(named: Option<&str>) -> Result<String, Fault> {
    let problem = |error: std::io::Error| Fault::invalid("cwd", error).next("give a directory with `--cwd`");
    let path = match named {
        Some(named) => std::path::absolute(named).map_err(problem)?,
        None => std::env::current_dir().map_err(problem)?,
    };
    path.into_os_string().into_string().map_err(|_| Fault::invalid("cwd", "its path is not UTF-8"))
}

fn named_variables(named: &[String]) -> Result<BTreeMap<String, String>, Fault> {
    let pairs = named.iter().map(|word| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => match environment::variable(word) {
            Some(value) => Ok((word.clone(), value)),
            None => Err(Fault::invalid("env", format!("`{word}` is not set here, or not UTF-8"))
                .next(format!("give it as `--env {word}=VALUE`"))),
        },
    });
    pairs.collect()
}
