//! The sections `[limits]` and `[oauth]`: who may ask, and how often.

use std::time::Duration;

use longshore_domain::fault::Fault;
use longshore_domain::{PrincipalClass, Scope};

use super::resolve::Resolver;
use super::web::WebAddress;

/// How often callers may ask.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Requests of one principal, on average; 0 = any number.
    pub(crate) requests_per_second: u32,
    /// Requests of one principal that may come at once.
    pub(crate) requests_at_once: u32,
    /// Wrong tokens from one remote address; 0 = any number.
    pub(crate) failures_per_minute: u32,
}

/// The authorization server whose tokens are accepted.
#[derive(Clone, Debug)]
pub(crate) struct OAuth {
    /// Its name, exactly as its tokens say it.
    pub(crate) issuer: String,
    /// The same as an address.
    pub(crate) issuer_address: WebAddress,
    /// Our own name to it: the address of our MCP endpoint.
    pub(crate) resource: WebAddress,
    /// What tokens for us say that they are meant for.
    pub(crate) audience: String,
    /// Where its keys are, if its metadata need not be asked.
    pub(crate) jwks_url: Option<WebAddress>,
    /// Pause between two fetches of its keys.
    pub(crate) jwks_pause: Duration,
    /// The claim that names the principal.
    pub(crate) principal_claim: String,
    /// The class of its principals.
    pub(crate) class: PrincipalClass,
    /// What it calls our scopes.
    pub(crate) scopes: ScopeNames,
}

/// What an authorization server calls our scopes.
#[derive(Clone, Debug)]
pub(crate) struct ScopeNames {
    read: String,
    write: String,
    admin: String,
}

impl ScopeNames {
    /// The other name of `scope`.
    pub(crate) fn of(&self, scope: Scope) -> &str {
        match scope {
            Scope::JobsRead => &self.read,
            Scope::JobsWrite => &self.write,
            Scope::Admin => &self.admin,
        }
    }
}

/// The section `[limits]`.
pub(super) fn limits(given: &mut Resolver) -> Result<Limits, Fault> {
    const MOST: u32 = 1_000_000;
    Ok(Limits {
        requests_per_second: given.number(
            "limits.requests_per_second",
            |file| &file.limits.requests_per_second,
            0..=MOST,
        )?,
        requests_at_once: given.number("limits.requests_at_once", |file| &file.limits.requests_at_once, 1..=MOST)?,
        failures_per_minute: given.number(
            "limits.failures_per_minute",
            |file| &file.limits.failures_per_minute,
            0..=MOST,
        )?,
    })
}

/// The section `[oauth]`; nothing without an issuer.
pub(super) fn oauth(given: &mut Resolver) -> Result<Option<OAuth>, Fault> {
    let issuer = given.text("oauth.issuer", |file| &file.oauth.issuer, []);
    let issuer = issuer.resolve(optional(WebAddress::parse))?;
    let resource = given.text("oauth.resource", |file| &file.oauth.resource, []);
    let resource = resource.resolve(|text| match (text, &issuer) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err("with `oauth.issuer` it must be set: the address of `/mcp` as clients see it".into()),
        (text, _) => WebAddress::parse(text).map(Some),
    })?;
    let audience = given.text("oauth.audience", |file| &file.oauth.audience, []).resolve(|text| Ok(text.to_owned()))?;
    let jwks_url = given.text("oauth.jwks_url", |file| &file.oauth.jwks_url, []);
    let jwks_url = jwks_url.resolve(optional(WebAddress::parse))?;
    let jwks_pause = given.length("oauth.jwks_pause", |file| &file.oauth.jwks_pause, 1..=3_600)?;
    let claim = given.text("oauth.principal_claim", |file| &file.oauth.principal_claim, []);
    let principal_claim = claim.resolve(|text| match text {
        "" => Err("expected the name of a claim, such as `sub`".to_owned()),
        text => Ok(text.to_owned()),
    })?;
    let class = given.text("oauth.class", |file| &file.oauth.class, []).resolve(class)?;
    let scopes = ScopeNames {
        read: given.text("oauth.scopes.read", |file| &file.oauth.scopes.read, []).resolve(scope_name)?,
        write: given.text("oauth.scopes.write", |file| &file.oauth.scopes.write, []).resolve(scope_name)?,
        admin: given.text("oauth.scopes.admin", |file| &file.oauth.scopes.admin, []).resolve(scope_name)?,
    };
    Ok(issuer.zip(resource).map(|(issuer, resource)| OAuth {
        issuer: issuer.as_str().to_owned(),
        issuer_address: issuer,
        audience: if audience.is_empty() { resource.as_str().to_owned() } else { audience },
        resource,
        jwks_url,
        jwks_pause,
        principal_claim,
        class,
        scopes,
    }))
}

/// Reads `text` unless it is empty.
fn optional<T>(parse: impl Fn(&str) -> Result<T, String>) -> impl FnOnce(&str) -> Result<Option<T>, String> {
    move |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}

fn class(text: &str) -> Result<PrincipalClass, String> {
    match text {
        "agent" => Ok(PrincipalClass::Agent),
        "worker" => Ok(PrincipalClass::Worker),
        "person" => Ok(PrincipalClass::Person),
        _ => Err("expected `agent`, `worker` or `person`".into()),
    }
}

/// Source: RFC 6749 section 3.3.
fn scope_name(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    match !text.is_empty() && text.bytes().all(good) {
        true => Ok(text.to_owned()),
        false => Err("expected one word of printable ASCII without quotes and backslashes".into()),
    }
}
