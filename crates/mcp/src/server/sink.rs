//! Where notifications go that belong to a request under way.

use std::sync::{Arc, OnceLock};

use longshore_domain::JobId;
use tokio::sync::mpsc;

/// Takes notifications of one request, or of a connection. What is offered before an answer arrives before it.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    sender: Option<mpsc::Sender<String>>,
    job: Arc<OnceLock<JobId>>,
}

impl Sink {
    /// A sink that drops everything.
    pub fn none() -> Self {
        Self::default()
    }

    /// A sink into `sender`: each item is one message, a line of JSON without the newline.
    pub fn new(sender: mpsc::Sender<String>) -> Self {
        Self { sender: Some(sender), job: Arc::default() }
    }

    /// Passes a message on that must arrive, as soon as there is room.
    ///
    /// # Errors
    /// The message, if nobody reads.
    pub(crate) async fn deliver(&self, message: String) -> Result<(), String> {
        match &self.sender {
            Some(sender) => sender.send(message).await.map_err(|unsent| unsent.0),
            None => Err(message),
        }
    }

    /// Returns once nobody reads.
    pub(crate) async fn closed(&self) {
        if let Some(sender) = &self.sender {
            sender.closed().await;
        }
    }

    /// Tells whoever reads which job the answer waits for.
    pub(crate) fn waits_for(&self, job: JobId) {
        // Of several the first.
        self.job.set(job).ok();
    }

    /// The job that the answer waits for, once that is known.
    pub(crate) fn job(&self) -> Arc<OnceLock<JobId>> {
        Arc::clone(&self.job)
    }

    /// Whether anybody reads.
    pub(crate) fn is_open(&self) -> bool {
        self.sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// Passes a notification on if there is room: a reader that is slow misses progress, and stalls nobody.
    pub(crate) fn offer(&self, message: String) {
        let refused = self.sender.as_ref().is_some_and(|sender| sender.try_send(message).is_err());
        if refused {
            tracing::debug!("a notification was dropped: its reader is slow or gone");
        }
    }
}
