//! Identifiers. Randomness is passed in, so that ids can be reproduced in tests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`; sorts as the numbers do.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TIME_CHARS: usize = 10;
const RANDOM_CHARS: usize = 26;

fn digit(byte: u8) -> Option<u8> {
    let lower = byte.to_ascii_lowercase();
    ALPHABET.iter().position(|&symbol| symbol == lower).map(|at| at as u8)
}

fn encode(mut value: u128, out: &mut [u8]) {
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
}

fn decode(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0u128, |value, &byte| {
        (value >> 123 == 0).then_some(())?;
        Some(value << 5 | u128::from(digit(byte)?))
    })
}

/// Defines an id: a prefix, 10 characters of milliseconds and 26 characters holding 128 random bits.
///
/// Ids sort by time of creation as text and as bytes, are safe in URLs and HTTP headers, and cannot be guessed.
macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { at_ms: u64, random: u128 }

        impl $name {
            /// What every id of this type starts with.
            pub const PREFIX: &'static str = $prefix;
            /// Length of the id as text, in bytes.
            pub const LEN: usize = $prefix.len() + TIME_CHARS + RANDOM_CHARS;

            /// A new id for something that came to be `at`, with 128 bits from a secure source.
            pub fn new(at: Timestamp, random: u128) -> Self {
                Self { at_ms: u64::try_from(at.as_millis()).unwrap_or(0) & ((1 << 50) - 1), random }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0u8; TIME_CHARS + RANDOM_CHARS];
                encode(u128::from(self.at_ms), &mut text[..TIME_CHARS]);
                encode(self.random, &mut text[TIME_CHARS..]);
                f.write_str(Self::PREFIX)?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(self, f) }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId { kind: stringify!($name), prefix: Self::PREFIX };
                let bytes = text.strip_prefix(Self::PREFIX).ok_or_else(invalid)?.as_bytes();
                if bytes.len() != TIME_CHARS + RANDOM_CHARS { return Err(invalid()); }
                let at_ms = decode(&bytes[..TIME_CHARS]).ok_or_else(invalid)? as u64;
                let random = decode(&bytes[TIME_CHARS..]).ok_or_else(invalid)?;
                Ok(Self { at_ms, random })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// Names a job to everybody, for ever. Knowing it is no permission: access is checked by principal.
    JobId, "j_"
);
id_type!(
    /// Names a question that a person must decide.
    QuestionId, "q_"
);
id_type!(
    /// Names a schedule to everybody, for ever.
    ScheduleId, "s_"
);
id_type!(
    /// Names one running `longshore serve` across its restarts.
    NodeId, "n_"
);

/// Text that is not an id of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected `{prefix}` and 36 letters or digits")]
pub struct InvalidId {
    kind: &'static str,
    prefix: &'static str,
}

/// A secret of one attempt, known to the store, the shim and (through its environment) the command.
///
/// It proves that a shim or an exit record belongs to the attempt, and marks the attempt's processes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(u128);

impl Nonce {
    /// A nonce from 128 bits of a secure source.
    pub const fn new(random: u128) -> Self {
        Self(random)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
    };
}

number_type!(
    /// A job's short name for people: counts up from 1 within one store and is never used again.
    JobNumber(u64)
);
number_type!(
    /// Counts the attempts of a job from 1; the number of an attempt is its fencing token. 0 = none yet.
    AttemptNumber(u32)
);
number_type!(
    /// Position of an event in the history of the whole store; grows by at least 1 with every event.
    EventSeq(u64)
);

impl AttemptNumber {
    /// The number of the attempt after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
