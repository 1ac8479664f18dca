//! A real PostgreSQL server for the tests, in a folder of its own, reached by a socket in it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Where distributions put the programs, beside the search path; newest version last.
const PLACES: &str = "ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
     2>/dev/null | sort -V | tail -n 1";
/// Where tests reach a server whose port nobody else sees.
const PORT: u16 = 5432;
/// Nothing that the tests prove depends on the disk.
const SETTINGS: &str = "-c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB \
     -c listen_addresses= -c autovacuum_naptime=5s -c max_wal_size=256MB";
/// What is measured keeps what it has acknowledged. Loads are some ten times as dense as in earnest, and so is cleaning.
const DURABLE: &str = "-c max_connections=300 -c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum_naptime=5s \
     -c allow_system_table_mods=on -c listen_addresses=127.0.0.1";

/// Whom the super-user runs the server as: anybody will do.
const OTHER_USER: &str = "65534";

/// A server that runs until it is stopped, or until this process ends, however it ends.
pub struct Server {
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
    settings: String,
    running: Mutex<Option<Running>>,
}

/// The shell that the server runs under. It ends both as soon as its input does.
struct Running {
    shell: Child,
    input: ChildStdin,
}

impl Server {
    /// The server that tests share; they leave it running.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::make(PORT, SETTINGS.to_owned()).start())
    }

    /// A server for one test, which may stop it. Its folder stays until the process ends.
    pub fn own() -> &'static Self {
        Box::leak(Box::new(Self::make(PORT, SETTINGS.to_owned()).start()))
    }

    /// A server for one test that is reached by TCP at `port` too, with a certificate of `localhost` that a root in
    /// the file `root.pem` signed. It asks the user `guarded` for a password.
    pub fn secured(port: u16) -> &'static Self {
        let server = Self::make(port, format!("{SETTINGS} -c ssl=on -c listen_addresses=127.0.0.1"));
        let key = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        let script = format!(
            "{key} -x509 -days 2 -subj /CN=root -keyout root.key -out root.pem && \
             {key} -x509 -days 2 -subj /CN=root -keyout other.key -out other.pem && \
             {key} -subj /CN=localhost -keyout data/server.key -out csr && echo subjectAltName=DNS:localhost >ext && \
             openssl x509 -req -in csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile ext \
             -out data/server.crt && chmod 600 data/server.key && echo 'host all guarded all scram-sha-256' \
             | cat - data/pg_hba.conf >hba && cp hba data/pg_hba.conf"
        );
        server.prepare(&format!("{} sh -c \"{script}\"", server.as_other_user()));
        Box::leak(Box::new(server.start()))
    }

    /// A server for measurements, as durable as one in earnest, which is reached by TCP at `port` too.
    pub fn durable(port: u16) -> &'static Self {
        Box::leak(Box::new(Self::make(port, DURABLE.to_owned()).start()))
    }

    /// A standby of this server, which commits nothing from then on that the standby does not have.
    pub fn standby(&self) -> &'static Self {
        let standby = Self::empty(PORT, SETTINGS.to_owned());
        let backup = standby.run("pg_basebackup");
        standby.prepare(&format!("{backup} -D data -R -X stream -c fast -U longshore -h {}", self.folder.display()));
        let standby = standby.start();
        let waits = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        let psql = self.run("psql");
        let socket = self.folder.display();
        self.prepare(&format!("{psql} -U longshore -h {socket} -c \"{waits}\" -c 'SELECT pg_reload_conf()' postgres"));
        Box::leak(Box::new(standby))
    }

    /// A server for one test whose log is archived, so that it can be put back.
    pub fn archiving() -> &'static Self {
        let archive = "-c archive_mode=on -c \"archive_command=cp %p ../archive/%f\"";
        let server = Self::make(PORT, format!("{SETTINGS} {archive}"));
        server.prepare(&format!("{} mkdir archive", server.as_other_user()));
        Box::leak(Box::new(server.start()))
    }

    /// Takes a base backup.
    pub fn back_up(&self) {
        let backup = self.run("pg_basebackup");
        self.prepare(&format!("{backup} -D base -X stream -c fast -U longshore -h {}", self.folder.display()));
    }

    /// Puts back what was there at an instant, by the base backup and the archive. Something must have been committed since.
    pub fn put_back(&self, instant: &str) {
        self.sql(
            "DO $$ DECLARE wanted text := pg_walfile_name(pg_current_wal_lsn()); BEGIN PERFORM pg_switch_wal(); \
             WHILE coalesce((SELECT last_archived_wal FROM pg_stat_archiver) < wanted, true) LOOP \
             PERFORM pg_sleep(0.02); PERFORM pg_stat_clear_snapshot(); END LOOP; END $$",
        );
        self.crash();
        // Here, and here alone, the server knows no `Z`.
        let instant = instant.replace('T', " ").replace('Z', "+00");
        let script = format!(
            "mv data data.old && cp -a base data && touch data/recovery.signal && cat >>data/postgresql.conf <<END\n\
             restore_command = 'cp ../archive/%f %p'\nrecovery_target_time = '{instant}'\n\
             recovery_target_action = 'promote'\nEND\n"
        );
        std::fs::write(self.folder.join("put_back"), script).expect("the folder is ours");
        self.prepare(&format!("{} sh put_back", self.as_other_user()));
        self.go_on();
        self.sql("DO $$ BEGIN WHILE pg_is_in_recovery() LOOP PERFORM pg_sleep(0.02); END LOOP; END $$");
    }

    /// Makes a standby take writes.
    pub fn promote(&self) {
        self.prepare(&format!("{} promote -w -D data", self.run("pg_ctl")));
    }

    fn empty(port: u16, settings: String) -> Self {
        let folder = tempfile::Builder::new().prefix("pg").tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).expect("it is ours");
        // The shell of the server removes it.
        Self { folder: folder.keep(), bin: find(), port, settings, running: Mutex::new(None) }
    }

    fn make(port: u16, settings: String) -> Self {
        let server = Self::empty(port, settings);
        let initdb = format!("{} -D data -A trust -U longshore --no-sync -E UTF8 --locale=C", server.run("initdb"));
        server.prepare(&initdb);
        server
    }

    fn prepare(&self, script: &str) {
        let done = self.shell(&format!("{script} >prepared 2>&1")).status().expect("a shell");
        assert!(done.success(), "the server cannot be prepared: {}", self.log());
    }

    fn start(self) -> Self {
        self.go_on();
        self
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the server, and waits until it takes connections.
    pub fn go_on(&self) {
        let socket = self.folder.display();
        // However this process ends, the input of the shell ends with it.
        let script = format!(
            "{} -D data -k {socket} -p {} {} 2>log & server=$!; \
             until {} -q -h {socket} -p {}; do kill -0 $server || exit 1; sleep 0.02; done; echo up; \
             read -r again; kill -QUIT $server; wait $server; [ \"$again\" ] || rm -rf {socket}",
            self.run("postgres"),
            self.port,
            self.settings,
            self.run("pg_isready"),
            self.port,
        );
        let mut shell = self.shell(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().expect("a pipe")).read_line(&mut line).expect("text");
        assert_eq!(line, "up\n", "PostgreSQL does not start: {}", self.log());
        let input = shell.stdin.take().expect("a pipe");
        *self.lock() = Some(Running { shell, input });
    }

    /// Ends the server at once, as a crash does, and waits until it is gone.
    pub fn crash(&self) {
        let Running { mut shell, mut input } = self.lock().take().expect("it runs");
        writeln!(input, "again").expect("it listens");
        shell.wait().expect("it is ours");
    }

    /// The same for good: its folder goes too.
    pub fn end(&self) {
        let Running { mut shell, input } = self.lock().take().expect("it runs");
        drop(input);
        shell.wait().expect("it is ours");
    }

    /// A new database for one test: its URL, for the super-user and without a password.
    pub fn database(&self) -> String {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"));
        format!("postgres://longshore@{}/{name}", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// Does something in SQL as the super-user.
    pub fn sql(&self, sql: &str) {
        let psql =
            format!("{} -q -U longshore -h {} -p {} postgres", self.run("psql"), self.folder.display(), self.port);
        let mut shell = self
            .shell(&format!("{psql} -v ON_ERROR_STOP=1 >prepared 2>&1"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        shell.stdin.take().expect("a pipe").write_all(sql.as_bytes()).expect("it listens");
        assert!(shell.wait().expect("it is ours").success(), "{sql}: {}", self.log());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> String {
        let read = |file| std::fs::read_to_string(self.folder.join(file)).unwrap_or_default();
        read("prepared") + &read("log")
    }

    fn run(&self, program: &str) -> String {
        format!("{} {}", self.as_other_user(), self.bin.join(program).display())
    }

    /// The server refuses to be run by the super-user.
    fn as_other_user(&self) -> String {
        match output("id -u").as_str() {
            "0" => format!("setpriv --reuid={OTHER_USER} --regid={OTHER_USER} --clear-groups"),
            _ => String::new(),
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
    let output = Command::new("sh").args(["-c", script]).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
