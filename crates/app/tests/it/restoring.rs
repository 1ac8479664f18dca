//! A database that is put back to an instant, as the manual says, and the nodes that go on with it.

use longshore_engine::Clock;
use longshore_testkit::postgres::Server;

use crate::harness::{Home, until_there};
use crate::nodes::pair_with;

/// Waits until a job is on record as running.
fn runs(home: &Home, id: &str) {
    while home.run(&["show", "--json", id]).ok().json()["state"] != "running" {}
}

#[test]
fn nodes_go_on_with_what_a_database_knows_that_was_put_back() {
    let server = Server::archiving();
    let (one, two) = pair_with(&server.database(), "30s", "");
    two.run(&["drain", "--off"]).ok();
    let before = one.submit(&["--require", "of-runs", "--", "echo", "before"]);
    one.run(&["wait", &before]).ok();
    server.back_up();
    let between = one.submit(&["--require", "of-other", "--", "echo", "between"]);
    one.run(&["wait", &between]).ok();
    let (go, pid) = (one.scratch("go"), one.scratch("pid"));
    let goes_on = one.submit(&["--require", "of-other", "--", "sh", "-c", &until_there(&go)]);
    let ends = one.submit(&["--require", "of-runs", "--shell", "--", "exec sleep 1000"]);
    runs(&one, &goes_on);
    runs(&one, &ends);
    let instant = Clock::system().now().to_string();
    one.run(&["cancel", "--wait", &ends]).ok();
    let line = format!("echo $$ >{pid}; echo up; exec sleep 1000");
    let newer = one.submit(&["--require", "of-runs", "--shell", "--", &line]);
    assert_eq!(one.first_line(&newer), "up\n");
    let newer_process = format!("/proc/{}", std::fs::read_to_string(&pid).unwrap().trim());
    one.run(&["down"]).ok();
    two.run(&["down"]).ok();

    server.put_back(&instant);
    one.daemon();
    two.daemon();
    for (id, text) in [(&before, "before\n"), (&between, "between\n")] {
        assert_eq!(one.run(&["logs", id]).ok().text(), text);
    }
    assert_eq!(one.run(&["show", &newer]).code, 66, "it was never accepted, as far as anybody knows");
    while std::fs::exists(&newer_process).unwrap() {
        std::thread::yield_now();
    }
    let lost = one.finished(&ends);
    assert_eq!(lost["outcome"]["reason"], "lost", "nobody knows any more how it ended: {lost}");
    std::fs::write(&go, "").unwrap();
    assert_eq!(one.run(&["wait", &goes_on]).code, 7, "its node found it");
    assert_eq!(two.run(&["run", "--", "echo", "on"]).ok().text(), "on\n");
}
