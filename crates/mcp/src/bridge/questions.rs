//! Questions of the daemon that the client has not answered. They end with their daemon: the next one asks anew, under
//! other names.

use serde_json::json;
use serde_json::value::to_raw_value;

use crate::wire::{RequestId, notification};

/// All of them.
#[derive(Default)]
pub(super) struct Questions(Vec<RequestId>);

impl Questions {
    /// The daemon asked.
    pub(super) fn asked(&mut self, id: RequestId) {
        self.0.push(id);
    }

    /// The client has answered, or the daemon has taken it back.
    pub(super) fn closed(&mut self, id: &RequestId) {
        self.0.retain(|other| other != id);
    }

    /// What takes back all that are left.
    pub(super) fn take_back(&mut self) -> Vec<Vec<u8>> {
        self.0.drain(..).filter_map(|id| cancelled(&id)).collect()
    }
}

fn cancelled(id: &RequestId) -> Option<Vec<u8>> {
    let id: serde_json::Value = serde_json::from_str(id.as_json()).ok()?;
    let params =
        json!({ "requestId": id, "reason": "the daemon that asked is gone; what still matters is asked again" });
    Some(notification("notifications/cancelled", &to_raw_value(&params).ok()?).into_bytes())
}
