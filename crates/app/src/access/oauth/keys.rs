//! The keys of the issuer: fetched when needed, kept for a while, fetched anew for a key that is not known, though
//! not more often than allowed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use longshore_domain::fault::{Fault, FaultCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::fetch;
use crate::access::rate::Buckets;
use crate::config::{self, WebAddress};

/// Keys are fetched anew after this long, so that one that was withdrawn does not open anything for ever.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Keys older than this open nothing, however long the issuer does not answer.
const KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Fetches that may follow one another at once; after that one each pause.
const FETCHES_AT_ONCE: u32 = 3;
/// Most keys of one issuer.
const KEYS_MAX: usize = 100;

/// Where the keys are.
#[derive(Clone, Debug)]
struct Source {
    issuer: WebAddress,
    jwks: Option<WebAddress>,
}

/// The keys of one issuer.
pub(super) struct KeyRing {
    source: Source,
    fetches: Option<Buckets<()>>,
    held: RwLock<Option<Arc<Held>>>,
    /// Held by whoever fetches, so that one does and all get it.
    fetching: Mutex<()>,
}

struct Held {
    keys: Vec<Key>,
    since: Instant,
}

struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl KeyRing {
    /// No keys yet.
    pub(super) fn new(settings: &config::OAuth) -> Self {
        Self {
            source: Source { issuer: settings.issuer_address.clone(), jwks: settings.jwks_url.clone() },
            fetches: Buckets::new(1.0 / settings.jwks_pause.as_secs_f64().max(1.0), FETCHES_AT_ONCE),
            held: RwLock::new(None),
            fetching: Mutex::new(()),
        }
    }

    /// The key of that id for that algorithm; a token that names none is checked with the only one that fits.
    ///
    /// # Errors
    /// `issuer_unreachable` if no keys are known, or only too old ones.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Option<DecodingKey>, Fault> {
        let before = self.held();
        let known = before.as_ref().filter(|held| held.since.elapsed() < FRESH);
        if let Some(key) = known.and_then(|held| held.find(id, algorithm)) {
            return Ok(Some(key));
        }
        let stale = before.as_ref().filter(|held| held.since.elapsed() < KEPT_MAX);
        if let (Some(key), Err(_)) = (stale.and_then(|held| held.find(id, algorithm)), self.fetching.try_lock()) {
            // Somebody fetches just now, from an issuer that may not answer.
            return Ok(Some(key));
        }
        self.refresh(before.as_ref()).await;
        match self.held().filter(|held| held.since.elapsed() < KEPT_MAX) {
            Some(held) => Ok(held.find(id, algorithm)),
            None => Err(Fault::new(FaultCode::IssuerUnreachable, "the token cannot be checked now")
                .why("the keys of the authorization server could not be fetched")
                .next("try again in a minute; the daemon's log says what is wrong")),
        }
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys, unless somebody did since `before` or it was done too often. After a failure the old ones stay.
    async fn refresh(&self, before: Option<&Arc<Held>>) {
        let _turn = self.fetching.lock().await;
        let since = |held: Option<&Arc<Held>>| held.map(|held| held.since);
        if since(self.held().as_ref()) != since(before) {
            return;
        }
        if self.fetches.as_ref().is_some_and(|fetches| fetches.take((), Instant::now()).is_err()) {
            return;
        }
        let source = self.source.clone();
        let fetched = tokio::task::spawn_blocking(move || source.keys()).await;
        match fetched.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys of the authorization server were fetched");
                let held = Arc::new(Held { keys, since: Instant::now() });
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(held);
            }
            Err(why) => tracing::warn!(why, "the keys of the authorization server could not be fetched"),
        }
    }
}

impl Held {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| {
            let named = id.is_none() || key.id.as_deref() == id;
            let meant = key.algorithm.is_none_or(|of_key| of_key == algorithm);
            named && meant && key.key.family() == algorithm.family()
        });
        let first = fitting.next()?;
        let is_only = fitting.next().is_none();
        (id.is_some() || is_only).then(|| first.key.clone())
    }
}

impl Source {
    /// Fetches the keys; blocks.
    fn keys(&self) -> Result<Vec<Key>, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let jwks = match &self.jwks {
            Some(jwks) => jwks.clone(),
            None => self.discovered()?,
        };
        let set: Set = fetch::json(&jwks)?;
        // One that is strange must not spoil the others.
        Ok(set.keys.into_iter().take(KEYS_MAX).filter_map(usable).collect())
    }

    /// Where the issuer's metadata says that the keys are. Source: RFC 8414 section 3; OpenID Connect Discovery 1.0
    /// section 4; the order is that of MCP 2026-07-28.
    fn discovered(&self) -> Result<WebAddress, String> {
        let (origin, path) = (self.issuer.origin(), self.issuer.path().trim_end_matches('/'));
        let places = [
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
            format!("{origin}/.well-known/openid-configuration{path}"),
            format!("{origin}{path}/.well-known/openid-configuration"),
        ];
        let mut problems = vec![];
        for place in places {
            match self.described(&place) {
                Ok(jwks) => return Ok(jwks),
                Err(problem) => problems.push(format!("{place}: {problem}")),
            }
        }
        Err(problems.join("; "))
    }

    fn described(&self, place: &str) -> Result<WebAddress, String> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let metadata: Metadata = fetch::json(&WebAddress::parse(place)?)?;
        // Source: RFC 8414 section 3.3: another issuer's metadata must not be used.
        if metadata.issuer != self.issuer.as_str() {
            return Err("it is the metadata of another issuer".into());
        }
        WebAddress::parse(&metadata.jwks_uri).map_err(|problem| format!("`jwks_uri`: {problem}"))
    }
}

/// A key that signatures can be checked with, if `value` is one. Shared secrets are none.
fn usable(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let algorithm = jwk.common.key_algorithm.map(|name| name.to_string().parse::<Algorithm>());
    let algorithm = algorithm.transpose().ok()?;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let usable = signs && key.family() != AlgorithmFamily::Hmac;
    usable.then_some(Key { id: jwk.common.key_id, algorithm, key })
}
