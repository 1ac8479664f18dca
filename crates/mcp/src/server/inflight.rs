//! Requests that are being waited for, so that a client can give one up by its id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::wire::RequestId;

type Key = (Arc<str>, RequestId);

/// All requests under way whose ids can be named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inflight(Arc<Mutex<HashMap<Key, CancellationToken>>>);

impl Inflight {
    /// Notes a request until the guard goes. Without a scope it cannot be named and is never given up by id.
    pub(crate) fn enter(&self, scope: Option<&Arc<str>>, id: &RequestId) -> InflightGuard {
        let given_up = CancellationToken::new();
        let key = scope.map(|scope| (Arc::clone(scope), id.clone()));
        if let Some(key) = &key {
            self.lock().insert(key.clone(), given_up.clone());
        }
        InflightGuard { all: self.clone(), key, given_up }
    }

    /// Ends the waiting of a request; whether there is one here, for the answer may have crossed the notification.
    pub(crate) fn give_up(&self, scope: Option<&Arc<str>>, id: RequestId) -> bool {
        let key = scope.map(|scope| (Arc::clone(scope), id));
        let token = key.and_then(|key| self.lock().get(&key).cloned());
        token.is_some_and(|token| {
            token.cancel();
            true
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct InflightGuard {
    all: Inflight,
    key: Option<Key>,
    given_up: CancellationToken,
}

impl InflightGuard {
    /// Whether the client has given the request up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.is_cancelled()
    }

    /// Returns once the client has given the request up.
    pub(crate) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.all.lock().remove(key);
        }
    }
}
