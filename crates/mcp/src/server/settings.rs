//! What the server is told by whoever wires it.

use std::time::Duration;

/// What the server needs to know from outside.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Version of Longshore.
    pub version: String,
    /// How long a call of an unknown client may be held.
    pub call_budget: Duration,
    /// The same for clients whose name begins so, whatever the case of letters; the first that fits.
    pub client_budgets: Vec<(String, Duration)>,
    /// How long an answer is held for what usually comes at once: the end of a job that was cancelled, or of one that
    /// would otherwise become a task.
    pub grace: Duration,
    /// How long one leg of a call is held whose client retries by itself.
    pub leg: Duration,
    /// How long a state brings such a call back: clients retry at once, unless they are suspended.
    pub state_lifetime: Duration,
    /// Signs session tokens; a new one ends all HTTP sessions, which costs clients one handshake.
    pub session_key: [u8; 32],
}

impl ServerSettings {
    /// The usual settings.
    pub fn new(version: impl Into<String>, session_key: [u8; 32]) -> Self {
        Self {
            version: version.into(),
            call_budget: Duration::from_secs(45),
            client_budgets: vec![],
            grace: Duration::from_secs(2),
            leg: Duration::from_secs(20),
            state_lifetime: Duration::from_secs(3600),
            session_key,
        }
    }
}
