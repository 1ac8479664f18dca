//! What the operations and the loops share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::{Effect, Event, EventRecord, StateName};
use longshore_domain::store::{Change, Claim, ClaimedJob, Store, StoreError};
use longshore_domain::{AttemptNumber, Job, JobId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::clock::{Clock, new_nonces};
use crate::disowned::Disowned;
use crate::hub::Hub;
use crate::live::{LiveAttempt, Stop};
use crate::peers::Peers;
use crate::process::{Progress, ShimControl, Spawner};
use crate::seen::Seen;
use crate::settings::Settings;
use crate::whole::whole;

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) spawner: Spawner,
    /// The way to other nodes, if there are any.
    pub(crate) peers: Option<Arc<dyn Peers>>,
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
    /// An attempt began here, so leases need renewing.
    pub(crate) leased: Notify,
    /// An attempt began somewhere, so that a lease may run out.
    pub(crate) claimed: Notify,
    live: Mutex<HashMap<JobId, LiveAttempt>>,
    /// Taken after `live`.
    disowned: Mutex<Disowned>,
    /// How many want to be told of a job's output as it comes, whether or not an attempt is followed yet.
    readers: Mutex<HashMap<JobId, usize>>,
    /// Ends that chats were answered with.
    pub(crate) seen: Seen,
    /// Held by whoever applies the retention.
    pub(crate) cleaning: tokio::sync::Mutex<()>,
    pub(crate) tasks: TaskTracker,
    /// The node was told to take no more jobs: nothing else changes for anybody.
    pub(crate) resting: AtomicBool,
    /// No new attempt is started once this is set, and nobody waits for anything any more.
    pub(crate) draining: CancellationToken,
    /// Everything of this process ends.
    pub(crate) closing: CancellationToken,
}

impl Inner {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        spawner: Spawner,
        hub: Arc<Hub>,
        peers: Option<Arc<dyn Peers>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            slots: Arc::new(Semaphore::new(settings.node.capacity as usize)),
            settings,
            hub,
            spawner,
            peers,
            ready: Notify::new(),
            starved: AtomicBool::new(false),
            due: Notify::new(),
            settle: Notify::new(),
            leased: Notify::new(),
            claimed: Notify::new(),
            live: Mutex::default(),
            disowned: Mutex::default(),
            readers: Mutex::default(),
            seen: Seen::default(),
            cleaning: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            resting: AtomicBool::new(false),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Room for one more attempt, if there is some and new attempts are still started.
    pub(crate) fn try_slot(&self) -> Option<OwnedSemaphorePermit> {
        match self.takes_jobs() {
            true => Arc::clone(&self.slots).try_acquire_owned().ok(),
            false => None,
        }
    }

    fn takes_jobs(&self) -> bool {
        !self.draining.is_cancelled() && !self.resting.load(Ordering::SeqCst)
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
            holder: self.settings.node.id,
            labels: self.settings.node.labels.clone(),
            boot: self.settings.node.boot.clone(),
            lease: self.settings.lease,
            nonces: new_nonces(count),
        }
    }

    /// Records an event and does what follows from it, even if whoever asked goes away meanwhile.
    pub(crate) async fn record(self: &Arc<Self>, job: JobId, event: Event) -> Result<Change, StoreError> {
        let inner = Arc::clone(self);
        let recording = async move {
            let (result, _) = inner.store.record(job, event, None, inner.clock.now()).await;
            if let Ok(change) = &result {
                inner.committed(change);
            }
            result
        };
        whole(&self.tasks, recording).await
    }

    /// Records the end of an attempt whose slot may be taken over by the next job.
    ///
    /// A store that cannot write is asked again, for ever with growing pauses: the exit record keeps the end safe.
    pub(crate) async fn record_end(&self, job: JobId, event: Event, reuse: bool) -> (bool, Vec<ClaimedJob>) {
        let mut pause = Duration::from_millis(100);
        loop {
            let claim = (reuse && self.takes_jobs()).then(|| self.claim(1));
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

    /// Begins to follow an attempt that has begun; call [`Inner::unfollow`] when it is over.
    pub(crate) fn follow(&self, job: &Job) {
        let live = LiveAttempt::of(job);
        live.pass_stop_on();
        self.lock_live().insert(job.id, live);
        self.leased.notify_one();
    }

    /// The same for an attempt that is to begin; whether it may. If not, others were told that it never will.
    pub(crate) fn begin(&self, job: &Job) -> bool {
        let mut live = self.lock_live();
        let may = !lock(&self.disowned).has(job.id, job.attempt);
        if may {
            live.insert(job.id, LiveAttempt::of(job));
            self.leased.notify_one();
        }
        may
    }

    pub(crate) fn unfollow(&self, job: JobId) {
        self.lock_live().remove(&job);
    }

    /// Gives a followed attempt its line to the shim; a stop that was asked for meanwhile is passed on.
    pub(crate) fn connected(&self, job: JobId, control: ShimControl) {
        if let Some(live) = self.lock_live().get_mut(&job) {
            if lock(&self.readers).contains_key(&job) {
                control.follow(true);
            }
            live.control = Some(control);
            live.pass_stop_on();
        }
    }

    /// Notes that the command of a followed attempt is on record as running, and who waits for its deadline.
    pub(crate) fn runs(&self, job: &Job, deadline: Option<AbortOnDropHandle<()>>) {
        let mut lives = self.lock_live();
        if let Some(live) = lives.get_mut(&job.id).filter(|live| live.attempt == job.attempt && !live.over) {
            live.runs(job, deadline);
        }
    }

    pub(crate) fn progressed(&self, job: JobId, progress: Option<Progress>) {
        if let (Some(live), Some(progress)) = (self.lock_live().get_mut(&job), progress) {
            live.progress = Some(progress);
        }
        self.hub.tell(job);
    }

    pub(crate) fn progress(&self, job: JobId, attempt: AttemptNumber) -> Option<Progress> {
        self.lock_live().get(&job).filter(|live| live.attempt == attempt)?.progress.clone()
    }

    /// Whether an attempt runs here.
    pub(crate) fn is_live(&self, job: JobId, attempt: AttemptNumber) -> bool {
        self.lock_live().get(&job).is_some_and(|live| live.attempt == attempt)
    }

    /// The same, and if it does not it never will.
    pub(crate) fn answers_for(&self, job: JobId, attempt: AttemptNumber) -> bool {
        let live = self.lock_live();
        let lives = live.get(&job).is_some_and(|live| live.attempt == attempt);
        if !lives {
            lock(&self.disowned).add(job, attempt);
        }
        lives
    }

    /// Whether this process follows an attempt at present.
    pub(crate) fn has_live(&self) -> bool {
        !self.lock_live().is_empty()
    }

    /// Notes that an attempt has ended: from now on nothing is to be stopped.
    pub(crate) fn over(&self, job: JobId) {
        if let Some(live) = self.lock_live().get_mut(&job) {
            live.ended();
        }
    }

    /// The attempts that run here.
    pub(crate) fn live_attempts(&self) -> Vec<(JobId, AttemptNumber)> {
        let live = self.lock_live();
        live.iter().filter(|(_, live)| !live.over).map(|(job, live)| (*job, live.attempt)).collect()
    }

    /// Does to an attempt that runs here what an event asks for, whoever recorded it.
    pub(crate) fn heard(&self, event: &EventRecord) {
        let live = self.lock_live().get(&event.job).map(|live| live.attempt);
        match live {
            Some(attempt) if event.attempt > attempt => self.fence(event.job, attempt),
            Some(attempt) if event.attempt == attempt && !event.state.is_live() => self.fence(event.job, attempt),
            Some(attempt) if event.state == StateName::Stopping => self.stop(event.job, attempt),
            _ => {}
        }
    }

    /// Does to an attempt that runs here what its job, as it was read just now, asks for.
    pub(crate) fn found(&self, job: &Job, attempt: AttemptNumber) {
        match job.state.lease() {
            Some(lease) if lease.token == attempt && job.state.name() == StateName::Stopping => {
                self.stop(job.id, attempt);
            }
            Some(lease) if lease.token == attempt => {}
            _ => self.fence(job.id, attempt),
        }
    }

    fn stop(&self, job: JobId, attempt: AttemptNumber) {
        self.order(job, attempt, Stop::Asked);
    }

    /// Ends an attempt at once whose lease is lost: another one may begin elsewhere.
    pub(crate) fn fence(&self, job: JobId, attempt: AttemptNumber) {
        if self.order(job, attempt, Stop::Fenced) {
            tracing::warn!(job.id = %job, attempt = attempt.0, "the lease of an attempt is lost: it is stopped");
            self.hub.tell(job);
        }
    }

    /// Whether the order is new to an attempt that runs here.
    fn order(&self, job: JobId, attempt: AttemptNumber, stop: Stop) -> bool {
        let mut lives = self.lock_live();
        let live = lives.get_mut(&job).filter(|live| live.attempt == attempt && !live.over);
        live.is_some_and(|live| live.order(stop))
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
    /// Awaits an answer, but no longer once the engine drains.
    ///
    /// # Errors
    /// As the answer; `store_unavailable` from an engine that drains.
    pub(crate) async fn unless_draining<T>(&self, answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        tokio::select! {
            answer = answer => answer,
            () = self.draining.cancelled() => Err(stopping()),
        }
    }

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
