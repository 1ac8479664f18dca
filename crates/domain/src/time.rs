//! Instants and lengths of time. No clock is read here: see the engine's clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An instant in UTC with millisecond precision, stored as milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `ms` milliseconds after the Unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant `length` later; stays at the last representable instant instead of overflowing.
    pub fn plus(self, length: Duration) -> Self {
        Self(self.0.saturating_add(millis(length)))
    }

    /// The instant `length` earlier; stays at the first representable instant instead of overflowing.
    pub fn minus(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(millis(length)))
    }

    /// The time passed since `earlier`; zero when the clock was set back in between, never negative.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// An instant, or a length of time that begins when it is heard of, by whatever clock counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum When {
    /// At this instant.
    At(Timestamp),
    /// So much later.
    In {
        /// How much.
        #[serde(with = "millis", rename = "in_ms")]
        length: Duration,
    },
}

impl When {
    /// The instant, heard of now.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(instant) => instant,
            Self::In { length } => now.plus(length),
        }
    }
}

impl From<Timestamp> for When {
    fn from(instant: Timestamp) -> Self {
        Self::At(instant)
    }
}

/// RFC 3339 in UTC with milliseconds, e.g. `2026-11-20T14:02:10.123Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms after the epoch", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>()
            .map(|instant| Self(instant.as_millisecond()))
            .map_err(|error| format!("not an RFC 3339 instant such as 2026-11-20T14:02:10Z: {error}"))
    }
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// Reads a length of time that a person wrote: `90`, `90s`, `5m`, `1h 30m`, `250ms`. A bare number is seconds.
///
/// # Errors
/// A sentence that says what was expected; negative lengths are refused.
pub fn parse_length(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is not a length of time"));
    }
    let length: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is not a length of time such as 90s, 5m or 1h 30m"))?;
    Duration::try_from(length).map_err(|_| format!("`{text}` is negative"))
}

/// Writes a length as a person would say it: `0.4s`, `42s`, `5m 02s`, `3h 07m`, `2d 04h`.
pub fn format_length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=9 => format!("{:.1}s", length.as_secs_f64()),
        10..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Serialises a [`Duration`] as whole milliseconds.
pub mod millis {
    use super::Duration;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the length as an unsigned integer of milliseconds.
    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads an unsigned integer of milliseconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }

    /// The same for an optional length.
    pub mod option {
        use super::Duration;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        /// Writes the length as an unsigned integer of milliseconds, or null.
        pub fn serialize<S: Serializer>(length: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            length.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)).serialize(serializer)
        }

        /// Reads an unsigned integer of milliseconds, or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
        }
    }
}
