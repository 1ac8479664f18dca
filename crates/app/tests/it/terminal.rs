//! What a person sees at a terminal, and that nobody else does.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::{Home, ran};

/// What takes the line away.
const CLEAR: &str = "\r\u{1b}[2K";

/// The side of a terminal at which a person sits.
struct Terminal {
    screen: File,
    shown: Vec<u8>,
}

impl Terminal {
    /// A terminal, and the side that programs write to.
    fn open() -> (Self, OwnedFd) {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        fcntl_setfd(&screen, FdFlags::CLOEXEC).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, vec![]).unwrap();
        let programs = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        tcsetwinsize(&programs, Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        (Self { screen: screen.into(), shown: vec![] }, programs.into())
    }

    /// Reads on; false once no program has the terminal any more.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A terminal that all have left is an error to read from.
        let read = self.screen.read(&mut bytes).unwrap_or(0);
        self.shown.extend_from_slice(&bytes[..read]);
        read > 0
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown).into_owned()
    }

    /// Reads on until `words` are there.
    fn until(&mut self, words: &str) {
        while !self.shown().contains(words) {
            assert!(self.read(), "`{words}` was never shown: {:?}", self.shown());
        }
    }

    /// All that was shown.
    fn rest(mut self) -> String {
        while self.read() {}
        self.shown()
    }
}

/// A job that tells its progress, and goes on once `go` is there.
fn progress(go: &str) -> String {
    format!("echo '[1/4] one'; while [ ! -e {go} ]; do sleep 0.02; done; echo '[4/4] four'")
}

fn run_at(home: &Home, line: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Child {
    let mut command = home.command(&["run", "--shell", "--", line]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").stdout(stdout).stderr(stderr).spawn().unwrap()
}

#[test]
fn a_terminal_shows_progress_what_is_left_and_the_end() {
    let home = Home::new();
    home.daemon();
    let go = home.scratch("go");
    let (mut terminal, programs) = Terminal::open();
    let mut run = run_at(&home, &progress(&go), programs.try_clone().unwrap(), programs);
    terminal.until("[██████░░░░░░░░░░░░░░░░░░] 25% job 1 running");
    terminal.until(" left ");
    std::fs::write(&go, "").unwrap();
    let shown = terminal.rest();
    assert!(run.wait().unwrap().success());
    let (before, left) = shown.split_once("25% job 1 running, ~").unwrap();
    let (length, after) = left.split_once(" left ").unwrap();
    assert!(length.len() <= 3 && length.ends_with(['s', 'm']), "{left:?}");
    assert!(before.contains("[1/4] one\r\n") && after.contains("[4/4] four\r\n"), "{shown:?}");
    let last = shown.rsplit(CLEAR).next().unwrap();
    assert!(last.starts_with("job 1 \u{1b}[32msucceeded\u{1b}[0m after ") && last.ends_with("\r\n"), "{last:?}");
}

#[test]
fn where_there_is_no_terminal_there_is_nothing_of_it() {
    let home = Home::new();
    let go = home.scratch("go");
    std::fs::write(&go, "").unwrap();
    let printed = "[1/4] one\n[4/4] four\n";
    let plain = ran(run_at(&home, &progress(&go), Stdio::piped(), Stdio::piped()).wait_with_output().unwrap());
    assert_eq!(plain.text(), printed);
    assert!(!plain.stderr.contains(['\r', '\u{1b}', '%']) && plain.stderr.contains("job 1 succeeded"), "{plain:?}");

    let (terminal, programs) = Terminal::open();
    let run = run_at(&home, &progress(&go), programs, Stdio::piped());
    let shown = terminal.rest();
    assert_eq!(shown, printed.replace('\n', "\r\n"));
    let plain = ran(run.wait_with_output().unwrap());
    assert!(!plain.stderr.contains(['\r', '\u{1b}', '%']), "{plain:?}");

    let (terminal, programs) = Terminal::open();
    let run = run_at(&home, &progress(&go), Stdio::piped(), programs);
    assert!(terminal.rest().contains("job 3 \u{1b}[32msucceeded"));
    assert_eq!(ran(run.wait_with_output().unwrap()).text(), printed);
}

#[test]
fn who_wants_no_colour_gets_none() {
    let home = Home::new();
    home.daemon();
    let (terminal, programs) = Terminal::open();
    let mut command = home.command(&["run", "--", "false"]);
    command.env("NO_COLOR", "1").stdout(programs.try_clone().unwrap()).stderr(programs);
    let mut run = command.spawn().unwrap();
    drop(command);
    let shown = terminal.rest();
    assert!(shown.contains("job 1 failed"), "{shown:?}");
    let mut codes = shown.split("\u{1b}[").skip(1).filter_map(|code| code.chars().find(char::is_ascii_alphabetic));
    assert!(codes.all(|code| code != 'm'), "{shown:?}");
    assert_eq!(run.wait().unwrap().code(), Some(1));
}
