//! What goes wrong beside the point of a check: complaints about any message, collected where they are noticed.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::message::Message;

/// Shared by all connections of a check.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    complaints: Vec<String>,
    strays: Vec<Message>,
    cancelled: Vec<Value>,
}

/// Complaints of one check that are kept; the rest repeats them.
const COMPLAINTS_MAX: usize = 5;

impl Journal {
    pub(crate) fn complain(&self, text: String) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.complaints.len() < COMPLAINTS_MAX {
            pages.complaints.push(text);
        }
    }

    /// Keeps an error without an id: the answer to a line that could not be read.
    pub(crate) fn stray(&self, message: Message) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).strays.push(message);
    }

    pub(crate) fn take_strays(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).strays)
    }

    /// Notes that the server takes back the request with this id.
    pub(crate) fn cancelled(&self, id: Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).cancelled.push(id);
    }

    pub(crate) fn take_cancelled(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).cancelled)
    }

    pub(crate) fn take_complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).complaints)
    }
}
