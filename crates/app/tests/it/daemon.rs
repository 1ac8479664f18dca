//! The daemon's life: one of it, starting by itself, ending, being killed.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Home, pid_of, ran, until_there};

#[test]
fn a_killed_daemon_loses_nothing() {
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    kill_process(pid_of(&home.daemon()), Signal::KILL).unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", &id]).code, 7);
    assert_eq!(home.run(&["logs", &id]).text(), "up\ndown\n");
}

#[test]
fn a_wait_keeps_its_limit_where_no_daemon_answers() {
    let home = Home::new();
    let daemon = pid_of(&home.daemon());
    home.run(&["run", "--quiet", "--", "true"]).ok();
    kill_process(daemon, Signal::STOP).unwrap();
    let waited = home.run(&["wait", "--timeout", "1ms", "1"]);
    kill_process(daemon, Signal::CONT).unwrap();
    assert!(waited.code == 81 && waited.stderr.contains("no daemon has answered"), "{waited:?}");
}

#[test]
fn a_wait_survives_the_death_of_the_daemon() {
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    let mut follower = home.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let waiter = home.command(&["wait", &id]).stdout(Stdio::null()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut first = [0; 3];
    out.read_exact(&mut first).unwrap();
    kill_process(pid_of(&home.daemon()), Signal::KILL).unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(ran(waiter.wait_with_output().unwrap()).code, 7);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((&first, rest.as_str()), (b"up\n", "down\n"));
    assert!(follower.wait().unwrap().success());
}

#[test]
fn stopping_the_daemon_leaves_commands_alone() {
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    let stopped = home.run(&["down", "--json"]).ok().json();
    assert_eq!(stopped["stopped"], true);
    assert!(!home.path("daemon.json").exists());
    assert_eq!(home.run(&["down", "--json"]).ok().json()["stopped"], false);
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", &id]).code, 7);
}

#[test]
fn who_watches_outlasts_a_stop_and_does_not_undo_it() {
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    let mut follower = home.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut first = [0; 3];
    out.read_exact(&mut first).unwrap();
    assert_eq!(home.run(&["down", "--json"]).ok().json()["stopped"], true);
    std::fs::write(&go, "").unwrap();
    assert!(!home.path("daemon.json").exists());
    home.run(&["up"]).ok();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((&first, rest.as_str()), (b"up\n", "down\n"));
    assert!(follower.wait().unwrap().success());
}

#[test]
fn ten_at_once_start_one_daemon() {
    let home = Home::new();
    let start = |_| home.command(&["run", "--detach", "--", "true"]).stdout(Stdio::piped()).spawn().unwrap();
    let children: Vec<_> = (0..10).map(start).collect();
    let mut ids: Vec<String> =
        children.into_iter().map(|child| ran(child.wait_with_output().unwrap()).ok().text()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains(" ready ")).count(), 1, "{log}");
}

#[test]
fn a_second_daemon_is_refused_with_the_pid_of_the_first() {
    let home = Home::new();
    let daemon = home.daemon();
    let refused = home.run(&["serve"]);
    assert_eq!(refused.code, 69);
    assert!(refused.stderr.contains("already_running"), "{refused:?}");
    assert!(refused.stderr.contains(&daemon["pid"].to_string()), "{refused:?}");
}

#[test]
fn homes_have_daemons_of_their_own() {
    let (one, two) = (Home::new(), Home::new());
    one.run(&["run", "--name", "only here", "--", "true"]).ok();
    assert_ne!(one.daemon()["listen"], two.daemon()["listen"]);
    assert_eq!(two.run(&["ls", "--json"]).ok().text(), "");
}

#[test]
fn the_port_is_remembered_and_given_up_when_it_is_taken() {
    let home = Home::new();
    let port = |listen: &serde_json::Value| listen.as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let first = port(&home.daemon()["listen"]);
    assert_eq!(std::fs::read_to_string(home.path("port")).unwrap().trim(), first);
    home.run(&["down"]).ok();
    // One that no system gives to whoever asks for any, as other tests do meanwhile.
    let free = (20_000..30_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap().to_string();
    std::fs::write(home.path("port"), &free).unwrap();
    let listen = home.daemon()["listen"].clone();
    assert_eq!(port(&listen), free);
    home.run(&["down"]).ok();
    let _taken = TcpListener::bind(listen.as_str().unwrap()).unwrap();
    assert_ne!(home.daemon()["listen"], listen);
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = home.command(&["run", "--", "true"]);
    let refused = ran(command.env("LONGSHORE_LISTEN", &address).output().unwrap());
    assert_eq!(refused.code, 69, "{refused:?}");
    let words = ["error[listen_failed]", &address, "next:", "LONGSHORE_LISTEN"];
    assert!(words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    if cfg!(target_os = "linux") {
        assert!(refused.stderr.contains(&format!("process {}", std::process::id())), "{refused:?}");
    }
}

#[test]
fn ctrl_c_leaves_the_job_running() {
    let home = Home::new();
    let go = home.scratch("go");
    let line = until_there(&go);
    let mut command = home.command(&["run", "--", "sh", "-c", &line]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let left = ran(child.wait_with_output().unwrap());
    assert_eq!(left.code, 130);
    assert!(left.stderr.contains("goes on") && left.stderr.contains("longshore cancel 1"), "{left:?}");
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", "1"]).code, 7);
}

#[test]
fn following_ends_with_its_reader_though_the_job_is_silent() {
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.run(&["run", "-d", "--", "sh", "-c", &format!("echo ready; {}", until_there(&go))]);
    assert_eq!(id.code, 0);
    let mut child = home.command(&["logs", "-f", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 6];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
    drop(stdout);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", "1"]).code, 7);
}

#[test]
fn a_daemon_in_the_foreground_ends_cleanly() {
    let home = Home::new();
    let mut child =
        home.command(&["serve", "--detached"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut word = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    assert_eq!(&word, b"ready\n");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!home.path("daemon.json").exists());
}

#[test]
fn secrets_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.daemon();
    let mode = |name: &str| std::fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(""), mode("token"), mode("session.key"), mode("run/mcp.sock")], [0o700, 0o600, 0o600, 0o600]);
    assert_eq!(home.token().len(), 64);
}

#[test]
fn a_second_signal_ends_a_daemon_at_once() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(log.any(|line| line.contains(" ready ")));
    // A request whose body never comes is under way for as long as the daemon lets it be.
    let token = format!("Bearer {}", home.token());
    let headers = [("authorization", token.as_str()), ("content-length", "10"), ("expect", "100-continue")];
    let mut stuck = home.open("POST", "/api/v1/jobs", &headers, b"");
    let mut word = [0; 12];
    stuck.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert!(log.any(|line| line.contains("stopping; running commands go on")));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 2));
    drop(stuck);
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_ends_nothing() {
    let home = Home::new();
    let mut command = home.command(&["serve", "--detached"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(full).spawn().unwrap();
    let mut word = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut word).unwrap();
    assert_eq!(home.run(&["run", "--quiet", "--", "echo", "here"]).ok().text(), "here\n");
    assert_eq!(home.daemon()["pid"], child.id());
    assert_eq!(home.ask("GET", "/health", "").status, 200);
    home.run(&["down"]).ok();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_daemon_that_does_not_answer_is_called_so() {
    let home = Home::new();
    let pid = pid_of(&home.daemon());
    kill_process(pid, Signal::STOP).unwrap();
    let ran = home.run(&["ls"]);
    kill_process(pid, Signal::CONT).unwrap();
    assert_eq!(ran.code, 69);
    let said = ran.stderr;
    assert!(said.contains(&format!("the daemon, process {}, does not answer at", pid.as_raw_nonzero())), "{said}");
    home.run(&["ls"]).ok();
}

#[test]
fn commands_may_open_as_many_files_as_whoever_started_the_daemon() {
    let home = Home::new();
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -S -n 200 && exec \"$0\" up", env!("CARGO_BIN_EXE_longshore")]);
    ran(shell.env("LONGSHORE_HOME", home.path("")).output().unwrap()).ok();
    assert_eq!(home.run(&["run", "--quiet", "--", "sh", "-c", "ulimit -S -n"]).ok().text(), "200\n");
}

#[test]
fn an_emptied_database_is_not_taken_for_a_new_one() {
    let home = Home::new();
    home.run(&["run", "--quiet", "--", "echo", "here"]).ok();
    home.run(&["down"]).ok();
    std::fs::write(home.path("data/jobs.db"), "").unwrap();
    let ran = home.run(&["ls"]);
    assert_eq!(ran.code, 74);
    assert!(ran.stderr.contains("the database is empty, and its jobs were not"), "{}", ran.stderr);
    std::fs::remove_file(home.path("data/jobs.db")).unwrap();
    assert_eq!(home.run(&["ls", "--json"]).ok().text(), "");
}
