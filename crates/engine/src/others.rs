//! What other processes change in the store: wakes whoever waits for it here, and passes on what concerns attempts that
//! run here. Where no other process can write, nothing here ever runs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::EventSeq;
use longshore_domain::job::{EventRecord, StateName};
use longshore_domain::store::StoreError;
use tokio::sync::Notify;

use crate::inner::Inner;

/// Events read at once.
const EVENTS_MAX: usize = 500;
/// Who is further behind than so many events does not read them: everybody looks for himself instead.
const BEHIND_MAX: u64 = 10_000;
/// Longest time that ready jobs wait of which nobody was told.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// A place in the history up to which the changes of others are known here.
pub(crate) struct Others {
    mark: u64,
    after: EventSeq,
}

impl Others {
    /// Begins here: whatever is read from the store after this is followed by every later change.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn from_now(inner: &Inner) -> Result<Self, StoreError> {
        let mark = inner.store.changed(0).await?;
        Ok(Self { mark, after: inner.store.last_event().await? })
    }

    /// Follows until the engine closes.
    pub(crate) async fn run(mut self, inner: Arc<Inner>) {
        tokio::select! {
            () = inner.closing.cancelled() => {}
            () = self.follow(&inner) => {}
            () = look_now_and_then(&inner.ready, &inner.settle) => {}
            () = watch_schedules(&inner) => {}
        }
    }

    async fn follow(&mut self, inner: &Inner) {
        while let Ok(mark) = inner.store.changed(self.mark).await {
            self.mark = mark;
            while let Err(error) = self.catch_up(inner).await {
                tracing::warn!(%error, "what other nodes change cannot be read");
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }

    async fn catch_up(&mut self, inner: &Inner) -> Result<(), StoreError> {
        loop {
            let events = inner.store.events(self.after, None, EVENTS_MAX).await?;
            let Some(last) = events.last() else {
                // What is told by no event: a document, or that records were removed.
                inner.hub.committed();
                return Ok(());
            };
            pass_on(inner, &events);
            self.after = last.seq;
            if events.len() < EVENTS_MAX {
                return Ok(());
            }
            let newest = inner.store.last_event().await?;
            if newest.0.saturating_sub(self.after.0) > BEHIND_MAX {
                self.after = newest;
                look_anew(inner).await?;
            }
        }
    }
}

/// Has this node look for ready jobs and for dependents to tell: what another node held while this one looked, and let go
/// of or died with, no event tells of.
async fn look_now_and_then(ready: &Notify, settle: &Notify) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        ready.notify_one();
        settle.notify_one();
    }
}

/// Has this node look at schedules that are due and that nobody lets fire: whoever knew of them is gone.
async fn watch_schedules(inner: &Inner) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Ok(Some(Duration::ZERO)) = inner.store.next_firing(inner.clock.now()).await {
            inner.due.notify_one();
        }
    }
}

/// Wakes whom the events may concern. They may be this process's own, which were told before: that does no harm.
fn pass_on(inner: &Inner, events: &[EventRecord]) {
    for event in events {
        inner.heard(event);
    }
    let jobs: BTreeSet<_> = events.iter().map(|event| event.job).collect();
    jobs.into_iter().for_each(|job| inner.hub.tell(job));
    inner.hub.committed();
    let came_to = |states: &[StateName]| events.iter().any(|event| states.contains(&event.state));
    // Whatever left a slot of its queue made room for another.
    if came_to(&[StateName::Queued, StateName::Waiting, StateName::Finished]) {
        inner.ready.notify_one();
    }
    if came_to(&[StateName::Held, StateName::Waiting, StateName::Asking]) {
        inner.due.notify_one();
    }
    if came_to(&[StateName::Claimed]) {
        inner.claimed.notify_one();
    }
    if came_to(&[StateName::Finished]) {
        inner.settle.notify_one();
    }
}

/// Has everybody look at the store, since too much has changed to be told of.
async fn look_anew(inner: &Inner) -> Result<(), StoreError> {
    for (id, attempt) in inner.live_attempts() {
        if let Some(job) = inner.store.job(id).await? {
            inner.found(&job, attempt);
        }
    }
    inner.hub.tell_all();
    inner.hub.committed();
    inner.ready.notify_one();
    inner.due.notify_one();
    inner.claimed.notify_one();
    inner.settle.notify_one();
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ready_jobs_and_dependents_are_looked_for_every_ten_seconds() {
        let (ready, settle) = (Notify::new(), Notify::new());
        let began = Instant::now();
        let looked = async {
            for seconds in [10, 20, 30] {
                tokio::join!(ready.notified(), settle.notified());
                assert_eq!(began.elapsed().as_millis() / 1_000, seconds);
            }
        };
        tokio::select! {
            () = look_now_and_then(&ready, &settle) => unreachable!("it goes on"),
            () = looked => {}
        }
    }
}
