//! How much of something one caller may have open at once, so that none takes what is there for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::Principal;

/// Counts what each caller has open. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    most: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Rooms,
    caller: String,
}

impl Rooms {
    /// So many places for each caller.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place for that caller; nothing if all of its places are taken.
    pub(crate) fn enter(&self, caller: &Principal) -> Option<Room> {
        let mut taken = self.lock();
        let count = taken.entry(caller.name.clone()).or_default();
        (*count < self.most).then(|| {
            *count += 1;
            Room { rooms: self.clone(), caller: caller.name.clone() }
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Whether it is one of that caller's.
    pub(crate) fn is_of(&self, caller: &Principal) -> bool {
        self.caller == caller.name
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut taken = self.rooms.lock();
        if let Some(count) = taken.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_its_own_places_and_gets_them_back() {
        let rooms = Rooms::new(2);
        let (one, other) = (Principal::agent("one"), Principal::agent("other"));
        let taken = [rooms.enter(&one), rooms.enter(&one)];
        assert!(taken.iter().all(Option::is_some) && rooms.enter(&one).is_none());
        assert!(rooms.enter(&other).is_some());
        drop(taken);
        assert!(rooms.lock().is_empty());
        assert!(rooms.enter(&one).is_some());
    }
}
