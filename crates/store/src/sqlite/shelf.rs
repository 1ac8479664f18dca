//! What was read since the last commit. Clients that poll read the same again and again while nothing happens.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most entries; what does not fit makes room for itself alone. A job has about a kilobyte.
const ENTRIES_MAX: usize = 4096;

/// Answers to one query by its key, all as of one commit.
pub(super) struct Shelf<K, V>(Mutex<Kept<K, V>>);

struct Kept<K, V> {
    commit: u64,
    entries: HashMap<K, V>,
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Kept { commit: 0, entries: HashMap::new() }))
    }
}

impl<K: Eq + Hash, V: Clone> Shelf<K, V> {
    /// The answer as of `commit`, if it is kept.
    pub(super) fn get(&self, commit: u64, key: &K) -> Option<V> {
        let kept = self.lock();
        if kept.commit == commit { kept.entries.get(key).cloned() } else { None }
    }

    /// Keeps an answer that holds until something is committed after `commit`.
    pub(super) fn put(&self, commit: u64, key: K, answer: V) {
        let mut kept = self.lock();
        if kept.commit > commit {
            return;
        }
        if kept.commit < commit || kept.entries.len() >= ENTRIES_MAX {
            *kept = Kept { commit, entries: HashMap::new() };
        }
        kept.entries.insert(key, answer);
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_until_the_next_commit() {
        let shelf = Shelf::default();
        shelf.put(7, "a", 1);
        assert_eq!((shelf.get(7, &"a"), shelf.get(7, &"b"), shelf.get(8, &"a")), (Some(1), None, None));
        shelf.put(8, "b", 2);
        assert_eq!((shelf.get(7, &"a"), shelf.get(8, &"a"), shelf.get(8, &"b")), (None, None, Some(2)));
        shelf.put(7, "b", 1);
        assert_eq!(shelf.get(8, &"b"), Some(2));
    }

    #[test]
    fn it_never_grows_without_end() {
        let shelf = Shelf::default();
        (0..=ENTRIES_MAX).for_each(|key| shelf.put(1, key, ()));
        assert_eq!(shelf.lock().entries.len(), 1);
        assert_eq!(shelf.get(1, &ENTRIES_MAX), Some(()));
    }
}
