//! Whose clock counts: that of the database, which all nodes share.

use longshore_domain::time::Timestamp;

/// The present as the database has it when this is evaluated, not as it was when the transaction began.
pub(crate) const PRESENT: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Whose clock a store goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The database's. What callers say of the time is not heard.
    Database,
    /// The callers', so that tests can move it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests alone"))]
    Callers,
}

impl Clock {
    /// The instant to go by, of what the caller said and what was read of [`PRESENT`].
    pub(super) fn tell(self, said: Timestamp, present: Timestamp) -> Timestamp {
        match self {
            Self::Database => present,
            Self::Callers => said,
        }
    }

    /// What a statement is given in place of [`PRESENT`]; nothing if it is to read that.
    pub(super) fn said(self, said: Timestamp) -> Option<i64> {
        match self {
            Self::Database => None,
            Self::Callers => Some(said.as_millis()),
        }
    }
}

/// The instant to go by inside a statement whose parameter `said` holds what [`Clock::said`] gives.
pub(super) fn present_or(said: &str) -> String {
    format!("(SELECT coalesce({said}::bigint, {PRESENT}))")
}
