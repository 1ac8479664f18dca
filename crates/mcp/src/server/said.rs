//! What clients say beside requests: answers to ours, and that they give one of theirs up. Over HTTP it may come to another
//! node than the one that works on what it belongs to, which then hands it on.

use std::sync::Arc;

use longshore_domain::NodeId;
use longshore_engine::peers::Said;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Server;
use super::outstanding::asker;
use crate::wire::{Message, Notification, RequestId};

/// Where that is which was spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Here, or nowhere.
    Ours,
    /// On that node if it still is; on any of the others if none is named.
    Theirs(Option<NodeId>),
}

impl Server {
    /// Takes what a client said in a session, and hands it on if it belongs to nothing here. Cancel safe.
    pub(super) async fn hear(&self, scope: Option<&Arc<str>>, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        if let (Whose::Theirs(node), Some(scope)) = (self.heard(scope, &message), scope) {
            let said = Said { session: scope.to_string(), message: bytes.to_vec() };
            if let Err(fault) = self.engine().hand_on(node, said).await {
                tracing::debug!(fault.code = %fault.code, "what a client said could not be handed on");
            }
        }
    }

    /// Takes what another node was told.
    pub fn overheard(&self, said: &Said) {
        if let Ok(message) = Message::parse(&said.message) {
            self.heard(Some(&Arc::from(said.session.as_str())), &message);
        }
    }

    /// Does what follows from it here.
    pub(super) fn heard(&self, scope: Option<&Arc<str>>, message: &Message<'_>) -> Whose {
        match message {
            Message::Request(_) => Whose::Ours,
            Message::Response(response) => match self.outstanding().answered(scope, response) {
                true => Whose::Ours,
                false => asker(response).map_or(Whose::Ours, |node| Whose::Theirs(Some(node))),
            },
            Message::Notification(notification) => match cancelled(notification) {
                Some(id) => {
                    if self.inflight().give_up(scope, id) {
                        Whose::Ours
                    } else {
                        Whose::Theirs(None)
                    }
                }
                None => Whose::Ours,
            },
        }
    }
}

/// The request that is given up.
fn cancelled(notification: &Notification<'_>) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Cancelled<'a> {
        #[serde(borrow, rename = "requestId")]
        request_id: &'a RawValue,
    }
    let params = notification.params.filter(|_| notification.method == "notifications/cancelled")?;
    RequestId::from_raw(serde_json::from_str::<Cancelled<'_>>(params.get()).ok()?.request_id)
}
