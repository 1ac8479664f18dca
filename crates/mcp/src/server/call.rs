//! One request on its way through a method: everything a handler may know.

use std::time::Duration;

use longshore_domain::Conversation;
use longshore_engine::Engine;
use longshore_engine::ops::Caller;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::connection::Connection;
use super::{Server, Sink, clients};
use crate::wire::{ClientInfo, Era, Meta, RequestId};

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
    /// Its parameters.
    pub(crate) params: Option<Box<RawValue>>,
    /// Who the client says it is.
    pub(crate) client: ClientInfo,
    /// Who calls, from which chat.
    pub(crate) caller: Caller,
    /// Key that came beside the arguments.
    pub(crate) idempotency_key: Option<String>,
    /// Where to send progress.
    pub(crate) progress_token: Option<Box<RawValue>>,
    /// Takes the notifications of this request.
    pub(crate) sink: Sink,
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
        let client = match era {
            Era::Modern => ClientInfo::lenient(meta.client_info),
            Era::Legacy(_) => connection.handshake().map(|handshake| handshake.client).unwrap_or_default(),
        };
        let conversation = meta.conversation.as_deref().filter(|name| !name.is_empty()).map(Conversation::new);
        Self {
            server: server.clone(),
            connection: connection.clone(),
            era,
            id: request.id.clone(),
            params: request.params.map(ToOwned::to_owned),
            client,
            caller: Caller {
                principal: origin.principal.clone(),
                conversation: conversation.or_else(|| origin.conversation.clone()),
            },
            idempotency_key: meta.idempotency_key.as_deref().map(str::to_owned).or(origin.idempotency_key.clone()),
            progress_token: meta.progress_token.map(ToOwned::to_owned),
            sink: sink.clone(),
        }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &Engine {
        self.server.engine()
    }

    /// How long this client lets one call take, less a margin.
    pub(crate) fn budget(&self) -> Duration {
        let settings = self.server.settings();
        clients::budget(&self.client, &settings.client_budgets, settings.call_budget)
    }

    /// Names the request across connections of the same bridge, so that one sent again finds its job.
    pub(crate) fn implicit_key(&self) -> Option<String> {
        let bridge = self.connection.origin().bridge.as_deref()?;
        let key = format!("bridge:{bridge}:{}", self.id.as_json());
        if key.len() <= KEY_BYTES_MAX {
            return Some(key);
        }
        let digest = Sha256::digest(&key);
        Some(digest.iter().fold("bridge:".to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }
}
