//! What is known of a caller beyond the single request.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use longshore_domain::{Conversation, Principal, Scopes};
use longshore_engine::ops::Caller;
use tokio::sync::Semaphore;

use super::listen;
use crate::wire::{Capabilities, ClientInfo, LegacyVersion};

/// One caller: the other end of a bridge, or of an HTTP request. Cheap to clone; clones are the same connection.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: Arc<Inner>,
}

/// What a connection is made of.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Who calls.
    pub(crate) principal: Principal,
    /// What the caller's token allows.
    pub(crate) scopes: Scopes,
    /// Directory of commands that name none.
    pub(crate) cwd: Option<String>,
    /// Variables that commands inherit.
    pub(crate) inherited: BTreeMap<String, String>,
    /// The chat of requests that name none.
    pub(crate) conversation: Option<Conversation>,
    /// That chat is our own name for the connection, because nobody told one.
    pub(crate) stands_in: bool,
    /// Name of the bridge, the same after it connects anew.
    pub(crate) bridge: Option<String>,
    /// Idempotency key that came beside the message.
    pub(crate) idempotency_key: Option<String>,
    /// Within what the ids of requests are unique; without it requests cannot be cancelled by id.
    pub(crate) scope: Option<Arc<str>>,
}

impl Origin {
    /// A caller of which nothing else is known, with all that its class can hold.
    pub(crate) fn of(principal: Principal) -> Self {
        Self {
            scopes: Scopes::of_class(principal.class),
            principal,
            cwd: None,
            inherited: BTreeMap::new(),
            conversation: None,
            stands_in: false,
            bridge: None,
            idempotency_key: None,
            scope: None,
        }
    }
}

#[derive(Debug)]
struct Inner {
    origin: Origin,
    handshake: RwLock<Option<Handshake>>,
    /// Room for listens.
    listens: Arc<Semaphore>,
}

/// What `initialize` settled. Only legacy requests go by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// The version.
    pub(crate) version: LegacyVersion,
    /// The client.
    pub(crate) client: ClientInfo,
    /// What it can do.
    pub(crate) capabilities: Capabilities,
}

impl Connection {
    /// A connection on which nothing was said yet, or what a session token says was said.
    pub(crate) fn new(origin: Origin, handshake: Option<Handshake>) -> Self {
        let listens = Arc::new(Semaphore::new(listen::PER_CONNECTION_MAX));
        Self { inner: Arc::new(Inner { origin, handshake: RwLock::new(handshake), listens }) }
    }

    /// Room for listens of this connection.
    pub(crate) fn listens(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.listens)
    }

    /// What it is made of.
    pub(crate) fn origin(&self) -> &Origin {
        &self.inner.origin
    }

    /// Who calls, from the chat of requests that name none.
    pub(crate) fn caller(&self) -> Caller {
        let origin = self.origin();
        Caller { principal: origin.principal.clone(), conversation: origin.conversation.clone() }
    }

    /// What `initialize` settled, if it came.
    pub(crate) fn handshake(&self) -> Option<Handshake> {
        self.inner.handshake.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers what `initialize` settled; a later one replaces it.
    pub(crate) fn settle(&self, handshake: Handshake) {
        *self.inner.handshake.write().unwrap_or_else(PoisonError::into_inner) = Some(handshake);
    }
}
