//! What scripts rely on.

use longshore_testkit::CgroupFolder;

use crate::harness::Home;

#[test]
fn a_detached_run_prints_one_object_with_its_id() {
    let home = Home::new();
    let ran = home.run(&["run", "--detach", "--json", "--", "true"]).ok();
    assert_eq!(ran.text().lines().count(), 1);
    assert!(ran.json()["id"].as_str().unwrap().starts_with("j_"));
    assert_eq!(ran.stderr, "");
}

#[test]
fn show_has_state_and_outcome() {
    let home = Home::new();
    let failed = home.finished(&home.submit(&["--", "sh", "-c", "exit 3"]));
    assert_eq!(failed["state"], "finished");
    assert_eq!(failed["outcome"]["status"], "failed");
    assert_eq!(failed["outcome"]["reason"], "exit");
    assert_eq!(failed["outcome"]["exit_code"], 3);
    assert!(failed["outcome"]["signal"].is_null());
    let killed = home.finished(&home.submit(&["--", "sh", "-c", "kill -9 $$"]));
    assert_eq!(killed["outcome"]["reason"], "signal");
    assert_eq!(killed["outcome"]["signal"], 9);
}

#[test]
fn logs_are_byte_exact() {
    let home = Home::new();
    let script = r"printf 'a\000b\377\r\n'; printf 'no newline at the end'";
    let id = home.submit(&["--", "sh", "-c", script]);
    home.run(&["wait", &id]).ok();
    let logs = home.run(&["logs", &id]).ok();
    assert_eq!(logs.stdout, b"a\0b\xff\r\nno newline at the end");
    assert_eq!(logs.stderr, "");
}

#[test]
fn large_output_comes_back_whole() {
    let home = Home::new();
    let id = home.submit(&["--", "seq", "1", "400000"]);
    home.run(&["wait", &id]).ok();
    let expected: String = (1..=400_000).map(|number| format!("{number}\n")).collect();
    assert!(home.run(&["logs", &id]).ok().text() == expected);
    assert!(home.run(&["logs", "--follow", &id]).ok().text() == expected);
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let home = Home::new();
    let code = |args: &[&str]| home.run(&["wait", &home.submit(args)]).code;
    assert_eq!(code(&["--", "true"]), 0);
    assert_eq!(code(&["--", "sh", "-c", "exit 77"]), 77);
    assert_eq!(code(&["--", "sh", "-c", "kill -TERM $$"]), 128 + 15);
    assert_eq!(code(&["--", "no-such-program-anywhere"]), 127);
    assert_eq!(code(&["--", "/dev/null"]), 126);
    assert_eq!(code(&["--deadline", "200ms", "--", "sleep", "600"]), 124);
    let blocked_by = home.submit(&["--", "false"]);
    assert_eq!(code(&["--after", &blocked_by, "--", "true"]), 1);
    let cancelled = home.submit(&["--", "sleep", "600"]);
    home.run(&["cancel", &cancelled, "--wait"]).ok();
    assert_eq!(home.run(&["wait", &cancelled]).code, 130);
    assert_eq!(home.run(&["wait", "no-such-job"]).code, 66);
    assert_eq!(home.run(&["wait"]).code, 2);
}

#[test]
fn of_several_the_first_failure_counts() {
    let home = Home::new();
    let jobs: Vec<String> =
        ["exit 0", "exit 5", "exit 6"].iter().map(|line| home.submit(&["--", "sh", "-c", line])).collect();
    let names: Vec<&str> = ["wait"].into_iter().chain(jobs.iter().map(String::as_str)).collect();
    let waited = home.run(&names);
    assert_eq!((waited.code, waited.text().lines().count()), (5, 3), "{waited:?}");
}

#[test]
fn doctor_tells_of_the_daemon_and_of_its_absence() {
    let home = Home::new();
    let none = home.run(&["doctor", "--json"]).ok().json();
    assert!(none["daemon_pid"].is_null() && none["listen"].is_null() && none["store"].is_null());
    assert!(!home.path("daemon.json").exists(), "doctor started a daemon");
    let daemon = home.daemon();
    let found = home.run(&["doctor", "--json"]).ok().json();
    assert_eq!(found["daemon_pid"], daemon["pid"]);
    assert_eq!(found["listen"], daemon["listen"]);
    assert!(found["store"]["engine"].as_str().unwrap().starts_with("SQLite"));
    assert_eq!(found["counts"]["finished"], 0);
}

#[test]
fn doctor_says_what_holds_in_the_cgroup_that_is_used() {
    let limits = |home: &Home| {
        let checks = home.run(&["doctor", "--json"]).json()["checks"].clone();
        checks.as_array().unwrap().iter().find(|check| check["name"] == "limits").unwrap().clone()
    };
    let home = Home::new();
    assert!(limits(&home)["message"].as_str().unwrap().contains("no cgroups are used"));
    let home = Home::configured("cgroup = \"/no/such/folder\"");
    assert_eq!(limits(&home)["status"], "fail");

    let Some(folder) = CgroupFolder::make("doctor") else { return };
    let home = Home::configured(&format!("cgroup = {:?}", folder.path()));
    home.daemon();
    let id = home.submit(&["--", "cat", "/proc/self/cgroup"]);
    home.finished(&id);
    let printed = home.run(&["logs", &id]).ok().text();
    assert!(printed.lines().any(|line| line.ends_with(&format!("/{id}.1"))), "{printed}");
    let offered = std::fs::read_to_string(folder.path().join("cgroup.controllers")).unwrap();
    let (status, held) = match offered.contains("memory") && offered.contains("pids") {
        true => ("ok", "memory and processes count for all of a job"),
        false => ("warn", "each process alone"),
    };
    let found = limits(&home);
    let message = found["message"].as_str().unwrap();
    assert_eq!(found["status"], status, "{found}");
    assert!(message.contains("all of a job is killed at once") && message.contains(held), "{found}");
    assert!(message.ends_with(folder.path().to_str().unwrap()), "{found}");
}

#[test]
fn the_same_key_gives_the_same_job() {
    let home = Home::new();
    let first = home.submit(&["--key", "one", "--", "true"]);
    let second = home.run(&["run", "-d", "--json", "--key", "one", "--", "true"]).ok().json();
    assert_eq!((second["id"].as_str().unwrap(), &second["existing"]), (first.as_str(), &true.into()));
    let other = home.run(&["run", "-d", "--key", "one", "--", "false"]);
    assert_eq!(other.code, 79);
    assert!(
        other.stderr.contains("error[idempotency_conflict]") && other.stderr.contains("another command"),
        "{other:?}"
    );
}
