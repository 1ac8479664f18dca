//! Answering for attempts of this node.

use longshore_domain::{AttemptNumber, JobId};

use crate::Engine;
use crate::peers::Account;

impl Engine {
    /// What became of an attempt of this node whose lease has run out. Asks no store, which may be away for this node
    /// alone.
    pub fn account(&self, job: JobId, attempt: AttemptNumber) -> Account {
        match self.inner.is_live(job, attempt) {
            true => Account::Lives,
            false => Account::Over,
        }
    }
}
