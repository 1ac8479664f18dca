//! Where notifications go that belong to a request under way.

use tokio::sync::mpsc;

/// Takes notifications of one request, or of a connection. What is offered before an answer arrives before it.
#[derive(Clone, Debug, Default)]
pub struct Sink(Option<mpsc::Sender<String>>);

impl Sink {
    /// A sink that drops everything.
    pub fn none() -> Self {
        Self(None)
    }

    /// A sink into `sender`: each item is one message, a line of JSON without the newline.
    pub fn new(sender: mpsc::Sender<String>) -> Self {
        Self(Some(sender))
    }

    /// Passes a message on that must arrive, as soon as there is room.
    ///
    /// # Errors
    /// The message, if nobody reads.
    pub(crate) async fn deliver(&self, message: String) -> Result<(), String> {
        match &self.0 {
            Some(sender) => sender.send(message).await.map_err(|unsent| unsent.0),
            None => Err(message),
        }
    }

    /// Returns once nobody reads.
    pub(crate) async fn closed(&self) {
        if let Some(sender) = &self.0 {
            sender.closed().await;
        }
    }

    /// Whether anybody reads.
    pub(crate) fn is_open(&self) -> bool {
        self.0.as_ref().is_some_and(|sender| !sender.is_closed())
    }

    /// Passes a notification on if there is room: a reader that is slow misses progress, and stalls nobody.
    pub(crate) fn offer(&self, message: String) {
        let refused = self.0.as_ref().is_some_and(|sender| sender.try_send(message).is_err());
        if refused {
            tracing::debug!("a notification was dropped: its reader is slow or gone");
        }
    }
}
