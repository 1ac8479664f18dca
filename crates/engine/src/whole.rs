//! Work that is seen to its end even if nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// Does `work` where it is awaited. If whoever awaits it goes away in the middle, a task among `tasks` takes it over.
///
/// For a change that the store makes whether or not anybody still waits for it, with what must follow from it: a request
/// that is given up must not leave a claimed job that nobody starts. Work that was never begun is dropped.
pub(crate) fn whole<T: Send + 'static>(
    tasks: &TaskTracker,
    work: impl Future<Output = T> + Send + 'static,
) -> Whole<'_, T> {
    Whole { tasks, work: Some(Box::pin(work)), begun: false }
}

/// See [`whole`].
pub(crate) struct Whole<'a, T: Send + 'static> {
    tasks: &'a TaskTracker,
    /// Absent once it is done, or has panicked.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    begun: bool,
}

impl<T: Send + 'static> Future for Whole<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        self.begun = true;
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Whole<'_, T> {
    fn drop(&mut self) {
        // Without a runtime the process ends, and the next one finds what was stored.
        if let (true, Some(work), Ok(runtime)) = (self.begun, self.work.take(), Handle::try_current()) {
            drop(self.tasks.spawn_on(work, &runtime));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    fn poll<T: Send>(whole: &mut Whole<'_, T>) -> Poll<T> {
        Pin::new(whole).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn what_was_begun_is_done_without_whoever_began_it() {
        let tasks = TaskTracker::new();
        let (go, may_go) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut work = whole(&tasks, async {
            may_go.await.unwrap();
            done.send("done").unwrap();
        });
        assert!(poll(&mut work).is_pending());
        drop(work);
        go.send(()).unwrap();
        assert_eq!(is_done.await, Ok("done"));
    }

    #[tokio::test]
    async fn what_was_not_begun_or_is_done_takes_no_task() {
        let tasks = TaskTracker::new();
        drop(whole(&tasks, async { panic!("begun") }));
        let mut work = whole(&tasks, async { 7 });
        assert_eq!(poll(&mut work), Poll::Ready(7));
        drop(work);
        assert!(tasks.is_empty());
    }
}
