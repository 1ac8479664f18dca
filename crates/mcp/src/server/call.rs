//! One request on its way through a method: everything a handler may know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_domain::{Conversation, Job, JobId, Scope};
use longshore_engine::Engine;
use longshore_engine::ops::Caller;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::connection::Connection;
use super::{Server, Sink, clients};
use crate::wire::{Capabilities, ClientInfo, Era, Extensions, Level, Meta, RequestId, RpcError};

/// Longest idempotency key that the engine takes, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A request with its surroundings. Owns all it has, so that it can run by itself.
#[derive(Clone)]
pub(crate) struct Call {
    /// The server.
    pub(crate) server: Server,
    /// Where it came from.
    pub(crate) connection: Connection,
    /// Which rules hold.
    pub(crate) era: Era,
    /// Its id.
    pub(crate) id: RequestId,
    /// Which of its bridge's requests it is, if the bridge counts.
    turn: Option<u64>,
    /// Its method.
    pub(crate) method: String,
    /// Its parameters.
    pub(crate) params: Option<Box<RawValue>>,
    /// Who the client says it is.
    pub(crate) client: ClientInfo,
    /// Extensions that this request declares; those of legacy clients do not hold.
    pub(crate) extensions: Extensions,
    /// What the client can do.
    pub(crate) capabilities: Capabilities,
    /// Who calls, from which chat.
    pub(crate) caller: Caller,
    /// Key that came beside the arguments.
    pub(crate) idempotency_key: Option<String>,
    /// Where to send progress.
    pub(crate) progress_token: Option<Box<RawValue>>,
    /// Least grave log messages that a modern client wants for this request.
    pub(crate) log_level: Option<Level>,
    /// Takes the notifications of this request.
    pub(crate) sink: Sink,
    /// The chat that the request names itself.
    named: Option<Conversation>,
    /// Jobs that the answer is about.
    told: Arc<Mutex<Vec<JobId>>>,
}

impl Call {
    /// Gathers what `meta` and the connection say.
    pub(crate) fn new(
        server: &Server,
        connection: &Connection,
        era: Era,
        request: &crate::wire::Request<'_>,
        meta: &Meta<'_>,
        sink: &Sink,
    ) -> Self {
        let origin = connection.origin();
        let (client, capabilities) = match era {
            Era::Modern => (ClientInfo::lenient(meta.client_info), Capabilities::lenient(meta.client_capabilities)),
            Era::Legacy(_) => {
                connection.handshake().map(|handshake| (handshake.client, handshake.capabilities)).unwrap_or_default()
            }
        };
        let named = meta.conversation();
        Self {
            server: server.clone(),
            connection: connection.clone(),
            era,
            id: request.id.clone(),
            turn: request.turn,
            method: request.method.clone().into_owned(),
            params: request.params.map(ToOwned::to_owned),
            client,
            extensions: match era {
                Era::Modern => Extensions::lenient(meta.client_capabilities),
                Era::Legacy(_) => Extensions::default(),
            },
            capabilities,
            caller: Caller {
                principal: origin.principal.clone(),
                conversation: server.chats().of(origin, named.clone()),
            },
            idempotency_key: meta.idempotency_key.as_deref().map(str::to_owned).or(origin.idempotency_key.clone()),
            progress_token: meta.progress_token.map(ToOwned::to_owned),
            log_level: meta.log_level,
            sink: sink.clone(),
            named,
            told: Arc::default(),
        }
    }

    /// Who calls, from the chat as it is known now: the jobs of this very request may have told it.
    pub(crate) fn caller_now(&self) -> Caller {
        let conversation = self.server.chats().of(self.connection.origin(), self.named.clone());
        Caller { conversation, ..self.caller.clone() }
    }

    /// Notes that the answer says how `job` stands: that decides the chat of a connection that had told none, and the
    /// chat knows of the end if there is one.
    pub(crate) fn tells(&self, job: &Job) {
        if self.named.is_none() {
            self.server.chats().settle(self.connection.origin(), job);
        }
        self.engine().saw(&self.caller_now(), job);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(job.id);
    }

    /// The jobs that the answer is about.
    pub(crate) fn told(&self) -> Vec<JobId> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.server.engine()
    }

    /// Whether the caller's token allows `scope`.
    ///
    /// # Errors
    /// Insufficient scope if not.
    pub(crate) fn allowed(&self, scope: Scope) -> Result<(), RpcError> {
        match self.connection.origin().scopes.has(scope) {
            true => Ok(()),
            false => Err(RpcError::insufficient_scope(scope)),
        }
    }

    /// How long this client lets one call take, less a margin.
    pub(crate) fn budget(&self) -> Duration {
        let settings = self.server.settings();
        clients::budget(&self.client, &settings.client_budgets, settings.call_budget)
    }

    /// Names the request across connections of the same bridge, so that one sent again finds its job. Older bridges do
    /// not count, and with them only an id that is never used again names a request.
    pub(crate) fn implicit_key(&self) -> Option<String> {
        let bridge = self.connection.origin().bridge.as_deref()?;
        let key = match self.turn {
            Some(turn) => format!("bridge:{bridge}:turn:{turn}"),
            None => format!("bridge:{bridge}:{}", self.id.as_json()),
        };
        if key.len() <= KEY_BYTES_MAX {
            return Some(key);
        }
        let digest = Sha256::digest(&key);
        Some(digest.iter().fold("bridge:".to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }
}
