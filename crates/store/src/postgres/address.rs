//! Reading the URL: where the server is, how the connection is secured, and where the password comes from.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::errors::{Attempted, Trouble};
use super::options::PostgresOptions;

/// A server that does not answer within this is taken to be away.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// What was sent and is not confirmed by the network for so long is taken to be lost.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// A silent connection is looked after this often.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Where a server is, and how it is reached.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// For people: no user, no password.
    pub(super) location: String,
}

/// Which certificate of the server is good enough. Source: the manual of `libpq`, section "SSL Support".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any.
    Any,
    /// One that leads to a root in this file, of whatever host.
    Chain(PathBuf),
    /// One of this host that leads to a root in this file, or, without one, to a root that the machine trusts.
    Host(Option<PathBuf>),
}

impl Address {
    /// # Errors
    /// A sentence about what is wrong with the URL, which does not repeat it.
    pub(super) fn read(options: &PostgresOptions) -> Attempted<Self> {
        let Split { url, mode, roots } = Split::of(&options.url)?;
        let mut config: Config = url.parse().map_err(|error| unusable(explain(&error)))?;
        let (ssl, trust) = match (mode.as_deref(), roots) {
            (Some("disable"), _) => (SslMode::Disable, Trust::Any),
            (None | Some("prefer"), _) => (SslMode::Prefer, Trust::Any),
            (Some("require"), None) => (SslMode::Require, Trust::Any),
            // With roots at hand they are asked, as `libpq` does.
            (Some("require" | "verify-ca"), Some(roots)) => (SslMode::Require, Trust::Chain(roots)),
            (Some("verify-full"), roots) => (SslMode::Require, Trust::Host(roots)),
            (Some("verify-ca"), None) => {
                return Err(unusable("`verify-ca` needs `sslrootcert`; `verify-full` does without"));
            }
            (Some(_), _) => {
                let known = "disable, prefer, require, verify-ca or verify-full";
                return Err(unusable(format!("`sslmode` must be {known}")));
            }
        };
        config.ssl_mode(ssl);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT_MAX));
        config.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(UNCONFIRMED_MAX));
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE / 2).keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("longshore");
        }
        find_password(&mut config, options)?;
        let location = location(&config, &options.schema);
        Ok(Self { config, trust, location })
    }
}

/// The URL without the parts that the client library does not know.
struct Split {
    url: String,
    mode: Option<String>,
    roots: Option<PathBuf>,
}

impl Split {
    fn of(url: &str) -> Attempted<Self> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(unusable("a URL such as postgres://user@host/database is expected"));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut split = Self { url: place.to_owned(), mode: None, roots: None };
        let mut separator = '?';
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => split.mode = Some(value.to_owned()),
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", value)) => split.roots = Some(decoded(value)?.into()),
                _ => {
                    split.url.push(separator);
                    split.url.push_str(parameter);
                    separator = '&';
                }
            }
        }
        Ok(split)
    }
}

/// Undoes percent encoding.
fn decoded(text: &str) -> Attempted<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = (*first == b'%').then(|| after.get(..2)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| unusable("a value in the URL is not UTF-8"))
}

fn find_password(config: &mut Config, options: &PostgresOptions) -> Attempted<()> {
    if config.get_password().is_some() {
        return Ok(());
    }
    if let Some(password) = &options.password {
        config.password(password);
        return Ok(());
    }
    let Some(path) = &options.passfile else { return Ok(()) };
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    if is_open_to_others(path) {
        return Err(unusable(format!(
            "{} can be read by others and is not used: `chmod 600` makes it safe",
            path.display()
        )));
    }
    let found = password_in(&text, config);
    if let Some(password) = found {
        config.password(password);
    }
    Ok(())
}

#[cfg(unix)]
fn is_open_to_others(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &std::path::Path) -> bool {
    false
}

/// The password of the first line that fits: `host:port:database:user:password`, `*` fits anything, `\` escapes.
fn password_in(text: &str, config: &Config) -> Option<String> {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default();
    let wanted = [host.as_str(), &port, config.get_dbname().unwrap_or(user), user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line);
        let password = (fields.len() == 5).then(|| fields.pop()).flatten()?;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < 5 => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(characters.next())),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

fn location(config: &Config, schema: &str) -> String {
    let ports = config.get_ports();
    let places = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(host) => format!("{host}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    let places: Vec<_> = places.collect();
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgres://{}/{database}, schema {schema}", places.join(","))
}

fn unusable(why: impl Into<String>) -> Trouble {
    Trouble::Other(format!("the URL of the database cannot be used: {}", why.into()).into())
}

/// Names the part that is wrong, not its value.
fn explain(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Attempted<Address> {
        Address::read(&PostgresOptions::new(url))
    }

    #[test]
    fn modes_of_tls_mean_what_they_mean_to_libpq() {
        let file = || "/etc/a b.pem".into();
        for (query, mode, trust) in [
            ("", SslMode::Prefer, Trust::Any),
            ("?sslmode=disable", SslMode::Disable, Trust::Any),
            ("?sslmode=require", SslMode::Require, Trust::Any),
            ("?sslmode=require&sslrootcert=/etc/a%20b.pem", SslMode::Require, Trust::Chain(file())),
            ("?connect_timeout=3&sslmode=verify-full", SslMode::Require, Trust::Host(None)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trust::Host(None)),
            ("?sslrootcert=/etc/a%20b.pem&sslmode=verify-full", SslMode::Require, Trust::Host(Some(file()))),
        ] {
            let address = read(&format!("postgres://ann@db.example/jobs{query}")).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.trust), (mode, trust), "{query}");
        }
        for mode in ["verify", "verify-ca", ""] {
            assert!(read(&format!("postgres://db/jobs?sslmode={mode}")).is_err(), "{mode}");
        }
    }

    #[test]
    fn what_is_told_of_a_place_has_no_secrets() {
        let address = read("postgres://ann:s3cret@one,two:5433/jobs").unwrap();
        assert_eq!(address.location, "postgres://one:5432,two:5433/jobs, schema longshore");
        for url in ["postgres://ann:s3cret@one/jobs?port=s3cret", "postgres://ann:s3cret@one:s3cret/x", "s3cret"] {
            let error = read(url).map(drop).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
        let options =
            PostgresOptions { password: Some("s3cret".into()), ..PostgresOptions::new("postgres://a:s3cret@b") };
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn passwords_come_from_the_first_place_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let passfile = folder.path().join("pass");
        let lines = "# all\nother:*:*:*:wrong\none:5432:jobs:ann:fr\\:om\\\\file\n*:*:*:*:last\n";
        std::fs::write(&passfile, lines).unwrap();
        let password = |url: &str, password: Option<&str>| {
            let options = PostgresOptions {
                password: password.map(Into::into),
                passfile: Some(passfile.clone()),
                ..PostgresOptions::new(url)
            };
            let address = Address::read(&options)?;
            Ok::<_, Trouble>(address.config.get_password().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
        };
        assert!(password("postgres://ann@one/jobs", None).is_err(), "others can read the file");
        std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let is =
            |found: Attempted<Option<String>>, expected: &str| assert_eq!(found.unwrap().as_deref(), Some(expected));
        is(password("postgres://ann:url@one/jobs", Some("given")), "url");
        is(password("postgres://ann@one/jobs", Some("given")), "given");
        is(password("postgres://ann@one/jobs", None), "fr:om\\file");
        is(password("postgres://ann@one/other", None), "last");
    }
}
