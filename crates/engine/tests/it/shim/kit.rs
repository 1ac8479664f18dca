//! What the tests of shims share: a spawner in a temporary folder, plans, and waiting for what it reports.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longshore_domain::job::{AttemptReport, CommandSpec, ProcessIdentity};
use longshore_domain::{AttemptNumber, JobId, JobNumber, Nonce, Timestamp};
use longshore_engine::process::output::OutputFile;
use longshore_engine::process::{
    AttemptPlan, Found, ShimLink, ShimReport, Spawner, SpawnerOptions, exit_record, look_up,
};
use longshore_testkit::ShimsEnd;

/// Longer than anything here takes unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A spawner with folders of its own.
pub(super) struct Kit {
    pub(super) spawner: Spawner,
    pub(super) run_dir: PathBuf,
    pub(super) folder: PathBuf,
    next: AtomicU64,
    pub(super) _shims: ShimsEnd,
    pub(super) _folder: tempfile::TempDir,
}

/// The example beside the test's own executable; `cargo test` builds it.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/spawner");
    assert!(program.exists(), "build it first: cargo build -p longshore-engine --example spawner");
    program
}

pub(super) fn options(run_dir: PathBuf) -> SpawnerOptions {
    SpawnerOptions { program: program(), args: vec![], run_dir, cgroup: None, scope: false, open_files: None }
}

impl Kit {
    pub(super) async fn new() -> Self {
        Self::with_cgroup(None).await
    }

    pub(super) async fn with_cgroup(cgroup: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("run");
        std::fs::create_dir(&run_dir).unwrap();
        let options = SpawnerOptions { cgroup, ..options(run_dir.clone()) };
        Self {
            spawner: Spawner::launch(options).await.unwrap(),
            _shims: ShimsEnd::of(&run_dir),
            run_dir,
            folder: folder.path().to_owned(),
            next: AtomicU64::new(1),
            _folder: folder,
        }
    }

    /// A new plan for a program.
    pub(super) fn plan(&self, argv: &[&str]) -> AttemptPlan {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        // Different in every kit, too: processes are looked for by it on the whole machine.
        let random = (u128::from(std::process::id()) << 64)
            | (u128::from(number) << 100)
            | self
                .folder
                .to_string_lossy()
                .bytes()
                .fold(0u128, |sum, byte| (sum * 31 + u128::from(byte)) & 0xffff_ffff);
        AttemptPlan {
            job: JobId::new(Timestamp::from_millis(1_795_000_000_000), random),
            number: JobNumber(number),
            attempt: AttemptNumber(1),
            nonce: Nonce::new(random),
            boot: "boot".into(),
            spec: CommandSpec::new(argv, &self.folder.to_string_lossy(), &[("PATH", "/usr/bin:/bin")]),
            output_path: self.folder.join(format!("{number}.log")),
        }
    }

    /// A new plan for a line of shell.
    pub(super) fn shell(&self, line: &str) -> AttemptPlan {
        let mut plan = self.plan(&[line]);
        plan.spec.shell = true;
        plan
    }

    pub(super) async fn start(&self, plan: &AttemptPlan) -> ShimLink {
        within(self.spawner.spawn(plan.clone())).await.unwrap()
    }

    /// Runs to the end.
    pub(super) async fn run(&self, plan: &AttemptPlan) -> AttemptReport {
        let mut link = self.start(plan).await;
        ended(&mut link).await
    }

    /// Runs to the end; what it printed, too.
    pub(super) async fn output(&self, plan: &AttemptPlan) -> (AttemptReport, Vec<u8>) {
        let report = self.run(plan).await;
        (report, read_all(&plan.output_path))
    }

    pub(super) async fn look_up(&self, plan: &AttemptPlan) -> Found {
        within(look_up(&self.run_dir, plan.number, plan.attempt, plan.nonce)).await
    }
}

/// Fails the test if something takes for ever.
pub(super) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("nothing here takes so long")
}

pub(super) async fn ended(link: &mut ShimLink) -> AttemptReport {
    loop {
        if let ShimReport::Ended(report) = within(link.next()).await.expect("an end is told") {
            return report;
        }
    }
}

/// Waits until the shim has put the end on record.
pub(super) async fn recorded(run_dir: &std::path::Path, plan: &AttemptPlan) -> AttemptReport {
    within(async {
        loop {
            if let Some(report) = exit_record(run_dir, plan.number, plan.attempt, plan.nonce).await {
                return report;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub(super) async fn started(link: &mut ShimLink) -> ProcessIdentity {
    match within(link.next()).await {
        Some(ShimReport::Started { process, .. }) => process,
        other => panic!("expected the start, not {other:?}"),
    }
}

/// Waits until the command has printed at least so many bytes. The link must be followed.
pub(super) async fn printed(link: &mut ShimLink, bytes: u64) {
    loop {
        match within(link.next()).await.expect("it still runs") {
            ShimReport::Output { total, .. } if total >= bytes => return,
            ShimReport::Ended(report) => panic!("it ended too early: {report:?}"),
            _ => {}
        }
    }
}

pub(super) fn read_all(path: &std::path::Path) -> Vec<u8> {
    let file = OutputFile::open(path).unwrap();
    let mut bytes = vec![];
    let mut offset = 0;
    while offset < file.total() {
        let chunk = file.read(offset, 1 << 20).unwrap();
        offset = chunk.next_offset;
        bytes.extend(chunk.bytes);
    }
    bytes
}

/// Whether exactly this process still lives.
pub(super) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

/// The number of the shim itself: the parent of the command.
pub(super) fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

pub(super) fn kill(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits until a process is gone, by its own handle.
#[cfg(target_os = "linux")]
pub(super) async fn gone(pid: u32) {
    let Some(number) = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()) else { return };
    let Ok(handle) = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()) else { return };
    let wait = move || {
        let mut handles = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut handles, None)
    };
    within(tokio::task::spawn_blocking(wait)).await.unwrap().unwrap();
}

/// Waits until no process has that number.
#[cfg(not(target_os = "linux"))]
pub(super) async fn gone(pid: u32) {
    let number = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    within(async {
        while rustix::process::test_kill_process(number).is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
