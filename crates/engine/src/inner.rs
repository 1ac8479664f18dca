//! What the operations and the loops share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{Effect, Event, StateName};
use longshore_domain::store::{Change, Claim, ClaimedJob, Store, StoreError};
use longshore_domain::{AttemptNumber, Job, JobId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, new_nonce};
use crate::hub::Hub;
use crate::process::{Progress, ShimControl, Spawner};
use crate::seen::Seen;
use crate::settings::Settings;

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) spawner: Spawner,
    /// Room for attempts on this node; one permit each.
    pub(crate) slots: Arc<Semaphore>,
    /// Some queue has a job that may be claimable.
    pub(crate) ready: Notify,
    /// The dispatcher found no slot; whoever frees one calls it.
    pub(crate) starved: AtomicBool,
    /// A job or a question may fall due sooner than the keeper thinks.
    pub(crate) due: Notify,
    /// A finished job has dependents to tell.
    pub(crate) settle: Notify,
    /// An attempt began, so leases need renewing.
    pub(crate) leased: Notify,
    live: Mutex<HashMap<JobId, LiveAttempt>>,
    /// How many want to be told of a job's output as it comes, whether or not an attempt is followed yet.
    readers: Mutex<HashMap<JobId, usize>>,
    /// Ends that chats were answered with.
    pub(crate) seen: Seen,
    pub(crate) tasks: TaskTracker,
    /// No new attempt is started once this is set, and nobody waits for anything any more.
    pub(crate) draining: CancellationToken,
    /// Everything of this process ends.
    pub(crate) closing: CancellationToken,
}

/// An attempt that this process follows.
struct LiveAttempt {
    attempt: AttemptNumber,
    control: Option<ShimControl>,
    stop_wanted: bool,
    progress: Option<Progress>,
}

impl Inner {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        spawner: Spawner,
        hub: Arc<Hub>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            slots: Arc::new(Semaphore::new(settings.capacity)),
            settings,
            hub,
            spawner,
            ready: Notify::new(),
            starved: AtomicBool::new(false),
            due: Notify::new(),
            settle: Notify::new(),
            leased: Notify::new(),
            live: Mutex::default(),
            readers: Mutex::default(),
            seen: Seen::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Room for one more attempt, if there is some and new attempts are still started.
    pub(crate) fn try_slot(&self) -> Option<OwnedSemaphorePermit> {
        match self.draining.is_cancelled() {
            true => None,
            false => Arc::clone(&self.slots).try_acquire_owned().ok(),
        }
    }

    /// Gives room back. Calls the dispatcher if it went away for want of it.
    pub(crate) fn give_back(&self, slot: OwnedSemaphorePermit) {
        drop(slot);
        if self.starved.swap(false, Ordering::SeqCst) {
            self.ready.notify_one();
        }
    }

    /// A claim of at most `count` jobs for this node.
    pub(crate) fn claim(&self, count: usize) -> Claim {
        Claim {
            holder: self.settings.node,
            boot: self.settings.boot.clone(),
            lease: self.settings.lease,
            nonces: (0..count).map(|_| new_nonce()).collect(),
        }
    }

    /// Records an event and does what follows from it.
    pub(crate) async fn record(&self, job: JobId, event: Event) -> Result<Change, StoreError> {
        let (result, _) = self.store.record(job, event, None, self.clock.now()).await;
        if let Ok(change) = &result {
            self.committed(change);
        }
        result
    }

    /// Records the end of an attempt whose slot may be taken over by the next job.
    ///
    /// A store that cannot write is asked again, for ever with growing pauses: the exit record keeps the end safe.
    pub(crate) async fn record_end(&self, job: JobId, event: Event, reuse: bool) -> (bool, Vec<ClaimedJob>) {
        let mut pause = Duration::from_millis(100);
        loop {
            let claim = (reuse && !self.draining.is_cancelled()).then(|| self.claim(1));
            let (result, claimed) = self.store.record(job, event.clone(), claim, self.clock.now()).await;
            match result {
                Ok(change) => {
                    self.committed(&change);
                    return (true, claimed);
                }
                Err(StoreError::Refused(refusal)) => {
                    tracing::warn!(job.id = %job, %refusal, "the end of an attempt was refused");
                    return (true, claimed);
                }
                Err(StoreError::JobNotFound(_) | StoreError::Closed) => return (false, claimed),
                Err(error) => {
                    tracing::error!(job.id = %job, %error, "the end of an attempt could not be stored yet");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(30)),
                        () = self.closing.cancelled() => return (false, claimed),
                    }
                }
            }
        }
    }

    /// Tells whoever listens about a durable change, and does what it asks for.
    pub(crate) fn committed(&self, change: &Change) {
        tracing::info!(
            job.id = %change.job.id,
            attempt = change.job.attempt.0,
            state = %change.job.state.name(),
            "job changed"
        );
        for effect in &change.effects {
            match effect {
                Effect::Ready => self.ready.notify_one(),
                Effect::Timer(_) => self.due.notify_one(),
                Effect::Settle => self.settle.notify_one(),
                Effect::Stop(attempt) => self.stop(change.job.id, *attempt),
                Effect::Freed | Effect::Learn(_) | Effect::Ask(_) | Effect::Close { .. } => {}
            }
        }
        self.announce(change.job.id);
    }

    /// Wakes everybody who waits for news of the job or of any job.
    pub(crate) fn announce(&self, job: JobId) {
        self.hub.tell(job);
        self.hub.committed();
    }

    /// Begins to follow an attempt; call [`Inner::unfollow`] when it is over.
    pub(crate) fn follow(&self, job: &Job) {
        let stop_wanted = job.state.name() == StateName::Stopping;
        let live = LiveAttempt { attempt: job.attempt, control: None, stop_wanted, progress: None };
        self.lock_live().insert(job.id, live);
        self.leased.notify_one();
    }

    pub(crate) fn unfollow(&self, job: JobId) {
        self.lock_live().remove(&job);
    }

    /// Gives a followed attempt its line to the shim; a stop that was asked for meanwhile is passed on.
    pub(crate) fn connected(&self, job: JobId, control: ShimControl) {
        if let Some(live) = self.lock_live().get_mut(&job) {
            if live.stop_wanted {
                control.stop(false);
            }
            if lock(&self.readers).contains_key(&job) {
                control.follow(true);
            }
            live.control = Some(control);
        }
    }

    pub(crate) fn progressed(&self, job: JobId, progress: Option<Progress>) {
        if let (Some(live), Some(progress)) = (self.lock_live().get_mut(&job), progress) {
            live.progress = Some(progress);
        }
        self.hub.tell(job);
    }

    pub(crate) fn progress(&self, job: JobId) -> Option<Progress> {
        self.lock_live().get(&job)?.progress.clone()
    }

    /// Whether this process follows an attempt at present.
    pub(crate) fn has_live(&self) -> bool {
        !self.lock_live().is_empty()
    }

    fn stop(&self, job: JobId, attempt: AttemptNumber) {
        if let Some(live) = self.lock_live().get_mut(&job).filter(|live| live.attempt == attempt) {
            live.stop_wanted = true;
            if let Some(control) = &live.control {
                control.stop(false);
            }
        }
    }

    /// Has the shim tell of new output for as long as the guard lives.
    pub(crate) fn watch_output(self: &Arc<Self>, job: JobId) -> OutputWatch {
        let live = self.lock_live();
        let mut readers = lock(&self.readers);
        let count = readers.entry(job).or_insert(0);
        *count += 1;
        if let (1, Some(control)) = (*count, live.get(&job).and_then(|live| live.control.as_ref())) {
            control.follow(true);
        }
        OutputWatch { inner: Arc::clone(self), job }
    }

    fn unwatch_output(&self, job: JobId) {
        let live = self.lock_live();
        let mut readers = lock(&self.readers);
        let Some(count) = readers.get_mut(&job) else { return };
        *count -= 1;
        if *count == 0 {
            readers.remove(&job);
            if let Some(control) = live.get(&job).and_then(|live| live.control.as_ref()) {
                control.follow(false);
            }
        }
    }

    fn lock_live(&self) -> MutexGuard<'_, HashMap<JobId, LiveAttempt>> {
        lock(&self.live)
    }
}

/// The maps hold no invariant that a panic elsewhere could have broken.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Awaits news until `deadline` or until the engine drains; whether they came. Cancel safe if `news` is.
    pub(crate) async fn came<T>(&self, news: impl Future<Output = T>, deadline: Instant) -> bool {
        tokio::select! {
            came = tokio::time::timeout_at(deadline, news) => came.is_ok(),
            () = self.draining.cancelled() => false,
        }
    }
}

/// While it lives, new output of its job is announced.
pub(crate) struct OutputWatch {
    inner: Arc<Inner>,
    job: JobId,
}

impl Drop for OutputWatch {
    fn drop(&mut self) {
        self.inner.unwatch_output(self.job);
    }
}

/// The answer of an operation that the engine cannot take on because it is stopping.
pub(crate) fn stopping() -> Fault {
    Fault::new(FaultCode::StoreUnavailable, "the daemon is stopping and takes no new work")
        .next("try again when it is back; nothing was changed")
}
