//! A server over a real engine in a temporary folder: opened once in a process, with no room for any command to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_domain::{Labels, NewNode, NodeId, Principal, Timestamp};
use longshore_engine::ops::{Caller, Submit};
use longshore_engine::{Clock, Engine, Retention, Settings};
use longshore_mcp::{Server, ServerSettings, fuzz};
use longshore_store::{Durability, SqliteOptions, SqliteStore};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The argument that makes this program the spawner that an engine needs.
const SPAWNER: &str = "longshore-spawner";
/// Signs sessions.
pub const KEY: [u8; 32] = [7; 32];

/// Everything that outlives one input.
pub struct World {
    pub runtime: Runtime,
    pub server: Server,
    queued: String,
    ended: String,
    sessions: AtomicU64,
    _folder: TempDir,
}

/// Does a spawner's work instead, if this process was started for it. Comes first in every binary.
pub fn become_spawner() {
    if std::env::args().nth(1).as_deref() == Some(SPAWNER) {
        #[expect(clippy::disallowed_methods, reason = "`main` may be libFuzzer's")]
        std::process::exit(longshore_engine::shim::run_spawner().into());
    }
}

/// The world of this process.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::open)
}

impl World {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (server, queued, ended) = runtime.block_on(async {
            let options = SqliteOptions { durability: Durability::Normal, ..SqliteOptions::default() };
            let store = SqliteStore::open(folder.path().join("jobs.db"), options).expect("a store");
            let settings = engine_settings(&folder);
            let engine = Engine::open(Arc::new(store), Clock::system(), settings).await.expect("an engine");
            let queued = submit(&engine, "queued").await;
            let ended = submit(&engine, "ended").await;
            engine.cancel(&Caller::owner(), &ended, None).await.expect("a queued job can be cancelled");
            (Server::new(engine, server_settings()), queued, ended)
        });
        Self { runtime, server, queued, ended, sessions: AtomicU64::new(0), _folder: folder }
    }

    /// The input with names that differ from run to run in the place of words that stand for them.
    pub fn told(&self, input: &[u8]) -> Vec<u8> {
        let mut text = input.to_vec();
        for (word, meaning) in [("j_QUEUED", &self.queued), ("j_ENDED", &self.ended)] {
            replace(&mut text, word, || meaning.clone());
        }
        replace(&mut text, "@MODERN@", || MODERN.into());
        for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            // A session of its own for each input: some input ends its session.
            replace(&mut text, &format!("@{version}@"), || {
                let chat = format!("chat {}", self.sessions.fetch_add(1, Ordering::Relaxed));
                fuzz::http::session_token(version, &chat, &Self::principal(), &KEY).expect("a known version")
            });
        }
        text
    }

    /// Who sends every input.
    pub fn principal() -> Principal {
        Principal::agent(Principal::OWNER)
    }
}

/// `_meta` of a modern client that can be asked and takes tasks.
const MODERN: &str = concat!(
    r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":"#,
    r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{},"#,
    r#""extensions":{"io.modelcontextprotocol/tasks":{}}}}"#
);

fn replace(text: &mut Vec<u8>, word: &str, meaning: impl FnOnce() -> String) {
    let found = |text: &[u8]| text.windows(word.len()).position(|part| part == word.as_bytes());
    let Some(mut at) = found(text) else { return };
    let meaning = meaning();
    loop {
        text.splice(at..at + word.len(), meaning.bytes());
        let from = at + meaning.len();
        match found(&text[from..]) {
            Some(next) => at = from + next,
            None => return,
        }
    }
}

async fn submit(engine: &Engine, name: &str) -> String {
    let request =
        Submit { command: vec!["/bin/true".into()], cwd: "/".into(), name: Some(name.into()), ..Submit::default() };
    engine.submit(&Caller::owner(), request).await.expect("room for a job").job.id.to_string()
}

fn server_settings() -> ServerSettings {
    // Nothing ever ends here, so nothing is worth waiting for.
    ServerSettings {
        call_budget: Duration::ZERO,
        grace: Duration::ZERO,
        leg: Duration::ZERO,
        ..ServerSettings::new("1.2.3", KEY)
    }
}

fn engine_settings(folder: &TempDir) -> Settings {
    Settings {
        node: NewNode {
            id: NodeId::new(Timestamp::from_millis(0), 1),
            name: "fuzzed".into(),
            address: None,
            labels: Labels::default(),
            // Commands are accepted and never run.
            capacity: 0,
            version: "0".into(),
            boot: "this boot".into(),
            incarnation: "this process".into(),
        },
        run_dir: folder.path().join("run"),
        output_dir: folder.path().join("output"),
        archive_dir: folder.path().join("archive"),
        shim_program: std::env::current_exe().expect("a path of this program"),
        shim_args: vec![SPAWNER.into()],
        shim_scope: false,
        cgroup: None,
        open_files: None,
        queues: BTreeMap::new(),
        lease: Duration::from_secs(30),
        env_allow: vec![],
        retention: Retention::default(),
        artifacts: None,
        fixtures: false,
    }
}
