//! The only place that reads environment variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variable `name` as text, if it is set, not empty and UTF-8.
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned door to the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variable `name` as a path, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned door to the environment")]
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The password of the database, where its address has none. Source: the manual of `libpq`, "Environment Variables".
pub(crate) fn database_password() -> Option<String> {
    variable("PGPASSWORD")
}

/// The file of database passwords. Source: the manual of `libpq`, "The Password File".
pub(crate) fn database_passfile() -> Option<PathBuf> {
    path("PGPASSFILE").or_else(|| path("HOME").map(|home| home.join(".pgpass")))
}

/// The variables from which the tools of clouds take credentials.
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned door to the environment")]
pub(crate) fn of_clouds() -> BTreeMap<String, String> {
    const PREFIXES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    all.filter(|(name, _)| PREFIXES.iter().any(|prefix| name.starts_with(prefix))).collect()
}

/// The variables that a command may inherit from this process, by the usual list and the names in `extra`.
///
/// Variables that are not UTF-8 are left out.
#[expect(clippy::disallowed_methods, reason = "this is the sanctioned door to the environment")]
pub(crate) fn inherited(extra: &[String]) -> BTreeMap<String, String> {
    let all =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    longshore_engine::environment::inherited(all, extra)
}

/// The name of the time zone that this process goes by, if it has one.
pub(crate) fn time_zone() -> Option<String> {
    jiff::tz::TimeZone::try_system().ok()?.iana_name().map(str::to_owned)
}

/// The chat that this process belongs to, if whoever started it said so: we, or the client that a shell or server
/// belongs to.
pub(crate) fn conversation() -> Option<String> {
    let told = longshore_mcp::CONVERSATION_VARIABLES
        .iter()
        .find_map(|name| variable(name).filter(|name| !name.trim().is_empty()));
    told.map(|name| name.trim().to_owned())
}
