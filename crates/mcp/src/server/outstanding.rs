//! Requests of ours to legacy clients. Each belongs to a request under way, travels on its stream, and ends with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::NodeId;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use super::call::Call;
use crate::wire::{Ask, AskError, Era, Response, notification, request};

/// Questions that one client may have to answer at once.
const PER_CLIENT_MAX: usize = 16;

type Answered = Result<Box<RawValue>, (i64, String)>;
type Waiting = HashMap<Arc<str>, HashMap<String, oneshot::Sender<Answered>>>;

/// All requests of ours that wait for an answer, by connection or session, and id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding(Arc<Mutex<Waiting>>);

impl Outstanding {
    /// Hands an answer to whoever waits for it here; whether somebody does. If not it may have crossed the end of the
    /// request that it belonged to.
    pub(crate) fn answered(&self, scope: Option<&Arc<str>>, response: &Response<'_>) -> bool {
        let id = response.id.and_then(|id| serde_json::from_str::<String>(id.get()).ok());
        match scope.zip(id).and_then(|(scope, id)| self.take(scope, &id)) {
            Some(waiting) => {
                // The receiver may leave at the same moment.
                drop(waiting.send(outcome(response)));
                true
            }
            None => false,
        }
    }

    fn enter(&self, scope: &Arc<str>, node: NodeId) -> Option<(Entry, oneshot::Receiver<Answered>)> {
        let id = format!("{node}.{:032x}", longshore_engine::clock::random());
        let (sender, receiver) = oneshot::channel();
        let mut all = self.lock();
        let own = all.entry(Arc::clone(scope)).or_default();
        if own.len() >= PER_CLIENT_MAX {
            return None;
        }
        own.insert(id.clone(), sender);
        Some((Entry { all: self.clone(), scope: Arc::clone(scope), id }, receiver))
    }

    fn take(&self, scope: &Arc<str>, id: &str) -> Option<oneshot::Sender<Answered>> {
        let mut all = self.lock();
        let own = all.get_mut(scope)?;
        let taken = own.remove(id);
        if own.is_empty() {
            all.remove(scope);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node that asked what this answers.
pub(crate) fn asker(response: &Response<'_>) -> Option<NodeId> {
    let id = serde_json::from_str::<String>(response.id?.get()).ok()?;
    id.split_once('.')?.0.parse().ok()
}

fn outcome(response: &Response<'_>) -> Answered {
    #[derive(Default, Deserialize)]
    struct Refusal {
        #[serde(default)]
        code: i64,
        #[serde(default)]
        message: String,
    }
    response.outcome.map(ToOwned::to_owned).map_err(|error| {
        let refusal: Refusal = serde_json::from_str(error.get()).unwrap_or_default();
        (refusal.code, refusal.message.chars().take(500).collect())
    })
}

/// A request of ours under way.
struct Entry {
    all: Outstanding,
    scope: Arc<str>,
    id: String,
}

/// Takes a question back if it was not answered.
struct Retraction<'a> {
    call: &'a Call,
    entry: Entry,
}

impl Drop for Retraction<'_> {
    fn drop(&mut self) {
        if self.entry.all.take(&self.entry.scope, &self.entry.id).is_none() {
            return;
        }
        let params = json!({ "requestId": self.entry.id, "reason": "the request that needed the answer has ended" });
        if let Ok(params) = to_raw_value(&params) {
            self.call.sink.offer(notification("notifications/cancelled", &params));
        }
    }
}

impl Call {
    /// Asks the client of a legacy request something and waits for the answer, on the stream of that request.
    /// Dropping the future takes the question back.
    ///
    /// # Errors
    /// See [`AskError`].
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Box<RawValue>, AskError> {
        if !self.capabilities.allow(ask.kind) {
            return Err(AskError::NotDeclared(ask.kind));
        }
        let legacy = matches!(self.era, Era::Legacy(_));
        let scope = self.connection.origin().scope.as_ref().filter(|_| legacy).ok_or(AskError::NoWay)?;
        let node = self.engine().settings().node.id;
        let (entry, answer) = self.server.outstanding().enter(scope, node).ok_or(AskError::TooMany)?;
        let message = request(&entry.id, ask);
        let retraction = Retraction { call: self, entry };
        self.sink.deliver(message).await.map_err(|_| AskError::NoWay)?;
        let answered = answer.await.map_err(|_| AskError::Gone)?;
        drop(retraction);
        answered.map_err(|(code, message)| AskError::Refused(code, message))
    }
}
