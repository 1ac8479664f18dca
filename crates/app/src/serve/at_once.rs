//! A future that is polled again at once when it wakes itself.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Polls in a row, at most; others are waiting.
const POLLS_MAX: usize = 8;

/// Keeps the future inside from being queued behind others, and from waking another thread to look for work, whenever
/// it wakes itself. hyper does that about twice for each request, when the body changes hands within its own task.
pub(super) struct AtOnce<F> {
    inner: Pin<Box<F>>,
    state: Arc<State>,
    waker: Waker,
}

struct State {
    /// One of [`IDLE`], [`POLLED`] and [`WOKEN`].
    now: AtomicU8,
    outer: AtomicWaker,
}

/// Whoever wakes it passes that on.
const IDLE: u8 = 0;
/// Being polled.
const POLLED: u8 = 1;
/// Being polled, and woken meanwhile.
const WOKEN: u8 = 2;

impl<F> AtOnce<F> {
    pub(super) fn new(inner: F) -> Self {
        let state = Arc::new(State { now: AtomicU8::new(IDLE), outer: AtomicWaker::new() });
        Self { inner: Box::pin(inner), waker: Waker::from(Arc::clone(&state)), state }
    }
}

impl<F: Future> Future for AtOnce<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.state.outer.register(context.waker());
        for _ in 0..POLLS_MAX {
            this.state.now.store(POLLED, Ordering::SeqCst);
            let polled = this.inner.as_mut().poll(&mut Context::from_waker(&this.waker));
            if polled.is_ready() || this.state.now.swap(IDLE, Ordering::SeqCst) == POLLED {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.now.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst) == Err(IDLE) {
            self.outer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Wakes itself on each of so many polls, then is done.
    fn restless(mut left: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |context| match left {
            0 => Poll::Ready(()),
            _ => {
                left -= 1;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
    }

    fn poll<F: Future>(future: &mut AtOnce<F>) -> (Poll<F::Output>, usize) {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let polled = Pin::new(future).poll(&mut Context::from_waker(&waker));
        (polled, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn what_wakes_itself_goes_on_and_nobody_else_is_woken() {
        let mut future = AtOnce::new(restless(POLLS_MAX - 1));
        assert_eq!(poll(&mut future), (Poll::Ready(()), 0));
    }

    #[test]
    fn what_wakes_itself_too_often_lets_others_go_first() {
        let mut future = AtOnce::new(restless(POLLS_MAX));
        assert_eq!(poll(&mut future), (Poll::Pending, 1));
        assert_eq!(poll(&mut future), (Poll::Ready(()), 0));
    }

    #[test]
    fn what_is_woken_by_others_wakes_whoever_waits_for_it() {
        let (waker, woken) = (Arc::new(AtomicWaker::new()), Arc::new(Count::default()));
        let theirs = Arc::clone(&waker);
        let mut future = AtOnce::new(std::future::poll_fn(move |context| {
            theirs.register(context.waker());
            Poll::<()>::Pending
        }));
        let outer = Waker::from(Arc::clone(&woken));
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&outer)).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        waker.wake();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    }
}
