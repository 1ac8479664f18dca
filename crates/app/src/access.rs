//! Tokens: which principal a bearer token proves. Only digests are kept, but for the local token.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Principal, PrincipalClass, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::home::{Home, hex, random_hex};
use crate::problem::file_failed;

const FILE: &str = "tokens.json";
/// Longest name of a token's holder, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// One token, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) class: PrincipalClass,
    pub(crate) sha256: String,
    pub(crate) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it opens anything at `now`.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }
}

/// Every token of `home` but the local one, oldest first.
///
/// # Errors
/// `file_failed`.
pub(crate) fn list(home: &Home) -> Result<Vec<Token>, Fault> {
    let path = home.file(FILE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| file_failed(&path, "read", &error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(file_failed(&path, "read", &error)),
    }
}

/// Makes a token for the principal `name` and returns it; it cannot be shown again.
///
/// # Errors
/// `invalid_argument` for a name that cannot be used; `state_conflict` if it has a live token.
pub(crate) fn create(
    home: &Home,
    name: &str,
    class: PrincipalClass,
    now: Timestamp,
    expires_at: Option<Timestamp>,
) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.chars().all(good) {
        return Err(Fault::invalid("name", "must be 1 to 64 letters, digits, dots, dashes or underscores"));
    }
    let mut tokens = list(home)?;
    if tokens.iter().any(|token| token.name == name && token.is_live(now)) {
        return Err(Fault::new(FaultCode::StateConflict, format!("`{name}` has a token already"))
            .next(format!("revoke it first with `longshore token revoke {name}`, or choose another name")));
    }
    let secret = random_hex();
    let sha256 = digest(&secret);
    tokens.push(Token { name: name.into(), class, sha256, created_at: now, expires_at, revoked_at: None });
    save(home, &tokens)?;
    Ok(secret)
}

/// Revokes the live tokens of `name`; from then on they open nothing.
///
/// # Errors
/// `not_found` if it has none.
pub(crate) fn revoke(home: &Home, name: &str, now: Timestamp) -> Result<(), Fault> {
    let mut tokens = list(home)?;
    let mut revoked = 0;
    for token in tokens.iter_mut().filter(|token| token.name == name && token.is_live(now)) {
        token.revoked_at = Some(now);
        revoked += 1;
    }
    match revoked {
        0 => Err(Fault::new(FaultCode::NotFound, format!("`{name}` has no live token"))
            .next("`longshore token list` shows them all")),
        _ => save(home, &tokens),
    }
}

fn save(home: &Home, tokens: &[Token]) -> Result<(), Fault> {
    home.prepare()?;
    home.replace(FILE, &serde_json::to_vec_pretty(tokens).map_err(Fault::internal)?)
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares in the same time wherever the first difference lies.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

/// Answers whom a bearer token proves. A change of the file of tokens holds from the next question on.
#[derive(Debug)]
pub(crate) struct TokenBook {
    local: String,
    home: Home,
    read: Mutex<Option<Page>>,
}

#[derive(Debug)]
struct Page {
    changed: Option<(SystemTime, u64)>,
    tokens: Vec<Token>,
}

impl TokenBook {
    /// The tokens of `home`; makes the local one if need be.
    ///
    /// # Errors
    /// `file_failed`.
    pub(crate) fn open(home: &Home) -> Result<Self, Fault> {
        Ok(Self { local: digest(&home.token()?), home: home.clone(), read: Mutex::new(None) })
    }

    /// Whom `secret` proves at `now`; nobody if it is wrong, expired or revoked.
    ///
    /// # Errors
    /// `file_failed` if the file of tokens cannot be read.
    pub(crate) fn principal(&self, secret: &str, now: Timestamp) -> Result<Option<Principal>, Fault> {
        let digest = digest(secret);
        if same(&digest, &self.local) {
            return Ok(Some(Principal::owner()));
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&self.home.file(FILE));
        let page = match read.take() {
            Some(page) if page.changed == changed => page,
            _ => Page { changed, tokens: list(&self.home)? },
        };
        let found = page.tokens.iter().find(|token| same(&token.sha256, &digest) && token.is_live(now));
        let principal = found.map(|token| Principal { class: token.class, name: token.name.clone() });
        *read = Some(page);
        Ok(principal)
    }
}

/// What tells one state of a file from the next; each is a file of its own, so its number differs too.
fn changed(path: &PathBuf) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.ino()))
}
