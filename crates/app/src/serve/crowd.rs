//! How many connections there are at once. One without a request under way gives way to a newer one, whoever was heard of
//! longest ago first: so whoever opens many and says nothing keeps nobody out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::Notify;

/// The connections of one door. Clones are the same.
#[derive(Clone)]
pub(super) struct Crowd {
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: usize,
    /// Those without a request, by when they last had one.
    idle: BTreeMap<u64, Arc<Notify>>,
    newest: u64,
}

/// The place of one connection, until it is dropped.
pub(super) struct Place {
    crowd: Crowd,
    /// Its number among the idle, or [`BUSY`].
    since: AtomicU64,
    gives_way: Arc<Notify>,
}

/// What no place has that is idle.
const BUSY: u64 = 0;

/// A request under way, until it is dropped.
pub(super) struct Busy(Arc<Place>);

impl Crowd {
    /// Room for so many connections.
    pub(super) fn of_at_most(most: usize) -> Self {
        Self { most, state: Arc::default() }
    }

    /// A place for one more; nothing if there are enough, and all of them busy.
    pub(super) fn enter(&self) -> Option<Arc<Place>> {
        let gives_way = Arc::new(Notify::new());
        let mut state = self.lock();
        if state.open >= self.most {
            state.idle.pop_first()?.1.notify_one();
        }
        state.open += 1;
        let since = AtomicU64::new(state.idles(Arc::clone(&gives_way)));
        Some(Arc::new(Place { crowd: self.clone(), since, gives_way }))
    }

    /// Has all give way that are idle.
    pub(super) fn disperse(&self) {
        std::mem::take(&mut self.lock().idle).values().for_each(|place| place.notify_one());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn idles(&mut self, place: Arc<Notify>) -> u64 {
        self.newest += 1;
        self.idle.insert(self.newest, place);
        self.newest
    }
}

impl Place {
    /// Keeps the place while a request is under way.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.crowd.lock().idle.remove(&self.since.swap(BUSY, Ordering::Relaxed));
        Busy(Arc::clone(self))
    }

    /// Returns once it has to give way, unless a request came in the same moment. Cancel safe.
    pub(super) async fn gives_way(&self) {
        loop {
            self.gives_way.notified().await;
            if self.since.load(Ordering::Relaxed) != BUSY {
                return;
            }
        }
    }
}

impl Busy {
    /// A stream is under way until its end; the rest of any other answer is out of our hands.
    pub(super) fn until_sent(self, answer: Response) -> Response {
        if answer.body().size_hint().exact().is_some() {
            return answer;
        }
        answer.map(|body| {
            Body::from_stream(body.into_data_stream().inspect(move |_| {
                let _under_way = &self;
            }))
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let place = &self.0;
        let mut state = place.crowd.lock();
        place.since.store(state.idles(Arc::clone(&place.gives_way)), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.crowd.lock();
        state.idle.remove(&self.since.load(Ordering::Relaxed));
        state.open -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn has_gone(place: &Place) -> bool {
        place.gives_way().now_or_never().is_some()
    }

    #[test]
    fn whoever_was_heard_of_longest_ago_gives_way() {
        let crowd = Crowd::of_at_most(2);
        let [first, second] = [crowd.enter().unwrap(), crowd.enter().unwrap()];
        drop(first.busy());
        let third = crowd.enter().unwrap();
        assert_eq!([&first, &second, &third].map(|place| has_gone(place)), [false, true, false]);
        drop(second);
        let fourth = crowd.enter().unwrap();
        assert_eq!([&first, &third, &fourth].map(|place| has_gone(place)), [true, false, false]);
        drop(first);
        crowd.disperse();
        assert!(has_gone(&third) && has_gone(&fourth));
        drop((third, fourth));
        let state = crowd.lock();
        assert_eq!((state.open, state.idle.len()), (0, 0));
    }

    #[test]
    fn a_request_that_comes_in_that_moment_is_answered() {
        let crowd = Crowd::of_at_most(1);
        let place = crowd.enter().unwrap();
        let other = crowd.enter().unwrap();
        let busy = place.busy();
        assert!(!has_gone(&place));
        drop((other, busy));
        assert!(crowd.enter().is_some() && has_gone(&place));
    }

    #[tokio::test]
    async fn nobody_gives_way_in_the_middle_of_a_request() {
        let crowd = Crowd::of_at_most(1);
        let place = crowd.enter().unwrap();
        let busy = place.busy();
        assert!(crowd.enter().is_none());
        let stream = Body::from_stream(futures_util::stream::iter([Ok::<_, std::convert::Infallible>("bytes")]));
        let answer = busy.until_sent(Response::new(stream));
        assert!(crowd.enter().is_none());
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(body, "bytes");
        assert!(crowd.enter().is_some() && has_gone(&place));
        drop(place.busy().until_sent(Response::new("whole".into())));
        assert!(crowd.enter().is_some());
    }
}
