//! The server that the conformance suite and the pack of checks are run against: the real protocol over a real engine,
//! with what they expect to find, and with short times so that nobody waits for their end.
//!
//! `conformance_server [http FOLDER ADDRESS | stdio FOLDER] [KEPT]`. Everything is in the folder, where the next start
//! finds it; without one it is a temporary folder and any port. Over HTTP it prints its URL first, and
//! `Authorization: Bearer NAME` says who calls. What has ended goes after KEPT seconds, or an hour. It ends in good order
//! when its input ends.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use longshore_domain::label::Labels;
use longshore_domain::node::NewNode;
use longshore_domain::{Grant, NodeId, Principal, Timestamp};
use longshore_engine::{Clock, Engine, Retention, Settings};
use longshore_mcp::{Server, ServerSettings, http, stdio};
use longshore_store::{SqliteOptions, SqliteStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

/// Ended jobs go after this unless it is said otherwise: longer than anybody looks at them.
const KEPT: Duration = Duration::from_secs(3600);
/// A job that asks holds its slot, and the storm of the pack has a thousand of them.
const RUNNING_MAX: u32 = 1024;
const LEG: Duration = Duration::from_secs(1);
const STATE_LIFETIME: Duration = Duration::from_secs(20);
/// Answers that are on their way when the server stops have this long.
const LEAVE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let served = match arguments[..] {
        ["spawner"] => return ExitCode::from(longshore_engine::shim::run_spawner()),
        [] => {
            tempfile::tempdir().map_err(Into::into).and_then(|folder| serve(folder.path(), Some("127.0.0.1:0"), KEPT))
        }
        ["http", folder, address, ref kept @ ..] => serve_for(kept, folder.as_ref(), Some(address)),
        ["stdio", folder, ref kept @ ..] => serve_for(kept, folder.as_ref(), None),
        _ => Err("expected nothing, `http FOLDER ADDRESS` or `stdio FOLDER`".into()),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A pipe that is gone takes nothing any more.
            drop(writeln!(std::io::stderr(), "conformance_server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve_for(kept: &[&str], folder: &Path, address: Option<&str>) -> Result<(), Box<dyn Error>> {
    match kept {
        [] => serve(folder, address, KEPT),
        [kept] => serve(folder, address, Duration::from_secs(kept.parse()?)),
        _ => Err("expected at most the seconds for which what has ended is kept".into()),
    }
}

#[tokio::main]
async fn serve(folder: &Path, address: Option<&str>, kept: Duration) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let options = SqliteOptions { queue_concurrency: RUNNING_MAX, ..SqliteOptions::default() };
    let store = SqliteStore::open(folder.join("jobs.db"), options)?;
    let engine = Engine::open(Arc::new(store), Clock::system(), engine_settings(folder, kept)?).await?;
    let settings = ServerSettings {
        // The suite expects a task wherever one is possible.
        grace: Duration::ZERO,
        leg: LEG,
        state_lifetime: STATE_LIFETIME,
        ..ServerSettings::new("conformance", [7; 32])
    };
    let server = Server::new(engine.clone(), settings);
    let cleaner = tokio::spawn(clean(engine.clone()));
    match address {
        Some(address) => over_http(server, &engine, address).await?,
        None => over_stdio(server, &engine).await?,
    }
    cleaner.abort();
    engine.close(Duration::from_secs(2)).await;
    Ok(())
}

async fn over_http(server: Server, engine: &Engine, address: &str) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address).await?;
    writeln!(std::io::stdout(), "http://{}/mcp", listener.local_addr()?)?;
    let stopping = engine.clone();
    let stopped = async move {
        end_of_input().await;
        stopping.drain();
    };
    let serving = axum::serve(listener, app(server)).with_graceful_shutdown(stopped);
    tokio::select! {
        served = serving.into_future() => served?,
        () = async { engine.draining().await; tokio::time::sleep(LEAVE).await } => {}
    }
    Ok(())
}

/// The end of input stops the server, not the connection alone, so that it says goodbye to whoever listens.
async fn over_stdio(server: Server, engine: &Engine) -> Result<(), Box<dyn Error>> {
    let (input, mut pipe) = tokio::io::simplex(64 * 1024);
    let stopping = engine.clone();
    tokio::spawn(async move {
        drop(tokio::io::copy(&mut tokio::io::stdin(), &mut pipe).await);
        stopping.drain();
        // Dropping the pipe would end the connection first.
        std::future::pending::<()>().await;
    });
    stdio::serve(server, Principal::agent("owner"), tokio::io::join(input, tokio::io::stdout())).await?;
    engine.drain();
    Ok(())
}

async fn end_of_input() {
    let (mut input, mut buffer) = (tokio::io::stdin(), [0; 64]);
    while input.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

/// Removes what has grown old.
async fn clean(engine: Engine) {
    let mut turns = tokio::time::interval(Duration::from_secs(1));
    loop {
        turns.tick().await;
        if let Err(fault) = engine.gc(false).await {
            tracing::warn!(fault.code = %fault.code, "what has grown old could not be removed");
        }
    }
}

fn app(server: Server) -> Router {
    http::router(server).layer(from_fn(admitted))
}

/// Whoever mounts the router checks Host and Origin, and says who calls.
async fn admitted(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !is_own(headers, "host") || headers.contains_key("origin") && !is_own(headers, "origin") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let caller = token.map_or_else(Principal::owner, Principal::agent);
    request.extensions_mut().insert(Grant::whole(caller));
    next.run(request).await
}

fn is_own(headers: &HeaderMap, name: &str) -> bool {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else { return false };
    let authority = value.rsplit("//").next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    ["127.0.0.1", "localhost"].contains(&host)
}

fn engine_settings(folder: &Path, kept: Duration) -> Result<Settings, std::io::Error> {
    Ok(Settings {
        node: NewNode {
            id: NodeId::new(Timestamp::from_millis(0), 1),
            name: "conformance".into(),
            address: None,
            labels: Labels::default(),
            capacity: RUNNING_MAX,
            version: "0".into(),
            boot: "this boot".into(),
            incarnation: "this process".into(),
        },
        run_dir: folder.join("run"),
        output_dir: folder.join("output"),
        archive_dir: folder.join("archive"),
        shim_program: std::env::current_exe()?,
        shim_args: vec!["spawner".into()],
        shim_scope: false,
        cgroup: None,
        open_files: None,
        queues: BTreeMap::new(),
        lease: Duration::from_secs(30),
        env_allow: vec![],
        retention: Retention { output: kept, record: kept, ..Retention::default() },
        artifacts: None,
        fixtures: true,
    })
}
