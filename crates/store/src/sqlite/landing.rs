//! Answers to requests whose transaction was committed, once the disk has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Handle;

use super::errors::Trouble;
use super::log::Log;
use super::writer::Request;

/// Batches that may wait for the thread that syncs; beyond that the writer waits.
const FLIGHTS_MAX: usize = 4;

/// Requests that were worked on together.
pub(super) type Batch = Vec<Box<dyn Request>>;

/// A batch that was committed and waits for its sync.
struct Flight {
    batch: Batch,
    commit: u64,
}

/// Has batches synced and answered, on the writer's own thread or on another one.
pub(super) struct Landing {
    log: Arc<Log>,
    runtime: Handle,
    flights: mpsc::SyncSender<Flight>,
    flying: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Landing {
    /// Starts the thread. Answers are given on `runtime`.
    ///
    /// # Errors
    /// If there is no room for a thread.
    pub(super) fn start(log: Arc<Log>, runtime: Handle) -> std::io::Result<Self> {
        let (flights, waiting) = mpsc::sync_channel(FLIGHTS_MAX);
        let flying = Arc::new(AtomicUsize::new(0));
        let land = {
            let (log, runtime, flying) = (Arc::clone(&log), runtime.clone(), Arc::clone(&flying));
            move || land(&log, &runtime, &waiting, &flying)
        };
        let thread = thread::Builder::new().name("store-sync".into()).spawn(land)?;
        Ok(Self { log, runtime, flights, flying, thread })
    }

    /// Numbers a commit that is about to be made.
    pub(super) fn begin(&self) -> u64 {
        self.log.begin()
    }

    /// Answers a batch of which nothing was committed.
    pub(super) fn refuse(&self, batch: Batch, commit: u64, cause: Arc<Trouble>) {
        self.log.settle(commit);
        self.runtime.spawn(answer(batch, Err(cause)));
    }

    /// Syncs and answers a batch; whether the disk took it. If not, nothing more may be committed.
    pub(super) fn land(&self, batch: Batch, commit: u64) -> bool {
        let outcome = sync(&self.log, commit);
        let landed = outcome.is_ok();
        self.runtime.spawn(answer(batch, outcome));
        landed
    }

    /// Has a batch synced and answered beside the writer's work; whether the disk still takes what it is given.
    pub(super) fn take_off(&self, batch: Batch, commit: u64) -> bool {
        self.flying.fetch_add(batch.len(), Ordering::Relaxed);
        self.flights.send(Flight { batch, commit }).is_ok()
    }

    /// How many requests wait for their sync.
    pub(super) fn flying(&self) -> usize {
        self.flying.load(Ordering::Relaxed)
    }

    /// Returns once all are answered. Whoever reads waits for nothing any more.
    pub(super) fn end(self) {
        drop(self.flights);
        drop(self.thread.join());
        self.log.give_up();
    }
}

/// Serves until nobody sends any more, or the disk fails.
fn land(log: &Log, runtime: &Handle, waiting: &mpsc::Receiver<Flight>, flying: &AtomicUsize) {
    while let Ok(first) = waiting.recv() {
        let mut commit = first.commit;
        let mut batches = vec![first.batch];
        for flight in waiting.try_iter() {
            commit = flight.commit;
            batches.push(flight.batch);
        }
        let outcome = sync(log, commit);
        flying.fetch_sub(batches.iter().map(Vec::len).sum(), Ordering::Relaxed);
        let failed = outcome.is_err();
        batches.into_iter().for_each(|batch| drop(runtime.spawn(answer(batch, outcome.clone()))));
        if failed {
            return;
        }
    }
}

fn sync(log: &Log, commit: u64) -> Result<(), Arc<Trouble>> {
    match log.sync() {
        Ok(()) => {
            log.settle(commit);
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "store stops: what was committed may not be on the disk");
            Err(Arc::new(Trouble::Unsynced(error)))
        }
    }
}

/// Waking a caller costs a fraction on its runtime of what it costs from outside.
async fn answer(batch: Batch, outcome: Result<(), Arc<Trouble>>) {
    for request in batch {
        request.answer(outcome.as_ref().copied());
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use tokio::sync::oneshot;

    use super::*;
    use crate::sqlite::desk::Desk;
    use crate::sqlite::errors::Attempted;

    struct Asked(oneshot::Sender<Result<(), String>>);

    impl Request for Asked {
        fn work(&mut self, _: &mut Desk<'_>) -> Attempted<()> {
            Ok(())
        }

        fn answer(self: Box<Self>, outcome: Result<(), &Arc<Trouble>>) {
            self.0.send(outcome.map_err(|trouble| trouble.to_string())).unwrap();
        }
    }

    fn landing_on(file: File) -> Landing {
        Landing::start(Arc::new(Log::over(file)), Handle::current()).unwrap()
    }

    fn ask() -> (Batch, oneshot::Receiver<Result<(), String>>) {
        let (sender, answer) = oneshot::channel();
        (vec![Box::new(Asked(sender))], answer)
    }

    #[tokio::test]
    async fn a_batch_is_answered_once_it_is_synced_here_or_there() {
        let landing = landing_on(tempfile::tempfile().unwrap());
        let (here, answered_here) = ask();
        assert!(landing.land(here, landing.begin()));
        let (there, answered_there) = ask();
        assert!(landing.take_off(there, landing.begin()));
        assert_eq!(answered_here.await.unwrap(), Ok(()));
        assert_eq!(answered_there.await.unwrap(), Ok(()));
        assert_eq!(landing.flying(), 0);
        landing.log.caught_up().await;
        landing.end();
    }

    #[tokio::test]
    async fn what_the_disk_does_not_take_is_answered_so_and_nothing_follows() {
        // Nothing behind this name can be synced.
        let landing = landing_on(File::open("/dev/null").unwrap());
        let (here, answered_here) = ask();
        assert!(!landing.land(here, landing.begin()));
        assert!(answered_here.await.unwrap().is_err());
        let (there, answered_there) = ask();
        landing.take_off(there, landing.begin());
        assert!(answered_there.await.unwrap().is_err());
        let log = Arc::clone(&landing.log);
        landing.end();
        log.caught_up().await;
    }
}
