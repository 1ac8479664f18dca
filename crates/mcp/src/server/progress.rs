//! Signs of life for a request that asked for them.

use std::time::Duration;

use longshore_domain::time::format_length;
use longshore_engine::ops::JobView;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::call::Call;
use super::status::percent;
use crate::wire::notification;

/// How often a job is looked at for progress; no two notifications come closer.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A notification is sent first at the first look, and after this long even if nothing changed.
const REPEAT_AFTER: Duration = Duration::from_secs(10);
/// What progress grows by when no percentage is known, or it did not grow.
const STEP: f64 = 0.01;

/// Sends the progress of one request.
pub(super) struct Progress<'a> {
    call: &'a Call,
    token: &'a RawValue,
    pace: Pace,
}

impl<'a> Progress<'a> {
    /// A sender, if the request asked for progress.
    pub(super) fn of(call: &'a Call) -> Option<Self> {
        Some(Self { call, token: call.progress_token.as_deref()?, pace: Pace::default() })
    }

    /// Tells how a job stands, if it is time.
    pub(super) fn tell(&mut self, view: &JobView) {
        let percent = percent(view);
        if let Some(progress) = self.pace.next(Instant::now(), percent) {
            self.send(progress, percent, &message(view));
        }
    }

    fn send(&self, progress: f64, percent: Option<u8>, message: &str) {
        let mut params = json!({ "progressToken": self.token, "progress": progress, "message": message });
        if percent.is_some() {
            params["total"] = Value::from(100);
        }
        if let Ok(params) = to_raw_value(&params) {
            self.call.sink.offer(notification("notifications/progress", &params));
        }
    }
}

/// Decides when something is sent, and keeps the numbers growing.
#[derive(Default)]
struct Pace {
    sent_at: Option<Instant>,
    percent: Option<u8>,
    value: f64,
}

impl Pace {
    /// The number to send now, if any.
    fn next(&mut self, now: Instant, percent: Option<u8>) -> Option<f64> {
        let changed = percent.is_some() && percent != self.percent;
        if !changed && self.sent_at.is_some_and(|sent_at| now.duration_since(sent_at) < REPEAT_AFTER) {
            return None;
        }
        self.sent_at = Some(now);
        self.percent = percent;
        let grown = self.value + STEP;
        self.value = (percent.map_or(grown, |percent| grown.max(f64::from(percent))) * 100.0).round() / 100.0;
        Some(self.value)
    }
}

fn message(view: &JobView) -> String {
    let elapsed = view.elapsed.map_or_else(String::new, |elapsed| format!(" {}", format_length(elapsed)));
    let percent = percent(view).map_or_else(String::new, |percent| format!(" · {percent}%"));
    format!("{}{elapsed}{percent}", view.job.state.in_words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_grows_and_is_sent_at_first_on_change_or_after_ten_seconds() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let table = [
            (1, None, Some(0.01)),
            (2, None, None),
            (10, None, None),
            (11, None, Some(0.02)),
            (12, Some(63), Some(63.0)),
            (13, Some(63), None),
            (14, Some(20), Some(63.01)),
            (24, Some(20), Some(63.02)),
            (25, Some(64), Some(64.0)),
            (26, None, None),
            (35, None, Some(64.01)),
        ];
        for (second, percent, expected) in table {
            assert_eq!(pace.next(start + Duration::from_secs(second), percent), expected, "at {second} s");
        }
    }
}
