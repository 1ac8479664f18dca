//! Lengths of time and sizes as people write them.

use std::time::Duration;

use longshore_domain::time::{format_length, parse_length};

const DAY_SECONDS: u64 = 86_400;
const UNITS: [(char, u32); 4] = [('K', 1), ('M', 2), ('G', 3), ('T', 4)];

/// Reads `250ms`, `30s`, `5m`, `2h`, `1h 30m` or whole days as `7d`. A bare number is seconds.
///
/// # Errors
/// A sentence that says what was expected.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    match text.trim().strip_suffix('d').and_then(|days| days.trim_end().parse::<u32>().ok()) {
        Some(days) => Ok(Duration::from_secs(u64::from(days) * DAY_SECONDS)),
        None => parse_length(text),
    }
}

/// Writes a length so that [`length`] reads the same.
pub(crate) fn show_length(length: Duration) -> String {
    let seconds = length.as_secs();
    match () {
        () if length.subsec_millis() > 0 => format!("{}ms", length.as_millis()),
        () if seconds > 0 && seconds.is_multiple_of(DAY_SECONDS) => format!("{}d", seconds / DAY_SECONDS),
        () if seconds > 0 && seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        () if seconds > 0 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        () => format!("{seconds}s"),
    }
}

/// Reads a number of bytes: `4096`, `64K`, `512M`, `10G`, `2GiB`; units are powers of 1024.
///
/// # Errors
/// A sentence that says what was expected.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as 4096, 64K, 512M or 2G");
    let upper = text.trim().to_ascii_uppercase();
    let bare = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let (digits, power) = match UNITS.iter().find_map(|(unit, power)| Some((bare.strip_suffix(*unit)?, *power))) {
        Some((digits, power)) => (digits.trim_end(), power),
        None => (bare, 0),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(1024_u64.pow(power)).ok_or_else(wrong)
}

/// Writes a size for people, rounded: `1.5 GiB`.
pub(crate) fn about_size(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, power)| bytes >= 1024_u64.pow(*power));
    match unit {
        Some((unit, power)) => format!("{:.1} {unit}iB", bytes as f64 / 1024_f64.powi(*power as i32)),
        None => format!("{bytes} B"),
    }
}

/// Writes a length for people, rounded.
pub(crate) fn about_length(ms: u64) -> String {
    format_length(Duration::from_millis(ms))
}

/// Writes a length that is a guess: `~35s`, `~4m`, `~1h 20m`.
pub(crate) fn roughly(ms: u64) -> String {
    const MINUTE: u64 = 60;
    let seconds = ms / 1000;
    match seconds {
        0..=55 => format!("~{}s", seconds.max(1).next_multiple_of(5)),
        56..3_570 => format!("~{}m", (seconds + MINUTE / 2) / MINUTE),
        _ => {
            let tens = (seconds + 5 * MINUTE) / (10 * MINUTE);
            format!("~{}", format_length(Duration::from_secs(tens * 10 * MINUTE)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_sizes_are_read_as_people_write_them() {
        for text in ["250ms", "30s", "5m", "2h", "7d", "90d"] {
            assert_eq!(show_length(length(text).unwrap()), text);
        }
        assert_eq!([size("4095"), size("64K"), size("3 MiB")], [Ok(4095), Ok(65_536), Ok(3_145_728)]);
        assert_eq!(size("2GiB"), size("2g"));
        assert!(length("-5s").is_err() && length("soon").is_err());
        for (seconds, text) in [
            (0, "~5s"),
            (5, "~5s"),
            (31, "~35s"),
            (55, "~55s"),
            (56, "~1m"),
            (100, "~2m"),
            (3_569, "~59m"),
            (3_570, "~1h 00m"),
            (4_700, "~1h 20m"),
            (180_000, "~2d 02h"),
        ] {
            assert_eq!(roughly(seconds * 1000), text);
        }
        assert!(size("much").is_err() && size("99999999999T").is_err());
    }
}
