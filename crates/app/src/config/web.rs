//! Addresses of other services, as settings name them.

use std::fmt;
use std::net::IpAddr;

use axum::http::Uri;

/// An address at which a secret may be entrusted to somebody: `https`, or `http` on this machine. Without query,
/// fragment and user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WebAddress {
    text: String,
    uri: Uri,
}

impl WebAddress {
    /// The address as it was written.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected an address such as https://host/path, not `{}`", text.escape_debug());
        // Addresses stand between quotes in headers, and `|` parts an issuer from its subjects.
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\|<>#?@".contains(&byte));
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(host), true) = (uri.scheme_str(), uri.host(), plain) else { return Err(wrong()) };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match scheme {
            "https" => {}
            "http" if is_local => {}
            "http" => return Err("`http` is for addresses of this machine only: use `https`".into()),
            _ => return Err(wrong()),
        }
        Ok(Self { text: text.to_owned(), uri })
    }

    /// The address exactly as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> &str {
        let path = if self.text.ends_with('/') || self.path() != "/" { self.path().len() } else { 0 };
        &self.text[..self.text.len() - path]
    }

    /// The path, with its first slash.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether nobody on the way can listen.
    pub(crate) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_safe_to_send_secrets_to() {
        for (text, origin, path) in [
            ("https://id.example", "https://id.example", "/"),
            ("https://id.example/", "https://id.example", "/"),
            ("https://id.example:8443/realms/a", "https://id.example:8443", "/realms/a"),
            ("http://127.0.0.1:9/x/", "http://127.0.0.1:9", "/x/"),
            ("http://localhost/mcp", "http://localhost", "/mcp"),
            ("http://[::1]:9", "http://[::1]:9", "/"),
        ] {
            let address = WebAddress::parse(text).unwrap();
            assert_eq!((address.origin(), address.path(), address.as_str()), (origin, path, text));
        }
        for text in [
            "",
            "id.example",
            "/mcp",
            "http://id.example/",
            "http://127.0.0.1.evil.example/",
            "ftp://id.example/",
            "https://user:pass@id.example/",
            "https://id.example/?a=b",
            "https://id.example/#a",
            "https://id.example/\"",
            "https://id.example/|",
            "https:///path",
        ] {
            assert!(WebAddress::parse(text).is_err(), "{text}");
        }
    }
}
