//! The engine: what the doors hold and call.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::Principal;
use longshore_domain::fault::Fault;
use longshore_domain::store::{Queue, Store};

use crate::clock::Clock;
use crate::hub::Hub;
use crate::inner::Inner;
use crate::others::Others;
use crate::peers::Peers;
use crate::process::{Placed, ProcessError, Spawner, SpawnerOptions};
use crate::settings::Settings;
use crate::{dispatch, keeper, keeping, membership, reconcile, rescue};

/// Accepts jobs and brings each to its end. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

/// Who calls an operation, and from which chat.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As proved by a token or connection.
    pub principal: Principal,
    /// The chat, if the door knows it.
    pub conversation: Option<longshore_domain::Conversation>,
}

impl Caller {
    /// The owner of this installation, outside of any chat.
    pub fn owner() -> Self {
        Self { principal: Principal::owner(), conversation: None }
    }
}

impl Engine {
    /// Starts on a store: waits until no spawner of an earlier process is left, takes up every attempt that still
    /// runs or ended meanwhile, and begins to run ready jobs. Returns before the takings-up are done.
    ///
    /// # Errors
    /// If a folder cannot be made, the spawner does not start, or the store cannot be read. Nothing was changed.
    pub async fn open(store: Arc<dyn Store>, clock: Clock, settings: Settings) -> Result<Self, Fault> {
        Self::start(store, clock, settings, None).await
    }

    /// The same as one of several nodes that share the store, which reaches the others through `peers`.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub async fn open_among(
        peers: Arc<dyn Peers>,
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
    ) -> Result<Self, Fault> {
        Self::start(store, clock, settings, Some(peers)).await
    }

    async fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        settings: Settings,
        peers: Option<Arc<dyn Peers>>,
    ) -> Result<Self, Fault> {
        make_folders(&settings)?;
        let spawner = Spawner::launch(spawner_options(&settings)).await.map_err(spawner_failed)?;
        for (name, concurrency) in &settings.queues {
            store.set_queue(Queue { name: name.clone(), concurrency: *concurrency }).await?;
        }
        let inner = Inner::new(store, clock, settings, spawner, Hub::new(), peers);
        membership::join(&inner).await?;
        let others = Others::from_now(&inner).await?;
        let taken_up = reconcile::run(&inner).await?;
        tracing::info!(jobs = taken_up, "attempts of an earlier process taken up");
        inner.tasks.spawn(keeping::resume_sending(Arc::clone(&inner)));
        inner.tasks.spawn(dispatch::run(Arc::clone(&inner)));
        inner.tasks.spawn(keeper::run_due(Arc::clone(&inner)));
        inner.tasks.spawn(keeper::run_settle(Arc::clone(&inner)));
        inner.tasks.spawn(keeper::run_leases(Arc::clone(&inner)));
        inner.tasks.spawn(others.run(Arc::clone(&inner)));
        if let Some(peers) = inner.peers.clone() {
            inner.tasks.spawn(membership::run(Arc::clone(&inner)));
            inner.tasks.spawn(rescue::run(Arc::clone(&inner), peers));
        }
        inner.ready.notify_one();
        Ok(Self { inner })
    }

    /// Starts no new attempt from now on, and ends every wait with what is known; running commands go on.
    pub fn drain(&self) {
        self.inner.draining.cancel();
    }

    /// Whether [`Engine::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.inner.draining.is_cancelled()
    }

    /// Returns once [`Engine::drain`] was called. Cancel safe.
    pub async fn draining(&self) {
        self.inner.draining.cancelled().await;
    }

    /// Ends the loops and shuts the store. Running commands go on without us: their shims keep the outcome.
    ///
    /// Writes under way are finished, for at most `patience`. Closing twice is fine.
    pub async fn close(&self, patience: Duration) {
        self.drain();
        self.inner.closing.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(patience, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some loops did not end in time");
        }
        self.inner.spawner.close().await;
        if tokio::time::timeout(patience, membership::leave(&self.inner)).await.is_err() {
            tracing::warn!("this node was not struck off in time");
        }
        self.inner.store.close().await;
    }

    /// What the engine was told at start.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Where shims and commands are.
    pub async fn placed(&self) -> Placed {
        self.inner.spawner.placed().await
    }

    /// The clock that everything here goes by.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The store itself, for reading its facts.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }
}

fn make_folders(settings: &Settings) -> Result<(), Fault> {
    for folder in [&settings.run_dir, &settings.output_dir, &settings.archive_dir] {
        std::fs::create_dir_all(folder).map_err(|error| {
            Fault::new(
                longshore_domain::FaultCode::FileFailed,
                format!("the folder {} cannot be made", folder.display()),
            )
            .why(error.to_string())
            .next("make it writable for the daemon's user, or choose another home")
        })?;
    }
    Ok(())
}

fn spawner_options(settings: &Settings) -> SpawnerOptions {
    SpawnerOptions {
        program: settings.shim_program.clone(),
        args: settings.shim_args.clone(),
        run_dir: settings.run_dir.clone(),
        cgroup: settings.cgroup.clone(),
        scope: settings.shim_scope,
        open_files: settings.open_files,
    }
}

fn spawner_failed(error: ProcessError) -> Fault {
    Fault::new(longshore_domain::FaultCode::FileFailed, "the process that starts commands could not be started")
        .why(error.to_string())
        .next("look at the daemon's log; commands that already run are not touched")
}
