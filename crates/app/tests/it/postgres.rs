//! The binary with its jobs on a PostgreSQL server.

use std::net::TcpListener;
use std::path::Path;

use longshore_testkit::postgres::Server;
use rustix::process::{Signal, kill_process};

use crate::harness::{Home, Ran, pid_of, ran, until_there};

fn home_at(url: &str) -> Home {
    Home::configured(&format!("[store]\nurl = \"{url}\"\n"))
}

#[test]
fn jobs_on_a_server_outlive_the_daemon() {
    let home = home_at(&Server::shared().database());
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    kill_process(pid_of(&home.daemon()), Signal::KILL).unwrap();
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", &id]).code, 7);
    home.run(&["down"]).ok();
    assert_eq!(home.run(&["logs", &id]).text(), "up\ndown\n");
    assert_eq!(home.finished(&id)["number"], 1);
    assert!(!home.path("data/jobs.db").exists());
    let report = home.run(&["doctor", "--json"]).ok().json();
    let artifacts = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "artifacts").unwrap();
    assert_eq!(artifacts["status"], "warn", "{artifacts}");
    let facts = report["store"].clone();
    assert!(facts["engine"].as_str().unwrap().starts_with("PostgreSQL 1"), "{facts}");
}

#[test]
fn the_place_of_a_server_is_shown_without_secrets_and_looked_at_without_a_daemon() {
    let server = Server::shared();
    let url = server.database();
    let home = home_at("postgres://ann:s3cret@db.example/jobs");
    let shown = home.run(&["config", "show", "--origin"]).ok().text();
    let place = "store.url = postgres://db.example:5432/jobs, schema longshore  # ";
    assert!(shown.contains(place) && !shown.contains("s3cret"), "{shown}");
    let looked = ran(home.command(&["doctor", "--json"]).env("LONGSHORE_STORE_URL", &url).output().unwrap());
    assert!(looked.ok().text().contains("no schema yet at postgres://"));
    let wrong = ran(home.command(&["config", "show"]).env("LONGSHORE_STORE_URL", "my://a:s3cret@b").output().unwrap());
    assert_eq!(wrong.code, 78, "{wrong:?}");
    assert!(wrong.stderr.contains("LONGSHORE_STORE_URL") && !wrong.stderr.contains("s3cret"), "{wrong:?}");
}

#[test]
fn the_password_comes_from_the_environment_and_a_wrong_one_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::secured(port);
    server.sql("CREATE ROLE guarded LOGIN PASSWORD 's3cret'; GRANT CREATE ON DATABASE postgres TO guarded");
    let home = home_at(&format!("postgres://guarded@127.0.0.1:{port}/postgres"));
    let with = |args: &[&str], password: &str| {
        ran(home.command(args).env("PGPASSWORD", password).env("HOME", home.scratch("")).output().unwrap())
    };
    for args in [["serve"].as_slice(), &["run", "--", "true"], &["doctor"]] {
        let refused = with(args, "wr0ng");
        assert_ne!(refused.code, 0, "{refused:?}");
        let told = refused.text() + &refused.stderr;
        assert!(told.contains("password authentication failed") && told.contains("PGPASSWORD"), "{told}");
        assert!(!told.contains("wr0ng"), "{told}");
    }
    with(&["run", "--", "true"], "s3cret").ok();
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    assert!(!log.contains("s3cret") && !log.contains("wr0ng"), "{log}");
}

/// What a check of the store says that fails.
fn looked(home: &Home) -> String {
    let Ran { code, stdout, .. } = home.run(&["doctor"]);
    let text = String::from_utf8(stdout).unwrap();
    assert_eq!(code, 1, "{text}");
    text
}

fn at(folder: &Path) -> String {
    format!("postgres://longshore@{}/postgres", folder.display().to_string().replace('/', "%2F"))
}

#[test]
fn servers_that_cannot_be_used_are_told_apart() {
    let nowhere = tempfile::tempdir().unwrap();
    let away = looked(&home_at(&at(nowhere.path())));
    assert!(away.contains("cannot be used: ") && away.contains("check that the server runs"), "{away}");

    let server = Server::own();
    let home = home_at(&at(server.folder()));
    home.run(&["run", "--", "true"]).ok();
    home.run(&["down"]).ok();
    let replica = looked(&home_at(&at(server.standby().folder())));
    assert!(replica.contains("takes no writes") && replica.contains("store.url"), "{replica}");

    server.sql("UPDATE longshore.meta SET schema_version = 99, compatible_from = 99");
    assert!(looked(&home).contains("schema 99"));
    let refused = home.run(&["run", "--", "true"]);
    assert!(refused.stderr.contains("error[store_newer]"), "{refused:?}");
}

#[test]
fn a_daemon_whose_database_a_newer_one_has_changed_takes_part_no_more() {
    let server = Server::own();
    let home = home_at(&at(server.folder()));
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    let move_on = |by: i32| {
        let set = "UPDATE longshore.meta SET schema_version = schema_version";
        server.sql(&format!("{set} + {by}, compatible_from = compatible_from + {by}"));
    };
    move_on(99);
    let submit = || home.ask("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/"}"#);
    let refused = submit();
    assert_eq!((refused.status, refused.code().as_str()), (500, "store_newer"), "{refused:?}");
    let health = home.ask("GET", "/health", "");
    assert_eq!((health.status, health.json()["store"].as_str()), (503, Some("store_newer")), "{health:?}");
    std::fs::write(&go, "").unwrap();
    move_on(-99);
    assert_eq!(submit().code(), "store_newer", "only a new start takes part again");
    home.run(&["down"]).ok();
    assert_eq!(home.run(&["wait", &id]).code, 7, "what ran went on");
    assert_eq!(home.run(&["logs", &id]).text(), "up\ndown\n");
    assert_eq!(home.run(&["ls", "--json"]).ok().text().lines().count(), 1, "what was refused made no job");
}

#[test]
fn a_daemon_that_loses_its_database_says_so_and_reports_when_it_is_back() {
    let server = Server::own();
    let home = home_at(&server.database());
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    assert_eq!(home.ask("GET", "/health", "").status, 200);
    server.crash();
    let health = home.ask("GET", "/health", "");
    assert_eq!((health.status, health.json()["status"].as_str()), (503, Some("degraded")), "{health:?}");
    let refused = home.ask("POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/"}"#);
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"), "{refused:?}");
    assert_eq!(refused.json()["why"], "nothing was changed", "{refused:?}");
    std::fs::write(&go, "").unwrap();
    server.go_on();
    assert_eq!(home.run(&["wait", &id]).code, 7);
    assert_eq!(home.run(&["ls", "--json"]).ok().text().lines().count(), 1, "what was refused made no job");
    assert_eq!(home.ask("GET", "/health", "").status, 200);
}
