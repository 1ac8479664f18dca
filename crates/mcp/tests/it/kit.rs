//! A server over a real engine in a temporary folder, and clients of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_domain::job::StateName;
use longshore_domain::label::Labels;
use longshore_domain::node::NewNode;
use longshore_domain::{NodeId, Principal, Timestamp};
use longshore_engine::ops::{Caller, OutputQuery, OutputStart};
use longshore_engine::{Clock, Engine, Retention, Settings};
use longshore_mcp::{Hello, Server, ServerSettings};
use longshore_store::{SqliteOptions, SqliteStore};
use longshore_testkit::ShimsEnd;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::task::JoinHandle;

/// Longer than anything here takes unless it hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a legacy client is told when it has other jobs than before.
pub(crate) const LIST_CHANGED: &str = "notifications/resources/list_changed";

pub(crate) struct Kit {
    pub(crate) server: Server,
    pub(crate) engine: Engine,
    place: Arc<Place>,
}

/// What outlives a server that is started again.
struct Place {
    _shims: ShimsEnd,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        Arc::new(Self { _shims: ShimsEnd::of(folder.path().join("run")), folder })
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.engine.drain();
    }
}

impl Kit {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::at(Place::new(), change).await
    }

    async fn at(place: Arc<Place>, change: impl FnOnce(&mut ServerSettings)) -> Self {
        let store = SqliteStore::open(place.folder.path().join("jobs.db"), SqliteOptions::default()).unwrap();
        let engine = Engine::open(Arc::new(store), Clock::system(), engine_settings(&place.folder)).await.unwrap();
        let mut settings = ServerSettings::new("1.2.3", [7; 32]);
        change(&mut settings);
        Self { server: Server::new(engine.clone(), settings), engine, place }
    }

    /// The same after the server has ended and was started again. Commands go on meanwhile.
    pub(crate) async fn reopen(self, change: impl FnOnce(&mut ServerSettings)) -> Self {
        self.engine.close(LIMIT).await;
        let place = Arc::clone(&self.place);
        drop(self);
        Self::at(place, change).await
    }

    pub(crate) fn path(&self) -> String {
        self.place.folder.path().to_string_lossy().into_owned()
    }

    pub(crate) fn hello(&self, id: &str) -> Hello {
        let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        Hello { bridge: Hello::VERSION, id: id.into(), cwd: self.path(), env, conversation: None }
    }

    /// A client behind a bridge, before any handshake.
    pub(crate) async fn bridge(&self, id: &str) -> Client {
        let mut client = Client::connect(&self.server, Principal::agent("owner"));
        client.say(&json!({ "longshore": self.hello(id) })).await;
        client
    }

    /// A client behind a bridge, after the handshake.
    pub(crate) async fn legacy(&self) -> Client {
        let mut client = self.bridge("b1").await;
        client.shake_hands("2025-11-25").await;
        client
    }

    /// A pipe that a command can wait at, and the word that lets it go on.
    pub(crate) fn gate(&self) -> Gate {
        let path = self.place.folder.path().join("gate");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        Gate { path }
    }

    /// Makes reading what a job printed hang until the guard is dropped.
    pub(crate) async fn hang_output(&self, job: &str) -> HungOutput {
        let view = self.engine.show(&Caller::owner(), job).await.unwrap();
        let path = self.engine.settings().output_path(&view.job, view.job.attempt);
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        HungOutput { path }
    }

    /// Waits until a job is known to run.
    pub(crate) async fn runs(&self, job: &str) {
        let mut job = self.engine.find(&Caller::owner().principal, job).await.unwrap();
        while job.state.name() != StateName::Running {
            assert!(!job.is_finished(), "{job:?}");
            job = self.engine.wait_change(&job, LIMIT).await.unwrap();
        }
    }

    /// Waits until a job has printed something.
    pub(crate) async fn speaks(&self, job: &str) {
        let look = Duration::from_millis(100);
        let query = OutputQuery { start: OutputStart::Head, bytes_max: 1024, wait: look, labels: false };
        for _ in 0..LIMIT.as_millis() / look.as_millis() {
            let page = self.engine.output(&Caller::owner(), job, query).await.unwrap();
            if !page.bytes.is_empty() {
                return;
            }
        }
        panic!("job {job} says nothing");
    }
}

fn engine_settings(folder: &tempfile::TempDir) -> Settings {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/mcp_spawner");
    assert!(program.exists(), "build it first: cargo build -p longshore-mcp --example mcp_spawner");
    Settings {
        node: NewNode {
            id: NodeId::new(Timestamp::from_millis(0), 1),
            name: "test".into(),
            address: None,
            labels: Labels::default(),
            capacity: 8,
            version: "0".into(),
            boot: "this boot".into(),
            incarnation: "this process".into(),
        },
        run_dir: folder.path().join("run"),
        output_dir: folder.path().join("output"),
        archive_dir: folder.path().join("archive"),
        shim_program: program,
        shim_args: vec![],
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

pub(crate) struct Gate {
    path: PathBuf,
}

impl Gate {
    /// A shell line that says it is there, waits for the gate, and ends.
    pub(crate) fn line(&self) -> String {
        format!("echo here; read line <{}; echo through", self.path.display())
    }

    pub(crate) async fn open(&self) {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || std::fs::write(path, "go\n")).await.unwrap().unwrap();
    }
}

/// While it lives, whoever opens this output waits.
pub(crate) struct HungOutput {
    path: PathBuf,
}

impl Drop for HungOutput {
    fn drop(&mut self) {
        // Opened both ways a pipe waits for nobody, and lets others in.
        std::fs::OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
    }
}

/// The other end of a stream that the server serves.
pub(crate) struct Client {
    reading: BufReader<ReadHalf<DuplexStream>>,
    writing: WriteHalf<DuplexStream>,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    next_id: u64,
}

impl Client {
    pub(crate) fn connect(server: &Server, principal: Principal) -> Self {
        let (ours, theirs) = duplex(1 << 16);
        let served = tokio::spawn(longshore_mcp::stdio::serve(server.clone(), principal, theirs));
        Self::at(ours, served)
    }

    /// A client at that end of a stream, of which `served` serves the other.
    pub(crate) fn at(end: DuplexStream, served: JoinHandle<std::io::Result<()>>) -> Self {
        let (reading, writing) = split(end);
        Self { reading: BufReader::new(reading), writing, served, next_id: 1 }
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.say_raw(message.to_string().as_bytes()).await;
    }

    pub(crate) async fn say_raw(&mut self, line: &[u8]) {
        self.writing.write_all(line).await.unwrap();
        self.writing.write_all(b"\n").await.unwrap();
    }

    /// Sends nothing more.
    pub(crate) async fn end(&mut self) {
        self.writing.shutdown().await.unwrap();
    }

    /// The next message, past what tells of the list of resources; null at the end.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            let heard = self.hear_any().await;
            let of_list = heard["method"] == LIST_CHANGED && heard["params"].is_null();
            if !of_list {
                return heard;
            }
        }
    }

    /// The next message of any kind; null at the end.
    pub(crate) async fn hear_any(&mut self) -> Value {
        let mut line = String::new();
        tokio::time::timeout(LIMIT, self.reading.read_line(&mut line)).await.unwrap().unwrap();
        if line.is_empty() { Value::Null } else { serde_json::from_str(&line).unwrap() }
    }

    /// Sends a request; returns its id.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        id
    }

    /// The answer to a request.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params).await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(crate) async fn shake_hands(&mut self, version: &str) -> Value {
        self.shake_hands_as(version, json!({})).await
    }

    pub(crate) async fn shake_hands_as(&mut self, version: &str, capabilities: Value) -> Value {
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": capabilities, "clientInfo": client });
        let answer = self.request("initialize", params).await;
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        answer
    }

    /// The result of a tool.
    pub(crate) async fn tool(&mut self, name: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({ "name": name, "arguments": arguments })).await["result"].take()
    }

    /// Starts a command that waits at a gate; returns its job once it runs.
    pub(crate) async fn waiting_job(&mut self, kit: &Kit, gate: &Gate) -> String {
        let arguments = json!({ "command": gate.line(), "shell": true, "background": true, "key": "gated" });
        let handle = self.tool("run", arguments).await;
        let job = job_of(&handle);
        kit.speaks(&job).await;
        job
    }
}

/// The job that a result is about.
pub(crate) fn job_of(result: &Value) -> String {
    result["structuredContent"]["job"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

/// What every modern request says of itself.
pub(crate) fn modern_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    })
}
