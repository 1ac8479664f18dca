//! Under which names the daemon answers, and from which pages.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use longshore_domain::fault::{Fault, FaultCode};

/// The names that requests may be for.
pub(crate) struct OwnNames {
    /// Where the daemon listens.
    ip: IpAddr,
    /// What is configured, beside loopback addresses and `localhost`.
    hosts: Vec<String>,
}

impl OwnNames {
    pub(crate) fn new(ip: IpAddr, hosts: Vec<String>) -> Self {
        Self { ip, hosts }
    }

    /// Refuses requests for a foreign name (DNS rebinding) or from a foreign page.
    ///
    /// # Errors
    /// `forbidden`.
    ///
    /// Source: MCP specification, transports, security warning: servers must validate `Origin`; RFC 9112, section 3.2, on
    /// requests with more than one `Host`.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let Some(host) = only(headers, header::HOST).filter(|host| self.has(host)) else {
            return Err(Fault::new(FaultCode::Forbidden, "this host name is not served here")
                .why("the header `Host` names neither a loopback address nor one of the configured `hosts`")
                .next("use 127.0.0.1 or localhost, or add the name to `hosts` in config.toml"));
        };
        if !headers.contains_key(header::ORIGIN) {
            return Ok(());
        }
        let origin = only(headers, header::ORIGIN).unwrap_or_default();
        match origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) {
            Some(page) if page == host => Ok(()),
            _ => Err(Fault::new(FaultCode::Forbidden, "pages of another origin may not speak to this daemon")
                .why("the header `Origin` names another place than `Host`")),
        }
    }

    fn has(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == self.ip);
        is_loopback
            || bare.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(bare))
    }
}

/// The value of a header that is there once, and text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(lines: &[(HeaderName, &str)]) -> bool {
        let names = OwnNames::new("192.0.2.7".parse().unwrap(), vec!["build.example".into()]);
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        names.check(&headers).is_ok()
    }

    #[test]
    fn only_our_own_names_are_ours() {
        for own in ["127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]:7", "localhost", "LOCALHOST:1", "192.0.2.7:80"] {
            assert!(allowed(&[(header::HOST, own)]), "{own}");
        }
        assert!(allowed(&[(header::HOST, "Build.example:443")]));
        for foreign in [
            "",
            ":80",
            "evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127.0.0.1",
            "localhost.evil.example",
            "build.example.evil.example",
            "evil-build.example",
            "user@localhost",
            "localhost@evil.example",
            "localhost, evil.example",
            "192.0.2.8",
            "0x7f000001",
            "2130706433",
            "\u{ff11}27.0.0.1",
            "localhost\u{a0}",
        ] {
            assert!(!allowed(&[(header::HOST, foreign)]), "{foreign:?}");
        }
        assert!(!allowed(&[]));
        assert!(!allowed(&[(header::HOST, "localhost"), (header::HOST, "evil.example")]));
        assert!(!allowed(&[(header::HOST, "localhost"), (header::HOST, "localhost")]));
    }

    #[test]
    fn only_our_own_pages_are_ours() {
        let from = |origin: &str| allowed(&[(header::HOST, "localhost:7"), (header::ORIGIN, origin)]);
        assert!(from("http://localhost:7") && from("https://localhost:7"));
        for foreign in [
            "",
            "null",
            "http://localhost",
            "http://localhost:8",
            "ftp://localhost:7",
            "localhost:7",
            "http://localhost:7/",
            "\u{e9}",
        ] {
            assert!(!from(foreign), "{foreign:?}");
        }
        let twice = [
            (header::HOST, "localhost"),
            (header::ORIGIN, "http://localhost"),
            (header::ORIGIN, "http://evil.example"),
        ];
        assert!(!allowed(&twice));
    }
}
