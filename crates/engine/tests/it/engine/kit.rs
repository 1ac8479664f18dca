//! An engine in a temporary folder, and the words that the tests use of it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::fault::FaultCode;
use longshore_domain::job::QueueName;
use longshore_domain::label::Labels;
use longshore_domain::node::NewNode;
use longshore_domain::{AttemptNumber, Fault, Job, JobId, NodeId, Timestamp};
use longshore_engine::ops::{Caller, OutputPage, OutputQuery, OutputStart, Submit, WaitFor};
use longshore_engine::peers::{Account, Peers, Piece, Printed, Reading, Said};
use longshore_engine::{Clock, Engine, Retention, Settings};
use longshore_store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use longshore_testkit::ShimsEnd;
use longshore_testkit::postgres::Server;

use crate::shim::kit::program;

/// Longer than anything here takes unless it hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Kit {
    pub(super) engine: Engine,
    pub(super) settings: Settings,
    pub(super) folder: PathBuf,
    /// What several share; without it the store is a file of its own.
    pub(super) shared: Option<Shared>,
    /// What a restarted engine goes by.
    pub(super) clock: Clock,
    _shims: ShimsEnd,
    _folder: tempfile::TempDir,
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.engine.drain();
    }
}

impl Kit {
    pub(super) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::make(None, 1, change).await
    }

    /// One of several nodes.
    pub(super) async fn node(shared: &Shared, number: u128, change: impl FnOnce(&mut Settings)) -> Self {
        Self::make(Some(shared.clone()), number, change).await
    }

    async fn make(shared: Option<Shared>, number: u128, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let mut settings = Settings {
            node: NewNode {
                id: NodeId::new(Timestamp::from_millis(0), number),
                name: format!("node-{number}"),
                address: None,
                labels: Labels::default(),
                capacity: 8,
                version: "0".into(),
                boot: "this boot".into(),
                incarnation: "this process".into(),
            },
            run_dir: path.join("run"),
            output_dir: path.join("output"),
            archive_dir: path.join("archive"),
            shim_program: program(),
            shim_args: vec![],
            shim_scope: false,
            cgroup: None,
            open_files: None,
            queues: BTreeMap::from([(QueueName::try_from("narrow".to_owned()).unwrap(), 1)]),
            lease: Duration::from_secs(30),
            env_allow: vec![],
            retention: Retention::default(),
            artifacts: None,
            fixtures: true,
        };
        change(&mut settings);
        let clock = Clock::system();
        let engine = open(&path, shared.as_ref(), &clock, &settings).await;
        Self { engine, _shims: ShimsEnd::of(&settings.run_dir), settings, folder: path, shared, clock, _folder: folder }
    }

    /// Ends this engine and starts another on the same folders, as a restarted daemon would.
    pub(super) async fn restart(&mut self, change: impl FnOnce(&mut Settings)) {
        self.engine.close(LIMIT).await;
        change(&mut self.settings);
        self.engine = open(&self.folder, self.shared.as_ref(), &self.clock, &self.settings).await;
    }

    pub(super) async fn submit(&self, request: Submit) -> Job {
        self.engine.submit(&owner(), request).await.unwrap().job
    }

    pub(super) async fn refused(&self, request: Submit) -> Fault {
        self.engine.submit(&owner(), request).await.unwrap_err()
    }

    /// The job once it has ended.
    pub(super) async fn ended(&self, job: &Job) -> Job {
        let names = [job.id.to_string()];
        let waited = self.engine.wait(&owner(), &names, WaitFor::All, LIMIT).await.unwrap();
        assert!(!waited.timed_out, "{:?}", waited.jobs);
        waited.jobs.into_iter().next().unwrap()
    }

    pub(super) async fn output(&self, job: &Job, start: OutputStart) -> Result<OutputPage, Fault> {
        let query = OutputQuery { start, bytes_max: 1024 * 1024, wait: LIMIT, labels: false };
        self.engine.output(&owner(), &job.id.to_string(), query).await
    }

    /// The same with labels.
    pub(super) async fn labelled(&self, job: &Job, start: OutputStart) -> Result<OutputPage, Fault> {
        let query = OutputQuery { start, bytes_max: 1024 * 1024, wait: LIMIT, labels: true };
        self.engine.output(&owner(), &job.id.to_string(), query).await
    }

    /// Everything that the job prints, to its end.
    pub(super) async fn printed(&self, job: &Job) -> String {
        let mut start = OutputStart::Head;
        let mut text = vec![];
        loop {
            let page = self.output(job, start).await.unwrap();
            text.extend(page.bytes);
            if page.end {
                return String::from_utf8(text).unwrap();
            }
            start = OutputStart::Cursor(page.next);
        }
    }

    /// Waits until the job is known to run and has printed something.
    pub(super) async fn speaks(&self, job: &Job) -> String {
        let mut seen = self.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
        while seen.state.run().is_none() && !seen.is_finished() {
            seen = self.engine.wait_change(&seen, LIMIT).await.unwrap();
        }
        let page = self.output(job, OutputStart::Head).await.unwrap();
        assert!(!page.bytes.is_empty(), "{:?}", page.job.state);
        String::from_utf8(page.bytes).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Whether an attempt left something behind that is not removed yet.
    pub(super) fn has_traces(&self) -> bool {
        !longshore_engine::process::traces(&self.settings.run_dir).is_empty()
    }

    /// A pipe that a command can wait at, and the word that lets it go on.
    pub(super) fn gate(&self, name: &str) -> Gate {
        let path = self.folder.join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Gate { path }
    }
}

pub(super) struct Gate {
    path: PathBuf,
}

impl Gate {
    /// Shell words that wait for the gate.
    pub(super) fn wait(&self) -> String {
        format!("read line <{}", self.path.display())
    }

    pub(super) async fn open(&self) {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || std::fs::write(path, "go\n")).await.unwrap().unwrap();
    }
}

async fn open(folder: &std::path::Path, shared: Option<&Shared>, clock: &Clock, settings: &Settings) -> Engine {
    let Some(shared) = shared else {
        let store = SqliteStore::open(folder.join("jobs.db"), SqliteOptions::default()).unwrap();
        return Engine::open(Arc::new(store), clock.clone(), settings.clone()).await.unwrap();
    };
    let store = Arc::new(PostgresStore::open(PostgresOptions::new(&shared.database)).await.unwrap());
    let peers = Arc::new(shared.peers.clone());
    let engine = Engine::open_among(peers, store, clock.clone(), settings.clone()).await.unwrap();
    shared.peers.0.lock().unwrap().insert(settings.node.id, Some(engine.clone()));
    engine
}

/// What the nodes of a test share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) database: String,
    pub(super) peers: Neighbours,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { database: Server::shared().database(), peers: Neighbours::default() }
    }

    /// Does something in SQL in the database as the super-user.
    pub(super) fn sql(&self, sql: &str) {
        let name = self.database.rsplit('/').next().unwrap();
        Server::shared().sql(&format!("\\c {name}\n{sql}"));
    }
}

/// Nodes that reach one another without a network: the engine of each, and nothing for one that knows no answer.
#[derive(Clone, Default)]
pub(super) struct Neighbours(Arc<Mutex<HashMap<NodeId, Option<Engine>>>>);

impl Neighbours {
    /// Has a node answer nobody any more.
    pub(super) fn silence(&self, kit: &Kit) {
        self.0.lock().unwrap().remove(&kit.settings.node.id);
    }

    /// Has a node answer whatever it is asked by a fault of its own.
    pub(super) fn puzzle(&self, kit: &Kit) {
        self.0.lock().unwrap().insert(kit.settings.node.id, None);
    }

    fn find(&self, node: NodeId) -> Result<Engine, Fault> {
        let found = self.0.lock().unwrap().get(&node).cloned();
        let found = found.ok_or_else(|| Fault::new(FaultCode::NodeUnreachable, "nobody is at home"))?;
        found.ok_or_else(|| Fault::new(FaultCode::Internal, "a puzzle"))
    }
}

#[async_trait]
impl Peers for Neighbours {
    async fn read(&self, node: NodeId, reading: Reading) -> Result<Piece, Fault> {
        self.find(node)?.own_output(reading).await
    }

    async fn printed(&self, node: NodeId, job: JobId, attempt: AttemptNumber) -> Result<Printed, Fault> {
        self.find(node)?.own_printed(job, attempt).await
    }

    async fn hand_on(&self, node: NodeId, _: &Said) -> Result<(), Fault> {
        self.find(node).map(drop)
    }

    async fn account(&self, node: &NewNode, job: JobId, attempt: AttemptNumber) -> Result<Account, Fault> {
        Ok(self.find(node.id)?.account(job, attempt))
    }
}

pub(super) fn owner() -> Caller {
    Caller::owner()
}

/// A line for the shell.
pub(super) fn shell(line: impl Into<String>) -> Submit {
    Submit { command: vec![line.into()], shell: true, cwd: "/".into(), ..Submit::default() }
}

pub(super) fn code(fault: &Fault) -> FaultCode {
    fault.code
}
