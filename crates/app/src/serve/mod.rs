//! The daemon itself: wires the store, the engine and the doors, tells that it is ready, and ends in order.

mod at_once;
mod connections;
mod crowd;
mod doors;
mod settings;
mod telemetry;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::Uri;
use longshore_domain::fault::{Fault, FaultCode};
use longshore_engine::shim::let_go_of_code;
use longshore_engine::{Clock, Engine};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Shelf};
use crate::config::{Config, StoreAt};
use crate::daemon::info::DaemonInfo;
use crate::daemon::machine::OpenFiles;
use crate::daemon::{announce, lock};
use crate::home::{Home, random_bytes};
use crate::http::{App, Facts, OwnNames, Shared};
use crate::peers::{Lines, PeerKey};
use crate::store;
use doors::Doors;

/// Threads that drive requests and loops; none of them blocks for long.
const WORKERS: usize = 2;
/// Threads for reading files; started when needed, gone when idle.
const BLOCKING_MAX: usize = 16;
/// Longest wait for requests under way when stopping.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the engine's loops after that.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// Pause between two removals of what has grown old.
const GC_EVERY: Duration = Duration::from_secs(86_400);
/// The first removal comes this long after the start, when whoever started us has had its answer.
const GC_FIRST: Duration = Duration::from_secs(60);
/// What the start alone has run through is not needed any more after this long.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Name of the secret by which the nodes of a store know one another.
const PEERS_SECRET: &str = "peers";
/// Name of the secret that signs what clients carry between requests.
const SESSION_SECRET: &str = "session";

/// How a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was asked to, and finished what it was doing.
    Clean,
    /// It was asked twice and left at once; the number is that of the second signal.
    Hurried(i32),
}

/// Serves `home` until a signal asks to stop. With `detached` the process leaves its session first, and tells
/// through standard output how the start went.
///
/// # Errors
/// `already_running`, `listen_failed`, `file_failed`, or the store's own; no command was touched.
pub(crate) fn run(home: &Home, config: Config, detached: bool) -> Result<End, Fault> {
    if detached {
        // Fails only for the leader of a group, which whoever starts us in the background does not make of us.
        rustix::process::setsid().map_err(Fault::internal)?;
    }
    telemetry::start(&config.log);
    let outcome = hold_and_serve(home, config, detached);
    if let Err(fault) = &outcome {
        tracing::error!(fault.code = %fault.code, why = fault.why, private = fault.private, "{}", fault.message);
        if detached {
            announce::tell(Err(fault));
        }
    }
    outcome
}

fn hold_and_serve(home: &Home, config: Config, detached: bool) -> Result<End, Fault> {
    let held = lock::single_daemon(home)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MAX)
        .enable_all()
        .build()
        .map_err(Fault::internal)?;
    let end = runtime.block_on(serve(home, config, detached));
    runtime.shutdown_timeout(Duration::from_secs(1));
    held.release();
    end
}

async fn serve(home: &Home, config: Config, detached: bool) -> Result<End, Fault> {
    let mut stop = StopSignals::listen()?;
    let open_files = OpenFiles::raise();
    let doors = Doors::bind(home, &config).await?;
    let (engine, keys) = open_engine(home, &config, doors.address(), open_files).await?;
    let info = DaemonInfo::of_this_process(doors.address());
    let app = make_app(home, config, &engine, keys, &info)?;
    info.write(home)?;
    if detached {
        announce::tell(Ok(()));
    }
    tracing::info!(listen = %info.listen, pid = info.pid, "ready");
    let cleaning = tokio::spawn(clean_daily(engine.clone(), app.stopping.clone()));
    let serving = tokio::spawn(doors.serve(app.clone(), open_files));
    let end = stop_in_order(&mut stop, &engine, &app.stopping, serving).await;
    cleaning.abort();
    DaemonInfo::remove(home)?;
    tracing::info!("stopped");
    Ok(end)
}

/// What signs, for this process alone or for all nodes of its store.
struct Keys {
    /// What clients carry for us between requests: of whatever node they come back to.
    session: [u8; 32],
    /// The requests of nodes to one another, if there can be others.
    peers: Option<PeerKey>,
}

async fn open_engine(
    home: &Home,
    config: &Config,
    listen: SocketAddr,
    open_files: OpenFiles,
) -> Result<(Engine, Keys), Fault> {
    let clock = Clock::system();
    let store = store::open(home, config).await?;
    let artifacts = settings::artifacts(config, store.as_ref()).await?;
    let settings = settings::engine(home, config, &clock, listen, artifacts, open_files)?;
    if let StoreAt::Home = config.store {
        let keys = Keys { session: home.session_key()?, peers: None };
        return Ok((Engine::open(store, clock, settings).await?, keys));
    }
    let session = store.secret(SESSION_SECRET.into(), random_bytes()).await?;
    let peers = PeerKey::new(store.secret(PEERS_SECRET.into(), random_bytes()).await?);
    let lines = Lines::new(Arc::clone(&store), clock.clone(), peers.clone());
    let engine = Engine::open_among(Arc::new(lines), store, clock, settings).await?;
    Ok((engine, Keys { session, peers: Some(peers) }))
}

fn make_app(home: &Home, config: Config, engine: &Engine, keys: Keys, info: &DaemonInfo) -> Result<App, Fault> {
    let facts = Facts {
        listen: info.listen,
        home: home.root().display().to_string(),
        capacity: config.capacity as u64,
        started: Instant::now(),
    };
    let shelf = match config.store {
        StoreAt::Home => Shelf::Home(home.clone()),
        StoreAt::Server { .. } => Shelf::Store(Arc::clone(engine.store())),
    };
    Ok(App::new(Shared {
        mcp: settings::mcp(&config, engine, keys.session),
        engine: engine.clone(),
        access: Access::open(home, shelf, &config.limits, config.oauth)?,
        names: own_names(info.listen.ip(), config.hosts, engine),
        peer_key: keys.peers,
        facts,
        stopping: CancellationToken::new(),
    }))
}

/// What is configured, and the name by which other nodes call this one.
fn own_names(ip: IpAddr, mut hosts: Vec<String>, engine: &Engine) -> OwnNames {
    let address = engine.settings().node.address.as_ref().and_then(|address| address.parse::<Uri>().ok());
    hosts.extend(address.and_then(|address| Some(address.host()?.trim_matches(['[', ']']).to_owned())));
    OwnNames::new(ip, hosts)
}

/// Waits for a request to stop, then takes no new work, ends the requests under way, and shuts the store.
async fn stop_in_order(
    stop: &mut StopSignals,
    engine: &Engine,
    stopping: &CancellationToken,
    serving: tokio::task::JoinHandle<()>,
) -> End {
    let first = stop.next().await;
    tracing::info!(signal = first, "stopping; running commands go on");
    let orderly = async {
        engine.drain();
        stopping.cancel();
        if tokio::time::timeout(DRAIN_MAX, serving).await.is_err() {
            tracing::warn!("requests under way were cut off");
        }
        engine.close(CLOSE_MAX).await;
    };
    tokio::select! {
        () = orderly => End::Clean,
        signal = stop.next() => End::Hurried(signal),
    }
}

async fn clean_daily(engine: Engine, stopping: CancellationToken) {
    let mut pause = GC_FIRST;
    tokio::select! {
        () = tokio::time::sleep(SETTLED_AFTER) => let_go_of_code(),
        () = stopping.cancelled() => return,
    }
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = GC_EVERY,
            () = stopping.cancelled() => return,
        }
        match engine.gc(false).await {
            Ok(report) => tracing::info!(
                outputs = report.outputs,
                records = report.records,
                orphans = report.orphans,
                objects = report.objects,
                "retention done"
            ),
            Err(fault) => tracing::error!(fault.code = %fault.code, why = fault.why, "retention failed"),
        }
        let_go_of_code();
    }
}

/// The signals that ask a daemon to stop.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self, Fault> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Fault::new(FaultCode::Internal, "signals cannot be received").private(error.to_string())
            })
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// The number of the next signal. Cancel safe.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}
