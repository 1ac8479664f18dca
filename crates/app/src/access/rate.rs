//! Token buckets: how often somebody may do something.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most keys that have a bucket of their own; any further ones share one.
const BUCKETS_MAX: usize = 10_000;

/// A bucket for each key, all of one size, filled again at one rate.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_second: f64,
    size: f64,
    held: Mutex<HashMap<Option<K>, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// Buckets of `size` that fill again at `per_second`; none at all if that is 0: then nothing is limited.
    pub(super) fn new(per_second: f64, size: u32) -> Option<Self> {
        (per_second > 0.0).then(|| Self { per_second, size: f64::from(size.max(1)), held: Mutex::new(HashMap::new()) })
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    /// How long until there is one, if it is empty.
    pub(super) fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let key = self.make_room(&mut held, key, now);
        let level = held.get(&key).map_or(self.size, |bucket| self.level(*bucket, now));
        let taken = self.check(level);
        held.insert(key, Bucket { level: if taken.is_ok() { level - 1.0 } else { level }, at: now });
        taken
    }

    /// Whether the bucket of `key` has one; takes nothing.
    ///
    /// # Errors
    /// As [`Buckets::take`].
    pub(super) fn look(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(&Some(key.clone())).or_else(|| held.get(&None).filter(|_| held.len() >= BUCKETS_MAX));
        self.check(own.map_or(self.size, |bucket| self.level(*bucket, now)))
    }

    fn level(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.level + since * self.per_second).min(self.size)
    }

    fn check(&self, level: f64) -> Result<(), Duration> {
        match level >= 1.0 {
            true => Ok(()),
            false => Err(Duration::from_secs_f64((1.0 - level) / self.per_second)),
        }
    }

    /// The key whose bucket serves `key`: its own if there is room, else the common one. Full buckets are forgotten
    /// when room is needed.
    fn make_room(&self, held: &mut HashMap<Option<K>, Bucket>, key: K, now: Instant) -> Option<K> {
        let own = Some(key);
        if held.len() < BUCKETS_MAX || held.contains_key(&own) {
            return own;
        }
        held.retain(|_, bucket| self.level(*bucket, now) < self.size);
        if held.len() < BUCKETS_MAX { own } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_again() {
        let buckets = Buckets::new(2.0, 3).unwrap();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        for (ms, key, expected) in [
            (0, "a", Ok(())),
            (0, "a", Ok(())),
            (0, "a", Ok(())),
            (0, "a", Err(500)),
            (100, "a", Err(400)),
            (100, "b", Ok(())),
            (500, "a", Ok(())),
            (500, "a", Err(500)),
            (60_000, "a", Ok(())),
            (60_000, "a", Ok(())),
            (60_000, "a", Ok(())),
            (60_000, "a", Err(500)),
        ] {
            let looked = buckets.look(&key, at(ms));
            let taken = buckets.take(key, at(ms));
            assert_eq!(looked, taken, "looking takes nothing");
            assert_eq!(taken.map_err(|pause| pause.as_millis()), expected, "{key} at {ms} ms");
        }
    }

    #[test]
    fn nothing_is_limited_at_the_rate_0() {
        assert!(Buckets::<u8>::new(0.0, 5).is_none());
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let buckets = Buckets::new(1.0, 1).unwrap();
        let start = Instant::now();
        for key in 0..BUCKETS_MAX {
            buckets.take(key, start).unwrap();
        }
        // Two newcomers share a bucket.
        assert!(buckets.take(BUCKETS_MAX, start).is_ok());
        assert!(buckets.take(BUCKETS_MAX + 1, start).is_err());
        assert!(buckets.look(&(BUCKETS_MAX + 2), start).is_err());
        assert_eq!(buckets.held.lock().unwrap().len(), BUCKETS_MAX + 1);
        // Once the others are full again, there is room.
        let later = start + Duration::from_secs(2);
        assert!(buckets.take(BUCKETS_MAX + 1, later).is_ok());
        assert_eq!(buckets.held.lock().unwrap().len(), 1);
    }
}
