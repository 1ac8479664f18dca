//! Our own tokens: whom each proves. Only digests are kept, but for the local token.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Grant, Principal, PrincipalClass, Scopes, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Pass, Proof};
use crate::daemon::lock;
use crate::home::{Home, hex, random_hex};
use crate::problem::file_failed;

const FILE: &str = "tokens.json";
/// Written by the daemon alone: when each token was last used, by its digest.
const USES_FILE: &str = "tokens.used.json";
/// A use is noted when the last noted one is this old, so that requests do not write.
const USE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Longest name of a token's holder, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// One token, without the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) name: String,
    pub(crate) class: PrincipalClass,
    pub(crate) sha256: String,
    /// What it allows; all that its class can hold if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scopes: Option<Scopes>,
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

    /// Whom it proves, and what it allows.
    pub(crate) fn grant(&self) -> Grant {
        grant(&self.name, self.class, self.scopes)
    }
}

fn grant(name: &str, class: PrincipalClass, scopes: Option<Scopes>) -> Grant {
    let principal = Principal { class, name: name.into() };
    match scopes {
        Some(scopes) => Grant::new(principal, scopes),
        None => Grant::whole(principal),
    }
}

/// Every token of `home` but the local one, oldest first.
///
/// # Errors
/// `file_failed`.
pub(crate) fn list(home: &Home) -> Result<Vec<Token>, Fault> {
    read(home, FILE)
}

/// When each token was last used, by its digest, to within an hour.
///
/// # Errors
/// `file_failed`.
pub(crate) fn uses(home: &Home) -> Result<HashMap<String, Timestamp>, Fault> {
    read(home, USES_FILE)
}

fn read<T: DeserializeOwned + Default>(home: &Home, name: &str) -> Result<T, Fault> {
    let path = home.file(name);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| file_failed(&path, "read", &error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(file_failed(&path, "read", &error)),
    }
}

/// A token to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewToken<'a> {
    /// Whom it proves.
    pub(crate) name: &'a str,
    pub(crate) class: PrincipalClass,
    /// What it allows; all that its class can hold if absent.
    pub(crate) scopes: Option<Scopes>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl NewToken<'_> {
    /// Whom it will prove, and what it will allow.
    pub(crate) fn grant(&self) -> Grant {
        grant(self.name, self.class, self.scopes)
    }
}

/// Makes a token and returns it; it cannot be shown again.
///
/// # Errors
/// `invalid_argument` for a name that cannot be used or a scope that the class never holds; `state_conflict` if the
/// name has a live token.
pub(crate) fn create(home: &Home, new: &NewToken<'_>, now: Timestamp) -> Result<String, Fault> {
    let NewToken { name, class, scopes, expires_at } = *new;
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.chars().all(good) {
        return Err(Fault::invalid("name", "must be 1 to 64 letters, digits, dots, dashes or underscores"));
    }
    let beyond = scopes.unwrap_or_default().without(Scopes::of_class(class));
    if !beyond.is_empty() {
        return Err(Fault::invalid("scope", format!("only a person's token can allow `{beyond}`"))
            .next("leave it out, or make a token of the class `person`"));
    }
    let held = lock::tokens(home)?;
    let mut tokens = list(home)?;
    if tokens.iter().any(|token| token.name == name && token.is_live(now)) {
        return Err(Fault::new(FaultCode::StateConflict, format!("`{name}` has a token already"))
            .next(format!("revoke it first with `longshore token revoke {name}`, or choose another name")));
    }
    let secret = random_hex();
    let sha256 = digest(&secret);
    tokens.push(Token { name: name.into(), class, sha256, scopes, created_at: now, expires_at, revoked_at: None });
    save(home, &tokens)?;
    held.release();
    Ok(secret)
}

/// Revokes the live tokens of `name`; from then on they open nothing.
///
/// # Errors
/// `not_found` if it has none.
pub(crate) fn revoke(home: &Home, name: &str, now: Timestamp) -> Result<(), Fault> {
    let held = lock::tokens(home)?;
    let mut tokens = list(home)?;
    let mut revoked = 0;
    for token in tokens.iter_mut().filter(|token| token.name == name && token.is_live(now)) {
        token.revoked_at = Some(now);
        revoked += 1;
    }
    let outcome = match revoked {
        0 => Err(Fault::new(FaultCode::NotFound, format!("`{name}` has no live token"))
            .next("`longshore token list` shows them all")),
        _ => save(home, &tokens),
    };
    held.release();
    outcome
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

/// Answers whom a token of ours proves. A change of the file of tokens holds from the next question on.
#[derive(Debug)]
pub(super) struct TokenBook {
    local: String,
    home: Home,
    read: Mutex<Option<Page>>,
    uses: Mutex<HashMap<String, Timestamp>>,
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
    pub(super) fn open(home: &Home) -> Result<Self, Fault> {
        let uses = uses(home).unwrap_or_else(|fault| {
            tracing::warn!(why = fault.why, "when tokens were last used is forgotten");
            HashMap::new()
        });
        let local = digest(&home.token()?);
        Ok(Self { local, home: home.clone(), read: Mutex::new(None), uses: Mutex::new(uses) })
    }

    /// Lets in whom `secret` proves at `now`; nobody if it is wrong, expired or revoked.
    ///
    /// # Errors
    /// `file_failed` if the file of tokens cannot be read.
    pub(super) fn pass(&self, secret: &str, now: Timestamp) -> Result<Option<Pass>, Fault> {
        let digest = digest(secret);
        if same(&digest, &self.local) {
            return Ok(Some(Pass { grant: Grant::whole(Principal::owner()), proof: Proof::Local }));
        }
        let found = self.find(&digest, now)?;
        Ok(found.map(|grant| {
            self.note_use(&digest, now);
            Pass { grant, proof: Proof::Token(digest) }
        }))
    }

    /// Whether `secret` is the local token.
    pub(super) fn is_local(&self, secret: &str) -> bool {
        same(&digest(secret), &self.local)
    }

    /// Whether the token of that digest still opens anything. One that cannot be looked up does not.
    pub(super) fn is_live(&self, digest: &str, now: Timestamp) -> bool {
        self.find(digest, now).is_ok_and(|found| found.is_some())
    }

    fn find(&self, digest: &str, now: Timestamp) -> Result<Option<Grant>, Fault> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = changed(&self.home.file(FILE));
        let page = match read.take() {
            Some(page) if page.changed == changed => page,
            _ => Page { changed, tokens: list(&self.home)? },
        };
        let found = page.tokens.iter().find(|token| same(&token.sha256, digest) && token.is_live(now));
        let grant = found.map(Token::grant);
        *read = Some(page);
        Ok(grant)
    }

    /// Notes when a token was used, beside the request and as well as it goes.
    fn note_use(&self, digest: &str, now: Timestamp) {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.get(digest).is_some_and(|at| now < at.plus(USE_EVERY)) {
            return;
        }
        uses.insert(digest.to_owned(), now);
        let (home, uses) = (self.home.clone(), uses.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(fault) = save_uses(&home, uses) {
                tracing::debug!(why = fault.why, "the use of a token was not noted");
            }
        });
    }
}

/// Writes when tokens were used, of those that there are.
fn save_uses(home: &Home, mut uses: HashMap<String, Timestamp>) -> Result<(), Fault> {
    let tokens = list(home)?;
    uses.retain(|digest, _| tokens.iter().any(|token| token.sha256 == *digest));
    home.replace(USES_FILE, &serde_json::to_vec_pretty(&uses).map_err(Fault::internal)?)
}

/// What tells one state of a file from the next; each is a file of its own, so its number differs too.
fn changed(path: &PathBuf) -> Option<(SystemTime, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.ino()))
}
