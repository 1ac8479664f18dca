//! Tokens of an authorization server: we are an OAuth 2.1 resource server.
//!
//! Source: MCP 2026-07-28, authorization; RFC 9068 (access tokens as JWT), 8707 (audience), 9728 (metadata of a
//! protected resource), 8725 (JWT best practice).

mod fetch;
mod keys;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, Header, Validation};
use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Grant, Principal, Scope, Scopes, Timestamp};
use serde_json::{Map, Value};

use crate::config;
use keys::KeyRing;

/// Largest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest subject, in bytes. Source: OpenID Connect Core 1.0, section 2, `sub`.
const SUBJECT_BYTES_MAX: usize = 255;
/// By how much the clocks of the issuer and of this machine may differ, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// What the header may say that a token is, in lower case.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Checks the tokens of one issuer.
pub(super) struct OAuth {
    settings: config::OAuth,
    keys: KeyRing,
}

/// Whom a token proves, and until when.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) grant: Grant,
    pub(super) until: Timestamp,
}

/// Why a token proves nothing.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is no good.
    Token(String),
    /// Nobody can tell now.
    Fault(Fault),
}

impl Refusal {
    /// The answer to the caller.
    pub(super) fn into_fault(self) -> Fault {
        match self {
            Self::Token(why) => Fault::new(FaultCode::Unauthorized, "a valid token is needed")
                .why(why)
                .next("get a new token from the authorization server"),
            Self::Fault(fault) => fault,
        }
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        Self::Token(why.into())
    }
}

/// What a client must know of us to get a token.
#[derive(Debug)]
pub(crate) struct Resource {
    /// What tokens must be meant for.
    pub(crate) name: String,
    /// Who gives them.
    pub(crate) issuer: String,
    /// What they can allow, in the issuer's words.
    pub(crate) scopes: Vec<String>,
}

impl OAuth {
    pub(super) fn new(settings: config::OAuth) -> Self {
        Self { keys: KeyRing::new(&settings), settings }
    }

    /// Whether `secret` has the form of an issuer's token: ours have no dots.
    pub(super) fn looks_issued(secret: &str) -> bool {
        secret.contains('.')
    }

    /// Whom a token proves.
    ///
    /// # Errors
    /// Why it proves nothing.
    pub(super) async fn verify(&self, token: &str) -> Result<Issued, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("the token is too long".into());
        }
        let header = checked_header(token)?;
        let key = self.keys.find(header.kid.as_deref(), header.alg).await.map_err(Refusal::Fault)?;
        let key = key.ok_or("the token is signed with a key that its issuer does not publish")?;
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &self.validation(header.alg));
        let claims = decoded.map_err(|error| Refusal::Token(explain(error.kind())))?.claims;
        let until = claims.get("exp").and_then(Value::as_f64).unwrap_or_default() as i64;
        let until = until.saturating_add(LEEWAY_SECONDS as i64).saturating_mul(1_000);
        Ok(Issued { grant: self.grant(&claims)?, until: Timestamp::from_millis(until) })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }

    fn grant(&self, claims: &Map<String, Value>) -> Result<Grant, Refusal> {
        let claim = &self.settings.principal_claim;
        let subject = claims.get(claim).and_then(Value::as_str).unwrap_or_default();
        if !(1..=SUBJECT_BYTES_MAX).contains(&subject.len()) || subject.chars().any(char::is_control) {
            return Err(Refusal::Token(format!("the token has no usable claim `{claim}`")));
        }
        // No issuer has a `|` and no local name has one, so that no two subjects share a name, nor a subject and a token
        // of ours.
        let name = format!("{}|{subject}", self.settings.issuer);
        let given = granted(claims);
        let scopes = Scope::ALL.into_iter().filter(|scope| given.contains(&self.settings.scopes.of(*scope)));
        Ok(Grant::new(Principal { class: self.settings.class, name }, scopes.collect()))
    }

    /// What the issuer calls these scopes.
    pub(super) fn their_names(&self, scopes: Scopes) -> Vec<&str> {
        scopes.iter().map(|scope| self.settings.scopes.of(scope)).collect()
    }

    /// What a client must know to get a token.
    pub(super) fn resource(&self) -> Resource {
        let scopes = self.their_names(Scopes::of_class(self.settings.class));
        Resource {
            name: self.settings.resource.to_string(),
            issuer: self.settings.issuer.clone(),
            scopes: scopes.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Where that is told. Source: RFC 9728 section 3.1.
    pub(super) fn metadata_url(&self) -> String {
        let resource = &self.settings.resource;
        let path = resource.path().trim_end_matches('/');
        format!("{}/.well-known/oauth-protected-resource{path}", resource.origin())
    }

    /// Path of the resource, without its first slash.
    pub(super) fn path(&self) -> &str {
        self.settings.resource.path().trim_matches('/')
    }
}

/// The header of a token, if it is one that could be good.
fn checked_header(token: &str) -> Result<Header, Refusal> {
    // Fails for `none` too, which is no algorithm here.
    let header = jsonwebtoken::decode_header(token).map_err(|_| "the token is no signed JWT")?;
    if header.alg.family() == AlgorithmFamily::Hmac {
        return Err("the token is signed with a shared secret, which is not accepted".into());
    }
    if header.typ.as_deref().is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
        return Err("the token is not for access".into());
    }
    // Source: RFC 7515 section 4.1.11: what must be understood and is not makes the token invalid.
    match header.crit {
        Some(_) => Err("the token demands extensions that are not known here".into()),
        None => Ok(header),
    }
}

/// The names of what a token allows: `scope` with spaces between, or what some issuers have instead, `scp`.
fn granted(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(names)) => names.split(' ').collect(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    }
}

fn explain(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::ExpiredSignature => "the token has expired".into(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".into(),
        ErrorKind::InvalidAudience => "the token is meant for another service".into(),
        ErrorKind::InvalidIssuer => "the token comes from another issuer".into(),
        ErrorKind::InvalidSignature => "the signature of the token is wrong".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no claim `{claim}`"),
        _ => "the token is no signed JWT".into(),
    }
}
