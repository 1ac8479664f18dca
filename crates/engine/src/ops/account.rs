//! Answering for attempts of this node.

use longshore_domain::{AttemptNumber, JobId};

use crate::Engine;
use crate::peers::Account;

impl Engine {
    /// What became of an attempt of this node whose lease has run out. Asks no store, which may be away for this node
    /// alone. An attempt that is over here never begins afterwards.
    pub fn account(&self, job: JobId, attempt: AttemptNumber) -> Account {
        match self.inner.answers_for(job, attempt) {
            true => Account::Lives,
            false => Account::Over,
        }
    }
}
