//! A real PostgreSQL server for the tests, in a folder of its own, reached by a socket in it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Where distributions put the programs, beside the search path; newest version last.
const PLACES: &str = "ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
     2>/dev/null | sort -V | tail -n 1";
/// Nothing that the tests prove depends on the disk.
const SETTINGS: &str = "-c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB \
     -c listen_addresses= -c autovacuum_naptime=5s -c max_wal_size=256MB";

/// Whom the super-user runs the server as: anybody will do.
const OTHER_USER: &str = "65534";

/// A server that runs until it is stopped, or until this process ends, however it ends.
pub(super) struct Server {
    folder: PathBuf,
    bin: PathBuf,
    running: Mutex<Option<Running>>,
}

/// The shell that the server runs under. It ends both as soon as its input does.
struct Running {
    shell: Child,
    input: ChildStdin,
}

impl Server {
    /// The server that tests share; they leave it running.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A server for one test, which may stop it. Its folder stays until the process ends.
    pub(super) fn own() -> &'static Self {
        Box::leak(Box::new(Self::start()))
    }

    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        // The shell of the server removes it.
        let server = Self { folder: folder.keep(), bin: find(), running: Mutex::new(None) };
        let initdb =
            format!("{} -D data -A trust -U longshore --no-sync -E UTF8 --locale=C >log 2>&1", server.run("initdb"));
        assert!(server.shell(&initdb).status().unwrap().success(), "initdb failed: {}", server.log());
        server.go_on();
        server
    }

    /// Where its socket is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the server, and waits until it takes connections.
    pub(super) fn go_on(&self) {
        let socket = self.folder.display();
        // However this process ends, the input of the shell ends with it.
        let script = format!(
            "{} -D data -k {socket} {SETTINGS} 2>log & server=$!; \
             until {} -q -h {socket}; do kill -0 $server || exit 1; sleep 0.02; done; echo up; \
             read -r again; kill -QUIT $server; wait $server; [ \"$again\" ] || rm -rf {socket}",
            self.run("postgres"),
            self.run("pg_isready"),
        );
        let mut shell = self.shell(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "PostgreSQL does not start: {}", self.log());
        let input = shell.stdin.take().unwrap();
        *self.running.lock().unwrap() = Some(Running { shell, input });
    }

    /// Ends the server at once, as a crash does, and waits until it is gone.
    pub(super) fn crash(&self) {
        let Running { mut shell, mut input } = self.running.lock().unwrap().take().unwrap();
        writeln!(input, "again").unwrap();
        shell.wait().unwrap();
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// How to run one of the programs: the server refuses to be run by the super-user.
    fn run(&self, program: &str) -> String {
        let program = self.bin.join(program).display().to_string();
        match output("id -u").as_str() {
            "0" => format!("setpriv --reuid={OTHER_USER} --regid={OTHER_USER} --clear-groups {program}"),
            _ => program,
        }
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.folder);
        command
    }
}

fn find() -> PathBuf {
    let on_path = output("command -v initdb | xargs -r readlink -f | xargs -r dirname");
    let place = if on_path.is_empty() { output(PLACES) } else { on_path };
    let bin = Path::new(&place);
    assert!(
        !place.is_empty() && bin.join("postgres").exists(),
        "PostgreSQL 15 or later is needed for these tests and is not installed (`apt-get install postgresql`)"
    );
    bin.to_owned()
}

fn output(script: &str) -> String {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
