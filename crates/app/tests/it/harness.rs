//! A home in a temporary folder, the binary, and plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use longshore_testkit::ShimsEnd;
use rustix::process::Pid;
use serde_json::Value;

/// Nothing that a test waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home with whatever daemon its commands start. Both are gone when it is dropped.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// An answer of the daemon.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A home with these settings.
    pub(crate) fn configured(settings: &str) -> Self {
        let home = Self::new();
        std::fs::create_dir_all(home.path("")).unwrap();
        std::fs::write(home.path("config.toml"), settings).unwrap();
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("home").join(name)
    }

    /// A folder beside the home, for whatever jobs do.
    pub(crate) fn scratch(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
        command.args(args).env("LONGSHORE_HOME", self.path("")).stdin(Stdio::null()).current_dir(self.folder.path());
        let chats = longshore_mcp::CONVERSATION_VARIABLES;
        for name in ["LONGSHORE_LISTEN", "LONGSHORE_LOG", "LONGSHORE_STORE_URL", "PGPASSWORD", "PGPASSFILE"]
            .into_iter()
            .chain(chats)
        {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// Submits a command in the background; its id.
    pub(crate) fn submit(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["run", "--detach", "--json"].iter().chain(args).copied().collect();
        self.run(&all).ok().json()["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job has ended and shows it.
    pub(crate) fn finished(&self, id: &str) -> Value {
        self.run(&["wait", id]);
        self.run(&["show", "--json", id]).ok().json()
    }

    /// Waits until a job has printed a line, and so certainly runs.
    pub(crate) fn first_line(&self, id: &str) -> String {
        let mut child = self.command(&["logs", "-f", id]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        line
    }

    pub(crate) fn daemon(&self) -> Value {
        self.run(&["up", "--json"]).ok().json()
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.path("token")).unwrap().trim().to_owned()
    }

    /// Asks the daemon with the local token.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {}", self.token());
        self.ask_with(method, path, &[("authorization", &token)], body.as_bytes())
    }

    /// Asks the daemon with exactly these headers and, unless given, the length and the host.
    pub(crate) fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.open(method, path, headers, body);
        let mut bytes = vec![];
        // The other side may reset the connection after its answer.
        stream.read_to_end(&mut bytes).ok();
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[at + 4..].to_vec() }
    }

    /// Sends a request and leaves the answer to be read.
    pub(crate) fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let address = self.daemon()["listen"].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        for (name, value) in [("content-length", body.len().to_string()), ("host", address)] {
            if !headers.iter().any(|(given, _)| *given == name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A refusal may come before all is sent.
        stream.write_all(body).ok();
        stream
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Without a daemon this does nothing.
        self.run(&["down", "--now"]);
        drop(ShimsEnd::of(self.path("run")));
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The process of a daemon.
pub(crate) fn pid_of(daemon: &Value) -> Pid {
    Pid::from_raw(i32::try_from(daemon["pid"].as_u64().unwrap()).unwrap()).unwrap()
}

/// A command that runs until `file` is there, and then ends with 7.
pub(crate) fn until_there(file: &str) -> String {
    format!("echo up; while [ ! -e {file} ]; do sleep 0.02; done; echo down; exit 7")
}
