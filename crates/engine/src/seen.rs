//! Ends that chats learned as the answers of their own calls, until the next announcement takes them in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_domain::{Conversation, Job, JobId};

/// Chats remembered; of those beyond it, some hear of an end again.
const CHATS_MAX: usize = 1024;
/// Ends of one chat that are remembered, the newest.
const ENDS_MAX: usize = 64;

/// The chat of one principal: its name, and that of the chat.
pub(crate) type Audience = (String, Conversation);

/// What chats have seen. Lost with the process: then an end is announced once although it was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<Audience, Vec<JobId>>>);

impl Seen {
    /// Notes that a chat has seen the end of a job.
    pub(crate) fn note(&self, audience: Audience, job: &Job) {
        let mut chats = self.lock();
        if chats.len() >= CHATS_MAX && !chats.contains_key(&audience) {
            let some = chats.keys().next().cloned();
            some.and_then(|some| chats.remove(&some));
        }
        let ends = chats.entry(audience).or_default();
        if !ends.contains(&job.id) {
            ends.push(job.id);
        }
        if ends.len() > ENDS_MAX {
            ends.remove(0);
        }
    }

    /// What a chat has seen.
    pub(crate) fn of(&self, audience: &Audience) -> Vec<JobId> {
        self.lock().get(audience).cloned().unwrap_or_default()
    }

    /// Forgets what an announcement has taken in.
    pub(crate) fn forget(&self, audience: &Audience, ends: &[JobId]) {
        let mut chats = self.lock();
        let Some(seen) = chats.get_mut(audience) else { return };
        seen.retain(|job| !ends.contains(job));
        if seen.is_empty() {
            chats.remove(audience);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Audience, Vec<JobId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
