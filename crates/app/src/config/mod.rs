//! Settings in two steps: what was written ([`file::ConfigFile`]), and what holds ([`Config`]).

mod access;
mod artifacts;
pub(crate) mod environment;
mod file;
mod node;
mod resolve;
mod store;
pub(crate) mod units;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use longshore_domain::fault::Fault;
use longshore_domain::job::QueueName;
use longshore_engine::Retention;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::home::Home;
pub(crate) use access::{Limits, OAuth};
pub(crate) use artifacts::ArtifactsAt;
use file::Source;
pub(crate) use node::Node;
use resolve::{Given, Resolver};
pub(crate) use store::StoreAt;
pub(crate) use web::WebAddress;

/// Every setting with its default, as one commented file; also the manual's page.
pub(crate) const DEFAULTS: &str = include_str!("defaults.toml");
/// Shortest and longest lease, in seconds. The manual begins at five: below it a busy machine may lose leases.
const LEASE_SECONDS: RangeInclusive<u64> = 1..=3_600;
/// Shortest and longest time that a call may be held, in seconds.
const CALL_SECONDS: RangeInclusive<u64> = 1..=600;
/// Where the daemon of the usual home listens.
const LISTEN_USUAL: &str = "127.0.0.1:7717";

/// What holds: resolved, checked, with units.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: Listen,
    pub(crate) hosts: Vec<String>,
    pub(crate) capacity: u32,
    pub(crate) queue_concurrency: u32,
    pub(crate) queues: BTreeMap<QueueName, u32>,
    pub(crate) lease: Duration,
    pub(crate) env_allow: Vec<String>,
    pub(crate) durability: Durability,
    pub(crate) cgroup: Cgroup,
    pub(crate) call_budget: Duration,
    /// What the names of clients begin with, and the budgets of these clients; the first that fits holds.
    pub(crate) call_budgets: Vec<(String, Duration)>,
    pub(crate) store: StoreAt,
    pub(crate) artifacts: ArtifactsAt,
    pub(crate) node: Node,
    pub(crate) log: Log,
    pub(crate) retention: Retention,
    pub(crate) limits: Limits,
    pub(crate) oauth: Option<OAuth>,
    /// Every setting as text with its source, in the order of the defaults.
    pub(crate) shown: Vec<Shown>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// At this address.
    At(SocketAddr),
    /// At a free port of the loopback address, which is then kept for later starts.
    Remembered,
}

/// What a write waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    Full,
    Normal,
}

/// Where limits on whole process trees are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cgroup {
    Auto,
    Off,
    At(PathBuf),
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) json: bool,
}

/// One setting for people: its name, its value, and where the value comes from.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) origin: String,
}

/// Settings from the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) listen: Option<String>,
}

impl Config {
    /// Reads every source and checks the result as a whole.
    ///
    /// # Errors
    /// `config_invalid` naming the setting, its source and what was expected; `file_failed`.
    pub(crate) fn load(home: &Home, flags: &Flags) -> Result<Self, Fault> {
        let defaults = Source::parse("the defaults", DEFAULTS.into())?;
        let file = Source::read(&Self::path(home))?;
        let mut given = Resolver::new(defaults, file);
        let listen = given.text("listen", |file| &file.listen, listen_extra(flags));
        let public = given.flag("listen_public", |file| &file.listen_public);
        let config = Self {
            listen: listen.resolve(|text| listen_address(text, home, public))?,
            hosts: given.list("hosts", |file| &file.hosts),
            capacity: given.number("capacity", |file| &file.capacity, 1..=10_000)?,
            queue_concurrency: given.number("queue_concurrency", |file| &file.queue_concurrency, 0..=10_000)?,
            lease: given.length("lease", |file| &file.lease, LEASE_SECONDS)?,
            env_allow: given.words("env_allow", |file| &file.env_allow, variable_names)?,
            durability: given.text("durability", |file| &file.durability, []).resolve(durability)?,
            cgroup: given.text("cgroup", |file| &file.cgroup, []).resolve(cgroup)?,
            call_budget: given.length("call_budget", |file| &file.call_budget, CALL_SECONDS)?,
            store: store::store(&mut given)?,
            artifacts: artifacts::artifacts(&mut given, home)?,
            node: node::node(&mut given)?,
            log: log(&mut given)?,
            retention: retention(&mut given)?,
            limits: access::limits(&mut given)?,
            oauth: access::oauth(&mut given)?,
            call_budgets: given.call_budgets(CALL_SECONDS)?,
            queues: given.queues()?,
            shown: given.into_shown(),
        };
        Ok(config)
    }

    /// Where the file of settings belongs.
    pub(crate) fn path(home: &Home) -> PathBuf {
        home.file("config.toml")
    }
}

fn listen_extra(flags: &Flags) -> [Option<Given>; 2] {
    let flag = flags.listen.clone().map(|raw| Given::new("listen", raw, "flag --listen"));
    let variable = environment::variable("LONGSHORE_LISTEN")
        .map(|raw| Given::new("listen", raw, "environment variable LONGSHORE_LISTEN"));
    [flag, variable]
}

fn listen_address(text: &str, home: &Home, public: bool) -> Result<Listen, String> {
    let text = match (text, home.is_default()) {
        ("auto", false) => return Ok(Listen::Remembered),
        ("auto", true) => LISTEN_USUAL,
        (text, _) => text,
    };
    let address: SocketAddr = text.parse().map_err(|_| "expected `IP:port`, e.g. 127.0.0.1:7717, or `auto`")?;
    match address.ip().is_loopback() || public {
        true => Ok(Listen::At(address)),
        false => Err(format!(
            "other machines can reach {address}: use a loopback address, or set `listen_public = true` in config.toml"
        )),
    }
}

fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "full" => Ok(Durability::Full),
        "normal" => Ok(Durability::Normal),
        _ => Err("expected `full` or `normal`".into()),
    }
}

fn cgroup(text: &str) -> Result<Cgroup, String> {
    match text {
        "auto" => Ok(Cgroup::Auto),
        "off" => Ok(Cgroup::Off),
        path if path.starts_with('/') => Ok(Cgroup::At(path.into())),
        _ => Err("expected `auto`, `off` or an absolute path".into()),
    }
}

fn log(given: &mut Resolver) -> Result<Log, Fault> {
    let variable = environment::variable("LONGSHORE_LOG")
        .map(|raw| Given::new("log.level", raw, "environment variable LONGSHORE_LOG"));
    let filter = given.text("log.level", |file| &file.log.level, [variable]).resolve(log_filter)?;
    let json = given.text("log.format", |file| &file.log.format, []).resolve(|text| match text {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => Err("expected `text` or `json`".into()),
    })?;
    Ok(Log { filter, json })
}

/// A level, or a list of levels of which some are of one part of the program. To the library a word that is no level is
/// a part of which all is logged, and of the rest nothing.
fn log_filter(text: &str) -> Result<String, String> {
    let is_level = |level: &str| !level.is_empty() && level.parse::<LevelFilter>().is_ok();
    let has_level = |part: &str| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level));
    match text.split(',').find(|part| !has_level(part)) {
        None if EnvFilter::try_new(text).is_ok() => Ok(text.to_owned()),
        wrong => Err(format!(
            "`{}` says no level: expected error, warn, info, debug, trace, off or a list such as \
             `info,longshore_engine=debug`",
            wrong.unwrap_or(text)
        )),
    }
}

fn variable_names(names: Vec<String>) -> Result<Vec<String>, String> {
    let is_name =
        |name: &&String| !name.is_empty() && !name.contains(|c: char| c == '=' || c == '\0' || c.is_whitespace());
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names),
        Some(wrong) => {
            Err(format!("{wrong:?} is not the name of a variable: expected names such as `EDITOR`, no values"))
        }
    }
}

fn retention(given: &mut Resolver) -> Result<Retention, Fault> {
    const YEARS_100: u64 = 100 * 365 * 86_400;
    let output = given.length("retention.output", |file| &file.retention.output, 60..=YEARS_100)?;
    let least = output.as_secs();
    let record = given.length("retention.record", |file| &file.retention.record, least..=YEARS_100)?;
    let size = given.text("retention.output_max", |file| &file.retention.output_max, []);
    let output_bytes_max = size.resolve(units::size)?;
    Ok(Retention { output, record, output_bytes_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_and_name_their_source() {
        let mut given = Resolver::new(Source::parse("defaults", DEFAULTS.into()).unwrap(), None);
        assert_eq!(retention(&mut given).unwrap().output, Duration::from_secs(7 * 86_400));
        assert_eq!(given.into_shown()[0].origin, "default");
    }

    #[test]
    fn a_file_is_refused_with_its_line() {
        let unknown = Source::parse("config.toml", "capacity = 3\ncapcity = 4\n".into()).unwrap_err();
        assert!(unknown.message.contains("line 2"), "{unknown:?}");
        let defaults = Source::parse("defaults", DEFAULTS.into()).unwrap();
        let file = Source::parse("config.toml", "\n\nlease = \"1s\"\n".into()).unwrap();
        let mut given = Resolver::new(defaults, Some(file));
        let fault = given.length("lease", |file| &file.lease, 5..=3_600).unwrap_err();
        assert!(fault.message.contains("config.toml line 3"), "{fault:?}");
    }

    #[test]
    fn budgets_of_clients_are_read_the_most_exact_name_first() {
        let mut given = with("[call_budgets]\ncodex = \"90s\"\n\"Codex-MCP-Client\" = \"5m\"\n");
        let budgets = [("Codex-MCP-Client", 300), ("codex", 90)];
        let budgets = budgets.map(|(name, seconds)| (name.to_owned(), Duration::from_secs(seconds)));
        assert_eq!(given.call_budgets(CALL_SECONDS).unwrap(), budgets);
        let shown = given.into_shown().into_iter().map(|shown| (shown.key, shown.value, shown.origin));
        let shown = shown.map(|(key, value, origin)| format!("{key} = {value} # {origin}")).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                "call_budgets.\"Codex-MCP-Client\" = 5m # config.toml line 3",
                "call_budgets.\"codex\" = 90s # config.toml line 2"
            ]
        );
        let defaults = Source::parse("defaults", DEFAULTS.into()).unwrap();
        assert_eq!(Resolver::new(defaults, None).call_budgets(CALL_SECONDS).unwrap(), []);
    }

    #[test]
    fn budgets_of_clients_are_refused_with_their_line() {
        let long = format!("\n{} = \"5s\"", "x".repeat(101));
        for (lines, line, why) in [
            ("codex = \"900ms\"", 2, "must be 1s to 10m"),
            ("\ngoose = \"11m\"", 3, "must be 1s to 10m"),
            ("goose = \"soon\"", 2, "soon"),
            ("\" \" = \"5s\"", 2, "expected what the name of a client begins with"),
            (&long, 3, "at most 100 characters"),
            ("Goose = \"5s\"\ngoose = \"6s\"", 3, "`Goose`"),
        ] {
            let fault = with(&format!("[call_budgets]\n{lines}\n")).call_budgets(CALL_SECONDS).unwrap_err();
            assert!(fault.message.starts_with("`call_budgets.\""), "{fault:?}");
            assert!(fault.message.contains(&format!("(config.toml line {line})")), "{fault:?}");
            assert!(fault.why.as_deref().unwrap_or_default().contains(why), "{fault:?}");
        }
        let number = Source::parse("config.toml", "[call_budgets]\ncodex = 90\n".into()).unwrap_err();
        assert!(number.message.contains("line 2"), "{number:?}");
    }

    #[test]
    fn what_is_logged_is_said_by_levels() {
        for good in ["info", "WARN", "off", "info,longshore_engine=debug", "longshore_engine=trace", "a[b{c=1}]=debug"]
        {
            assert_eq!(log_filter(good), Ok(good.into()));
        }
        for (text, wrong) in [
            ("wran", "`wran`"),
            ("", "``"),
            ("info,longshore_engine", "`longshore_engine`"),
            ("info,longshore_engine=loud", "`longshore_engine=loud`"),
            ("info,longshore_engine=", "`longshore_engine=`"),
            ("info,,warn", "``"),
        ] {
            let problem = log_filter(text).unwrap_err();
            assert!(problem.starts_with(wrong) && problem.contains("error, warn, info"), "{problem}");
        }
    }

    #[test]
    fn variables_are_named_without_values() {
        let names = |names: &[&str]| variable_names(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(names(&["A", "_b.2"]).unwrap(), ["A", "_b.2"]);
        for wrong in ["A=B", "X Y", "", " A", "A\0"] {
            assert!(names(&["A", wrong]).unwrap_err().starts_with(&format!("{wrong:?}")));
        }
    }

    fn with(file: &str) -> Resolver {
        let defaults = Source::parse("defaults", DEFAULTS.into()).unwrap();
        Resolver::new(defaults, Some(Source::parse("config.toml", file.into()).unwrap()))
    }
}
