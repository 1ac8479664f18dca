//! The chat that a request belongs to, by what is known best:
//!
//! 1. the request's metadata: our own key, then those of the clients;
//! 2. the environment of the bridge that it came over;
//! 3. a handle that we gave in another chat, and that the connection named before anything else of a job;
//! 4. a stand-in: one chat for each bridge, and for each legacy session over HTTP.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_domain::{Conversation, Job, Principal};

use super::connection::Origin;

/// Connections and chats that are remembered; of those beyond it, some begin anew.
const REMEMBERED_MAX: usize = 4096;

/// A principal's name with the name of one of its chats.
type Chat = (String, Conversation);

/// What the server remembers of chats: in memory alone, across the connections of a bridge and the requests of a
/// session, and until the daemon ends.
#[derive(Debug, Default)]
pub(crate) struct Chats {
    /// What each stand-in stands for, once a job has decided it: another chat, or itself.
    settled: Mutex<HashMap<Chat, Conversation>>,
    /// Chats that were answered, with the connection over which they were.
    greeted: Mutex<HashSet<(Chat, String)>>,
}

impl Chats {
    /// The chat of a request that names `named` itself.
    pub(super) fn of(&self, origin: &Origin, named: Option<Conversation>) -> Option<Conversation> {
        let own = origin.conversation.clone();
        let settled = || {
            let chat = (origin.principal.name.clone(), own.clone().filter(|_| origin.stands_in)?);
            lock(&self.settled).get(&chat).cloned()
        };
        named.or_else(settled).or_else(|| own.clone())
    }

    /// Notes that a request of a stand-in was about `job`: the first one decides what it stands for. A job of another
    /// principal, or of no chat, decides nothing.
    pub(super) fn settle(&self, origin: &Origin, job: &Job) {
        let (Some(stand_in), Some(conversation)) = (&origin.conversation, &job.conversation) else { return };
        if !origin.stands_in || !is_own(&origin.principal, job) {
            return;
        }
        let mut settled = lock(&self.settled);
        if settled.len() >= REMEMBERED_MAX {
            let some = settled.keys().next().cloned();
            some.and_then(|some| settled.remove(&some));
        }
        settled.entry((origin.principal.name.clone(), stand_in.clone())).or_insert_with(|| conversation.clone());
    }

    /// Whether this is the first answer to a chat over this connection; the next one is not.
    pub(super) fn greet(&self, origin: &Origin, conversation: &Conversation) -> bool {
        let stand_in = origin.conversation.as_ref().filter(|_| origin.stands_in);
        let session = origin.bridge.as_deref().or(stand_in.map(Conversation::as_str)).unwrap_or_default();
        let mut greeted = lock(&self.greeted);
        if greeted.len() >= REMEMBERED_MAX {
            let some = greeted.iter().next().cloned();
            some.and_then(|some| greeted.take(&some));
        }
        greeted.insert(((origin.principal.name.clone(), conversation.clone()), session.to_owned()))
    }
}

fn is_own(principal: &Principal, job: &Job) -> bool {
    job.principal.name == principal.name
}

/// The maps hold no invariant that a panic elsewhere could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
