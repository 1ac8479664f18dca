//! How far back in its queue a job stands.

use std::fmt;

use serde::Serialize;

/// Ready jobs that come before one in its queue, counted up to [`Position::COUNTED`]: how many more there are helps
/// nobody, and in a long queue every poll would pay for the counting.
///
/// Written as a number, or as `100 or more`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position(u64);

impl Position {
    /// What counting ends at.
    pub const COUNTED: u64 = 100;

    /// The position behind so many jobs.
    pub fn behind(jobs: u64) -> Self {
        Self(jobs.min(Self::COUNTED))
    }

    /// Jobs before it; [`Position::COUNTED`] of them mean that there may be more.
    pub fn jobs(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.0 < Self::COUNTED { "" } else { " or more" };
        write!(f, "{}{more}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_is_not_claimed() {
        let table = [(0, "0"), (1, "1"), (99, "99"), (100, "100 or more"), (1_000_000, "100 or more")];
        for (jobs, written) in table {
            assert_eq!(Position::behind(jobs).to_string(), written);
        }
    }
}
