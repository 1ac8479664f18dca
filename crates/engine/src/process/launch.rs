//! Starts the spawner's own process.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::passing::{ask_for_shim, send_frame};
use super::{ProcessError, SpawnerOptions, lock};
use crate::shim::wire::{Ready, Setup, to_frame};

/// How long the program may take to become a spawner.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Shims that wait for requests. Each taken one is replaced while it begins its work.
const SHIMS_AHEAD: usize = 2;

/// A spawner that is ready.
pub(super) struct Line {
    pub(super) socket: Arc<UnixStream>,
    /// Kept so that it is reaped when it ends.
    _child: Child,
}

/// Waits for older spawners to be gone, then starts one.
pub(super) async fn launch(options: &SpawnerOptions) -> Result<Line, ProcessError> {
    let lock = lock::take(&options.run_dir).await?;
    if options.scope {
        match start(options, scoped(options), &lock).await {
            Ok(line) => return Ok(line),
            Err(error) => tracing::warn!(
                %error,
                "no systemd scope for the spawner; commands may be stopped together with the service"
            ),
        }
    }
    let failed = |source| ProcessError::Launch { program: options.program.clone(), source };
    start(options, direct(options), &lock).await.map_err(failed)
}

fn direct(options: &SpawnerOptions) -> Command {
    let mut command = Command::new(&options.program);
    // Neither it nor the shims need anything of our environment, and secrets may be in it.
    command.args(&options.args).env_clear();
    command
}

/// Source: systemd-run(1); with `--scope` it becomes the program itself, so our socket is passed on.
fn scoped(options: &SpawnerOptions) -> Command {
    let manager = if rustix::process::geteuid().is_root() { "--system" } else { "--user" };
    let mut command = Command::new("systemd-run");
    command.args([manager, "--scope", "--collect", "--quiet", "--"]).arg(&options.program).args(&options.args);
    command
}

async fn start(options: &SpawnerOptions, mut command: Command, lock: &File) -> io::Result<Line> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    let socket = UnixStream::from_std(ours)?;
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.current_dir("/").spawn()?;
    drop(command);
    let ready = timeout(READY_WITHIN, set_up(&socket, options, lock)).await;
    let ready = ready.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not become ready in 10 s"))??;
    lock::name_holder(lock, ready.pid)?;
    for _ in 0..SHIMS_AHEAD {
        ask_for_shim(&socket)?;
    }
    Ok(Line { socket: Arc::new(socket), _child: child })
}

async fn set_up(socket: &UnixStream, options: &SpawnerOptions, lock: &File) -> io::Result<Ready> {
    let setup = Setup { run_dir: absolute(&options.run_dir)?, cgroup: options.cgroup.clone() };
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
    const SPAWNER: &str = "#!/bin/sh\necho '{\"pid\":7}' >&0\nexec cat\n";

    #[tokio::test]
    async fn a_scope_is_made_by_systemd_run_which_becomes_the_spawner() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("systemd-run", SYSTEMD_RUN), ("spawner", SPAWNER)] {
            std::fs::write(folder.path().join(name), text).unwrap();
            std::fs::set_permissions(folder.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let options = SpawnerOptions {
            program: folder.path().join("spawner"),
            args: vec!["shim".into()],
            run_dir: folder.path().to_owned(),
            cgroup: None,
            scope: true,
        };
        let lock = lock::take(&options.run_dir).await.unwrap();
        let mut command = scoped(&options);
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()));
        start(&options, command, &lock).await.unwrap();
        let manager = if rustix::process::geteuid().is_root() { "--system" } else { "--user" };
        let expected = format!("{manager} --scope --collect --quiet -- {} shim\n", options.program.display());
        assert_eq!(std::fs::read_to_string(folder.path().join("called")).unwrap(), expected);
    }
}
