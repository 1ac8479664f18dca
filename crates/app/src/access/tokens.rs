//! Our own tokens: whom each proves. Only digests are kept, but for the local token.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::{Grant, Principal, PrincipalClass, Scopes, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::shelf::{Mark, Shelf};
use super::{Pass, Proof};
use crate::home::{Home, hex, random_hex};

const TOKENS: &str = "tokens.json";
/// Written by daemons alone: when each token was last used, by its digest.
const USES: &str = "tokens.used.json";
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

/// Every token on `shelf`, oldest first.
///
/// # Errors
/// As [`Shelf::read`].
pub(crate) async fn list(shelf: &Shelf) -> Result<Vec<Token>, Fault> {
    shelf.read(TOKENS).await
}

/// When each token was last used, by its digest, to within an hour.
///
/// # Errors
/// As [`Shelf::read`].
pub(crate) async fn uses(shelf: &Shelf) -> Result<HashMap<String, Timestamp>, Fault> {
    shelf.read(USES).await
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
/// `invalid_argument` for a name that cannot be used, a scope that the class never holds or an end that has passed;
/// `state_conflict` if the name has a live token; as [`Shelf::change`].
pub(crate) async fn create(shelf: &Shelf, new: &NewToken<'_>, now: Timestamp) -> Result<String, Fault> {
    let NewToken { name, class, scopes, expires_at } = *new;
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) || !name.chars().all(good) {
        return Err(Fault::invalid("name", "must be 1 to 64 letters, digits, dots, dashes or underscores"));
    }
    if name == Principal::OWNER {
        let why =
            format!("`{name}` is the user of this installation: whoever had that name had all of the user's jobs");
        return Err(Fault::invalid("name", why).next("choose another name"));
    }
    let beyond = scopes.unwrap_or_default().without(Scopes::of_class(class));
    if !beyond.is_empty() {
        return Err(Fault::invalid("scope", format!("only a person's token can allow `{beyond}`"))
            .next("leave it out, or make a token of the class `person`"));
    }
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Fault::invalid("expires", "must be longer than zero"));
    }
    let secret = random_hex();
    let sha256 = digest(&secret);
    let token = Token { name: name.into(), class, sha256, scopes, created_at: now, expires_at, revoked_at: None };
    let add = |tokens: &mut Vec<Token>| {
        if tokens.iter().any(|token| token.name == name && token.is_live(now)) {
            return Err(Fault::new(FaultCode::StateConflict, format!("`{name}` has a token already"))
                .next(format!("revoke it first with `longshore token revoke {name}`, or choose another name")));
        }
        tokens.push(token.clone());
        Ok(())
    };
    shelf.change(TOKENS, now, add).await?;
    Ok(secret)
}

/// Takes over what is known of tokens from elsewhere: they open here what they opened there. One that is known here, or
/// whose name has a live token, stays as it is.
///
/// # Errors
/// As [`Shelf::change`].
pub(crate) async fn move_in(shelf: &Shelf, moved: &[Token], now: Timestamp) -> Result<(), Fault> {
    let add = |tokens: &mut Vec<Token>| {
        for token in moved {
            let same = |known: &Token| known.sha256 == token.sha256;
            let taken = |known: &Token| known.name == token.name && known.is_live(now) && token.is_live(now);
            if !tokens.iter().any(|known| same(known) || taken(known)) {
                tokens.push(token.clone());
            }
        }
        Ok(())
    };
    shelf.change(TOKENS, now, add).await
}

/// Revokes the live tokens of `name`; from then on they open nothing.
///
/// # Errors
/// `not_found` if it has none; as [`Shelf::change`].
pub(crate) async fn revoke(shelf: &Shelf, name: &str, now: Timestamp) -> Result<(), Fault> {
    let end = |tokens: &mut Vec<Token>| {
        let live: Vec<_> = tokens.iter_mut().filter(|token| token.name == name && token.is_live(now)).collect();
        if live.is_empty() {
            return Err(Fault::new(FaultCode::NotFound, format!("`{name}` has no live token"))
                .next("`longshore token list` shows them all"));
        }
        live.into_iter().for_each(|token| token.revoked_at = Some(now));
        Ok(())
    };
    shelf.change(TOKENS, now, end).await
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares in the same time wherever the first difference lies.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

/// Answers whom a token of ours proves. What changes on its shelf holds from the next question on, or as soon as what was
/// read of it is not fresh any more.
pub(super) struct TokenBook {
    local: String,
    shelf: Shelf,
    read: Mutex<Option<Page>>,
    /// As far as it is known here.
    uses: Arc<std::sync::Mutex<HashMap<String, Timestamp>>>,
}

struct Page {
    mark: Mark,
    tokens: Vec<Token>,
}

impl TokenBook {
    /// The tokens on `shelf`, and the local one of `home`, which is made if need be.
    ///
    /// # Errors
    /// `file_failed`.
    pub(super) fn open(home: &Home, shelf: Shelf) -> Result<Self, Fault> {
        let local = digest(&home.token()?);
        Ok(Self { local, shelf, read: Mutex::new(None), uses: Arc::default() })
    }

    /// Lets in whom `secret` proves at `now`; nobody if it is wrong, expired or revoked.
    ///
    /// # Errors
    /// `file_failed`, or the store's own, if the tokens cannot be read.
    pub(super) async fn pass(&self, secret: &str, now: Timestamp) -> Result<Option<Pass>, Fault> {
        let digest = digest(secret);
        if same(&digest, &self.local) {
            return Ok(Some(Pass { grant: Grant::whole(Principal::owner()), proof: Proof::Local }));
        }
        let found = self.find(&digest, now).await?;
        Ok(found.map(|grant| {
            self.note_use(&digest, now);
            Pass { grant, proof: Proof::Token(digest) }
        }))
    }

    /// Whether `secret` is the local token.
    pub(super) fn is_local(&self, secret: &str) -> bool {
        same(&digest(secret), &self.local)
    }

    /// Whether the token of that digest still opens anything.
    ///
    /// # Errors
    /// As [`Self::pass`].
    pub(super) async fn is_live(&self, digest: &str, now: Timestamp) -> Result<bool, Fault> {
        Ok(self.find(digest, now).await?.is_some())
    }

    async fn find(&self, digest: &str, now: Timestamp) -> Result<Option<Grant>, Fault> {
        // Whoever comes while somebody reads waits for what is read.
        let mut read = self.read.lock().await;
        let page = match read.take() {
            Some(page) if self.shelf.is_fresh(TOKENS, page.mark) => page,
            _ => {
                let mark = self.shelf.mark(TOKENS);
                Page { mark, tokens: list(&self.shelf).await? }
            }
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
        let (shelf, digest, runtime) = (self.shelf.clone(), digest.to_owned(), tokio::runtime::Handle::current());
        // Files are written and waited for here.
        tokio::task::spawn_blocking(move || {
            if let Err(fault) = runtime.block_on(save_use(&shelf, &digest, now)) {
                tracing::debug!(why = fault.why, "the use of a token was not noted");
            }
        });
    }
}

/// Writes when a token was used, unless another node did of late; forgets those that are no more.
async fn save_use(shelf: &Shelf, digest: &str, now: Timestamp) -> Result<(), Fault> {
    if uses(shelf).await.is_ok_and(|uses| uses.get(digest).is_some_and(|at| now < at.plus(USE_EVERY))) {
        return Ok(());
    }
    let tokens = list(shelf).await?;
    let note = |uses: &mut HashMap<String, Timestamp>| {
        uses.retain(|digest, _| tokens.iter().any(|token| token.sha256 == *digest));
        uses.insert(digest.to_owned(), now);
        Ok(())
    };
    shelf.change(USES, now, note).await
}
