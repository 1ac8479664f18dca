//! Starts the spawner's own process.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::passing::{ask_for_shim, send_frame};
use super::scope::scoped;
use super::{Placed, ProcessError, SpawnerOptions, lock};
use crate::shim::wire::{Ready, Setup, to_frame};

/// How long the program may take to become a spawner.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Shims that wait for requests. Each taken one is replaced while it begins its work.
const SHIMS_AHEAD: usize = 2;

/// What is told at most of what `systemd-run` said.
const SAID_BYTES_MAX: u64 = 500;

/// A spawner that is ready.
pub(super) struct Line {
    pub(super) socket: Arc<UnixStream>,
    pub(super) placed: Placed,
    /// Kept so that it is reaped when it ends.
    _child: Child,
}

/// Waits for older spawners to be gone, then starts one.
pub(super) async fn launch(options: &SpawnerOptions) -> Result<Line, ProcessError> {
    let lock = lock::take(&options.run_dir).await?;
    if options.scope {
        match in_scope(options, scoped(&options.program, &options.args), &lock).await {
            Ok(line) => return Ok(line),
            Err(error) => tracing::warn!(
                %error,
                "no systemd scope for the spawner; commands may be stopped together with the service"
            ),
        }
    }
    let failed = |source| ProcessError::Launch { program: options.program.clone(), source };
    start(options, direct(options), Stdio::null(), &lock).await.map_err(failed)
}

/// Source: systemd-run(1); with `--scope` it becomes the program itself, so our socket is passed on.
async fn in_scope(options: &SpawnerOptions, ways: [StdCommand; 2], lock: &File) -> io::Result<Line> {
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for way in ways {
        let mut words = said_in(&options.run_dir)?;
        match start(options, way.into(), Stdio::from(words.try_clone()?), lock).await {
            Ok(line) => return Ok(Line { placed: Placed { scope: true, ..line.placed }, ..line }),
            Err(error) => {
                let mut said = String::new();
                words.seek(SeekFrom::Start(0))?;
                words.take(SAID_BYTES_MAX).read_to_string(&mut said)?;
                refused = io::Error::new(error.kind(), format!("{error}: {}", said.trim()));
            }
        }
    }
    Err(refused)
}

/// A file without a name for what `systemd-run` has to say.
fn said_in(folder: &Path) -> io::Result<File> {
    let path = folder.join("scope.err");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

fn direct(options: &SpawnerOptions) -> Command {
    let mut command = Command::new(&options.program);
    // Neither it nor the shims need anything of our environment, and secrets may be in it.
    command.args(&options.args).env_clear();
    command
}

async fn start(options: &SpawnerOptions, mut command: Command, said: Stdio, lock: &File) -> io::Result<Line> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let socket = UnixStream::from_std(ours)?;
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(said);
    let child = command.current_dir("/").spawn()?;
    drop(command);
    let ready = timeout(READY_WITHIN, set_up(&socket, options, lock)).await;
    let ready = ready.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not become ready in 10 s"))??;
    lock::name_holder(lock, ready.pid)?;
    for _ in 0..SHIMS_AHEAD {
        ask_for_shim(&socket)?;
    }
    let placed = Placed { scope: false, leaves: ready.leaves };
    if let Some(folder) = options.cgroup.as_ref().filter(|_| !placed.leaves) {
        let folder = folder.display();
        tracing::warn!(%folder, "commands cannot join cgroups there: their limits hold as far as they do without");
    }
    Ok(Line { socket: Arc::new(socket), placed, _child: child })
}

async fn set_up(socket: &UnixStream, options: &SpawnerOptions, lock: &File) -> io::Result<Ready> {
    let (cgroup, open_files) = (options.cgroup.clone(), options.open_files);
    let setup = Setup { run_dir: absolute(&options.run_dir)?, cgroup, open_files };
    send_frame(socket, &to_frame(&setup)?, Some(lock.as_fd())).await?;
    let mut answer = vec![];
    while !answer.ends_with(b"\n") {
        socket.readable().await?;
        match socket.try_read_buf(&mut answer) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it was ready")),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(serde_json::from_slice(&answer)?)
}

fn absolute(path: &Path) -> io::Result<std::path::PathBuf> {
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Notes how it was called, and becomes what it was called for.
    const SYSTEMD_RUN: &str =
        "#!/bin/sh\necho \"$@\" > \"${0%/*}/called\"\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";
    /// Says that it is ready, and does nothing about what it is asked.
    const SPAWNER: &str = "#!/bin/sh\necho '{\"pid\":7,\"leaves\":false}' >&0\nexec cat\n";

    fn folder(systemd_run: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("systemd-run", systemd_run), ("spawner", SPAWNER)] {
            std::fs::write(folder.path().join(name), text).unwrap();
            std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    async fn scope_by(folder: &Path) -> io::Result<Line> {
        let options = SpawnerOptions {
            program: folder.join("spawner"),
            args: vec!["shim".into()],
            run_dir: folder.to_owned(),
            cgroup: None,
            scope: true,
            open_files: None,
        };
        let ways = scoped(&options.program, &options.args).map(|mut way| {
            way.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
            way
        });
        in_scope(&options, ways, &lock::take(&options.run_dir).await.unwrap()).await
    }

    fn called(folder: &Path) -> String {
        let manager = if rustix::process::geteuid().is_root() { "--system" } else { "--user" };
        let called = std::fs::read_to_string(folder.join("called")).unwrap();
        let program = format!("{} shim", folder.join("spawner").display());
        called.replace(&format!("{manager} --scope --collect --quiet"), "SCOPE").replace(&program, "SPAWNER")
    }

    #[tokio::test]
    async fn a_scope_is_made_by_systemd_run_which_becomes_the_spawner() {
        let folder = folder(SYSTEMD_RUN);
        let line = scope_by(folder.path()).await.unwrap();
        assert_eq!(line.placed, Placed { scope: true, leaves: false });
        let expected = "SCOPE --property OOMPolicy=continue --property TasksMax=infinity -- SPAWNER\n";
        assert_eq!(called(folder.path()), expected);
    }

    #[tokio::test]
    async fn a_systemd_that_does_not_know_what_it_is_told_makes_a_plain_scope() {
        let older = "#!/bin/sh\ncase \"$*\" in *--property*) echo Unknown assignment >&2; exit 1 ;; esac\n";
        let folder = folder(&format!("{older}{}", SYSTEMD_RUN.trim_start_matches("#!/bin/sh\n")));
        assert!(scope_by(folder.path()).await.unwrap().placed.scope);
        assert_eq!(called(folder.path()), "SCOPE -- SPAWNER\n");
    }

    #[tokio::test]
    async fn why_there_is_no_scope_is_told_in_the_words_of_systemd_run() {
        let folder = folder("#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n");
        let error = scope_by(folder.path()).await.err().unwrap().to_string();
        assert!(error.ends_with(": Failed to connect to bus"), "{error}");
    }
}
