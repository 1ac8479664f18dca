//! What exactly a job would do, as it was submitted. Never changed afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fixture::FixtureSpec;
use crate::time::millis;

/// The sorts of work. Calls of upstream tools, claimed work and processes join as they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A program run by a shim.
    Command,
    /// A script for tests, played by the engine itself.
    Fixture,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Command, Self::Fixture];

    /// The kind as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Fixture => "fixture",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What a job would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Run a program.
    Command(CommandSpec),
    /// Play a script.
    Fixture(FixtureSpec),
}

impl JobSpec {
    /// What sort of work it is.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Command(_) => JobKind::Command,
            Self::Fixture(_) => JobKind::Fixture,
        }
    }

    /// One line of at most 120 characters for lists and titles, without control characters.
    pub fn title(&self) -> String {
        one_line(&match self {
            Self::Command(command) => command.title(),
            Self::Fixture(fixture) => fixture.title(),
        })
    }

    /// Equal for jobs that can be expected to take alike: same program, arguments and directory; same script.
    pub fn likeness(&self) -> u64 {
        match self {
            Self::Command(command) => command.likeness(),
            Self::Fixture(fixture) => fixture.likeness(),
        }
    }
}

/// A program to run: exactly these arguments, in this directory, with this environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// Program and arguments. With `shell`, exactly one element: the line for `/bin/sh -c`.
    pub argv: Vec<String>,
    /// Whether `argv[0]` is a line for the shell.
    #[serde(default)]
    pub shell: bool,
    /// Absolute path of the working directory.
    pub cwd: String,
    /// The whole environment of the command, but for the variables that mark its attempt.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// How long it may run.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// What it may use.
    #[serde(default)]
    pub limits: CommandLimits,
    /// How its output is captured.
    #[serde(default)]
    pub output: OutputMode,
}

impl CommandSpec {
    /// A program with its arguments and nothing special: no deadline, no limits, its output as it comes.
    pub fn new(argv: &[&str], cwd: &str, env: &[(&str, &str)]) -> Self {
        Self {
            argv: argv.iter().map(ToString::to_string).collect(),
            shell: false,
            cwd: cwd.into(),
            env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            deadlines: Deadlines::default(),
            limits: CommandLimits::default(),
            output: OutputMode::Merged,
        }
    }
}

/// How long an attempt may run, counted from its start. Absent = for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// After this long the command is asked once to end (SIGTERM to its group), and may go on until `hard`.
    #[serde(default, with = "millis::option", rename = "soft_ms", skip_serializing_if = "Option::is_none")]
    pub soft: Option<Duration>,
    /// After this long the whole tree is stopped: SIGTERM, `grace`, SIGKILL.
    #[serde(default, with = "millis::option", rename = "hard_ms", skip_serializing_if = "Option::is_none")]
    pub hard: Option<Duration>,
    /// Between SIGTERM and SIGKILL, for deadlines and for cancelling.
    #[serde(with = "millis", rename = "grace_ms")]
    pub grace: Duration,
}

impl Deadlines {
    /// The usual time between SIGTERM and SIGKILL.
    pub const GRACE: Duration = Duration::from_secs(5);
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { soft: None, hard: None, grace: Self::GRACE }
    }
}

/// Limits on one command. Absent = none beyond the machine's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandLimits {
    /// Memory: of the whole tree by cgroup where one can be had, else address space of each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processes: of the whole tree by cgroup where one can be had, else of the whole user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Niceness added, 0 to 19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<u8>,
    /// Bytes of output kept; beyond it the head (a fifth) and the tail are kept and the rest is counted.
    pub output_bytes_max: u64,
}

impl CommandLimits {
    /// Bytes of output kept when nothing else is said.
    pub const OUTPUT_BYTES_MAX: u64 = 100 * 1024 * 1024;
}

impl Default for CommandLimits {
    fn default() -> Self {
        Self { memory_bytes: None, processes: None, nice: None, output_bytes_max: Self::OUTPUT_BYTES_MAX }
    }
}

/// How standard output and standard error are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputMode {
    /// One pipe for both: the order is exact, the source of a line is not known.
    #[default]
    Merged,
    /// A pipe each: the source is known, the order between the two is approximate.
    Split,
}

/// Why a spec can never run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{argument}`: {problem}")]
pub struct SpecProblem {
    /// The argument at fault.
    pub argument: &'static str,
    /// What is wrong with it, and what was expected.
    pub problem: String,
    /// Whether a size limit was exceeded.
    pub too_large: bool,
}

impl CommandSpec {
    /// Longest single argument or variable, in bytes (Linux `MAX_ARG_STRLEN`, less the closing NUL).
    pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
    /// Arguments and environment together, in bytes: well under what Linux grants with its default stack limit.
    pub const TOTAL_BYTES_MAX: usize = 1024 * 1024;
    /// Longest working directory (`PATH_MAX`, less the closing NUL).
    pub const CWD_BYTES_MAX: usize = 4095;
    /// Variables that make a shell or the loader run code of somebody else's choice; refused even when named.
    pub const ENV_REFUSED: &'static [&'static str] = &[
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "PROMPT_COMMAND",
        "IFS",
        "LD_PRELOAD",
        "LD_AUDIT",
        "DYLD_INSERT_LIBRARIES",
    ];

    /// Whether a variable of this name is never given to a command: [`Self::ENV_REFUSED`], exported shell
    /// functions, and Longshore's own.
    pub fn refuses_variable(name: &str) -> bool {
        Self::ENV_REFUSED.contains(&name) || name.starts_with("BASH_FUNC_") || name.starts_with("LONGSHORE_")
    }

    /// Checks all that can be known without looking at the machine.
    ///
    /// # Errors
    /// The first problem found; nothing should be stored.
    pub fn check(&self) -> Result<(), SpecProblem> {
        self.check_argv()?;
        self.check_env()?;
        if !self.cwd.starts_with('/') || self.cwd.contains('\0') || self.cwd.len() > Self::CWD_BYTES_MAX {
            return problem("cwd", "must be an absolute path of at most 4095 bytes without NUL");
        }
        if self.limits.nice.is_some_and(|nice| nice > 19) {
            return problem("nice", "must be 0 to 19");
        }
        if self.limits.memory_bytes == Some(0) {
            return problem("memory_bytes", "must be more than 0");
        }
        if self.limits.processes == Some(0) {
            return problem("processes", "must be at least 1, for the command itself");
        }
        if self.limits.output_bytes_max < 64 * 1024 {
            return problem("output_bytes_max", "must be at least 65536 bytes");
        }
        if let (Some(soft), Some(hard)) = (self.deadlines.soft, self.deadlines.hard)
            && soft >= hard
        {
            return problem("soft_deadline", "must be shorter than the deadline");
        }
        if [self.deadlines.soft, self.deadlines.hard].contains(&Some(Duration::ZERO)) {
            return problem("deadline", "must be longer than zero");
        }
        Ok(())
    }

    fn check_argv(&self) -> Result<(), SpecProblem> {
        match self.argv.first() {
            None => return problem("command", "is empty: give a program and its arguments"),
            Some(first) if first.trim().is_empty() => return problem("command", "begins with an empty program name"),
            Some(_) if self.shell && self.argv.len() != 1 => {
                return problem("command", "must be one line of text when `shell` is true");
            }
            Some(_) => {}
        }
        for (at, argument) in self.argv.iter().enumerate() {
            if argument.contains('\0') {
                return problem("command", format!("argument {at} contains a NUL byte, which no program can receive"));
            }
            if argument.len() > Self::ARGUMENT_BYTES_MAX {
                let found = argument.len();
                return too_large("command", format!("argument {at} has {found} bytes; at most 131071 fit in one"));
            }
        }
        let total: usize = self.argv.iter().map(|argument| argument.len() + 1).sum::<usize>()
            + self.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        if total > Self::TOTAL_BYTES_MAX {
            return too_large("command", format!("arguments and environment have {total} bytes; at most 1048576 fit"));
        }
        Ok(())
    }

    fn check_env(&self) -> Result<(), SpecProblem> {
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return problem("env", format!("`{}` is not a usable variable", name.escape_debug()));
            }
            if Self::refuses_variable(name) {
                return problem(
                    "env",
                    format!("`{name}` would let others run code in the command; it is never passed"),
                );
            }
            if name.len() + value.len() + 1 > Self::ARGUMENT_BYTES_MAX {
                return too_large("env", format!("`{name}` has more than 131071 bytes"));
            }
        }
        Ok(())
    }

    fn title(&self) -> String {
        self.argv.iter().map(|word| display_word(word, self.shell)).collect::<Vec<_>>().join(" ")
    }

    fn likeness(&self) -> u64 {
        let mut hash = Sha256::new();
        for part in self.argv.iter().chain([&self.cwd]) {
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        digest.iter().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte))
    }
}

fn one_line(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= CHARS_MAX {
        return clean;
    }
    clean.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}

fn display_word(word: &str, raw: bool) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%^~".contains(c);
    match raw || (!word.is_empty() && word.chars().all(plain)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

pub(super) fn problem<T>(argument: &'static str, problem: impl Into<String>) -> Result<T, SpecProblem> {
    Err(SpecProblem { argument, problem: problem.into(), too_large: false })
}

pub(super) fn too_large<T>(argument: &'static str, problem: impl Into<String>) -> Result<T, SpecProblem> {
    Err(SpecProblem { argument, problem: problem.into(), too_large: true })
}

/// The line a job stands in: 1 to 64 of `a-z A-Z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueName(String);

impl QueueName {
    /// The queue of jobs that named none.
    pub const DEFAULT: &'static str = "default";

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl TryFrom<String> for QueueName {
    type Error = SpecProblem;

    fn try_from(name: String) -> Result<Self, SpecProblem> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match (1..=64).contains(&name.len()) && name.chars().all(good) {
            true => Ok(Self(name)),
            false => problem("queue", "must be 1 to 64 letters, digits, dots, dashes or underscores"),
        }
    }
}

impl From<QueueName> for String {
    fn from(name: QueueName) -> Self {
        name.0
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
