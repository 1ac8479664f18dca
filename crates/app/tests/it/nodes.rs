//! Several daemons on one database, as people and scripts see them.

use std::io::Read;
use std::process::Stdio;

use longshore_testkit::postgres::Server;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::harness::{Home, pid_of, until_there};

/// One that takes jobs, and one that drains. A lease this short runs out within a test.
fn pair(lease: &str) -> (Home, Home) {
    pair_on(&Server::shared().database(), lease)
}

pub(crate) fn pair_on(url: &str, lease: &str) -> (Home, Home) {
    pair_with(url, lease, "")
}

/// The same with more settings.
pub(crate) fn pair_with(url: &str, lease: &str, more: &str) -> (Home, Home) {
    let home = |name: &str| {
        let settings = format!(
            "lease = \"{lease}\"\n{more}\n[store]\nurl = \"{url}\"\n[node]\nname = \"{name}\"\nlabels = [\"of-{name}\"]\n"
        );
        Home::configured(&settings)
    };
    let (runs, other) = (home("runs"), home("other"));
    runs.daemon();
    other.run(&["drain"]).ok();
    (runs, other)
}

fn nodes(home: &Home) -> Vec<Value> {
    let text = home.run(&["nodes", "--json"]).ok().text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn nodes_are_listed_and_drained_from_any_of_them() {
    let (runs, other) = pair("30s");
    let facts = |home: &Home| {
        let found = nodes(home);
        let fact = |node: &Value| {
            let word = |name: &str| node[name].to_string();
            ["name", "own", "alive", "draining", "running", "labels"].map(word).join(" ")
        };
        found.iter().map(fact).collect::<Vec<_>>()
    };
    let first = facts(&runs);
    assert_eq!(first, [r#""other" false true true 0 ["of-other"]"#, r#""runs" true true false 0 ["of-runs"]"#]);
    let go = runs.scratch("go");
    let id = other.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(runs.first_line(&id), "up\n");
    let draining = other.run(&["drain", "runs", "--json"]).ok().json();
    assert_eq!((&draining["running"], &draining["draining"]), (&1.into(), &true.into()));
    let waits = runs.command(&["drain", "--wait"]).stdout(Stdio::piped()).spawn().unwrap();
    let queued = runs.submit(&["--", "true"]);
    std::fs::write(&go, "").unwrap();
    let told = String::from_utf8(waits.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(told, "node runs takes no more jobs and runs 0\n");
    assert_eq!(runs.run(&["show", "--json", &queued]).ok().json()["state"], "queued");
    other.run(&["drain", "--off"]).ok();
    assert_eq!(runs.run(&["wait", &queued]).code, 0);
    assert_eq!(runs.run(&["drain", "nobody"]).code, 66);
    runs.run(&["down"]).ok();
    assert_eq!(facts(&other), [r#""other" true true false 0 ["of-other"]"#]);
}

#[test]
fn a_job_runs_where_the_labels_are_that_it_requires() {
    let (runs, other) = pair("30s");
    let id = runs.submit(&["--require", "of-other", "--", "true"]);
    let id_of_nobody = runs.submit(&["--require", "of-other", "--require", "gpu", "--", "true"]);
    runs.run(&["run", "--", "true"]).ok();
    assert_eq!(runs.run(&["show", "--json", &id]).ok().json()["state"], "queued");
    other.run(&["drain", "--off"]).ok();
    assert_eq!(runs.run(&["wait", &id]).code, 0);
    let waiting = runs.run(&["show", "--json", &id_of_nobody]).ok().json();
    assert_eq!((&waiting["state"], &waiting["requires"]), (&"queued".into(), &serde_json::json!(["gpu", "of-other"])));
    let wrong = runs.run(&["run", "--require", "no label", "--", "true"]);
    assert_eq!(wrong.code, 64, "{wrong:?}");
}

#[test]
fn output_of_a_job_is_read_through_any_node() {
    let (runs, other) = pair("30s");
    let go = runs.scratch("go");
    let id = other.submit(&["--", "sh", "-c", &until_there(&go)]);
    let mut follower = other.command(&["logs", "-f", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut first = [0; 3];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"up\n");
    std::fs::write(&go, "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(follower.wait().unwrap().success());
    assert_eq!(rest, "down\n");
    assert_eq!(other.run(&["logs", "--tail", "1", &id]).ok().text(), "down\n");
    let labelled = other.run(&["logs", "--json", "--timestamps", &id]).ok().json();
    let label = &labelled["labels"][0];
    assert!(label["at"].is_string() && label["stream"] == "merged", "{labelled}");
    kill_process(pid_of(&runs.daemon()), Signal::KILL).unwrap();
    let refused = other.ask("GET", &format!("/api/v1/jobs/{id}/output"), "");
    assert_eq!((refused.status, refused.code().as_str()), (503, "node_unreachable"), "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("runs"), "{refused:?}");
    runs.daemon();
    assert_eq!(other.run(&["logs", &id]).ok().text(), "up\ndown\n");
}

#[test]
fn a_job_is_shown_on_any_node_as_on_its_own() {
    let (runs, other) = pair("30s");
    let go = runs.scratch("go");
    let line = format!("echo '[3/4] linking'; {}", until_there(&go));
    let id = other.submit(&["--", "sh", "-c", &line]);
    assert_eq!(other.first_line(&id), "[3/4] linking\n");
    let show = |home: &Home| home.run(&["show", "--json", &id]).ok().json();
    // Its start is on record after the command has begun.
    while show(&runs)["progress"].is_null() || show(&runs)["silent_ms"].is_null() || show(&runs)["output_bytes"] != 17 {
    }
    let (there, seen) = (show(&runs), show(&other));
    for member in ["progress", "output_bytes", "node", "state"] {
        assert_eq!(seen[member], there[member], "{member}");
    }
    assert_eq!((&seen["node"], &seen["progress"]["percent"]), (&"runs".into(), &75.0.into()));
    assert!(seen["silent_ms"].is_u64(), "{seen}");
    let words = other.run(&["show", &id]).ok().text();
    assert!(["node          runs", "75% [3/4]", "17 B"].iter().all(|word| words.contains(word)), "{words}");
    assert!(other.run(&["ls", "--json"]).ok().json()["output_bytes"].is_null(), "a list asks nobody");
    kill_process(pid_of(&runs.daemon()), Signal::KILL).unwrap();
    let unseen = show(&other);
    assert_eq!((&unseen["node"], &unseen["state"]), (&"runs".into(), &"running".into()));
    let unknown = ["progress", "output_bytes", "silent_ms"];
    assert!(unknown.iter().all(|member| unseen[member].is_null()), "{unseen}");
    let words = other.run(&["show", &id]).ok().text();
    assert!(words.contains("not known: the node that has it does not answer"), "{words}");
    std::fs::write(&go, "").unwrap();
    runs.daemon();
    assert_eq!(other.finished(&id)["output_bytes"], 22);
}

#[test]
fn a_copy_of_a_home_is_refused_while_its_origin_lives() {
    let (runs, other) = pair("30s");
    other.run(&["down"]).ok();
    std::fs::copy(runs.path("node"), other.path("node")).unwrap();
    let refused = other.run(&["up"]);
    assert_eq!(refused.code, 69, "{refused:?}");
    let words = ["error[already_running]", "`runs`", "remove the file `node`"];
    assert!(words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    std::fs::remove_file(other.path("node")).unwrap();
    other.daemon();
}

#[test]
fn the_door_of_nodes_lets_in_nobody_else() {
    let (runs, other) = pair("30s");
    let id = runs.submit(&["--", "echo", "secret"]);
    runs.run(&["wait", &id]).ok();
    let path = format!("/api/v1/peers/jobs/{id}/attempts/1/output?offset=0&bytes_max=100");
    for home in [&runs, &other] {
        let refused = home.ask("GET", &path, "");
        assert_eq!((refused.status, refused.code().as_str()), (401, "unauthorized"), "{refused:?}");
        assert_eq!(home.ask_with("GET", &path, &[], b"").status, 401);
        let forged = format!("Bearer node_{}_{}", 2_000_000_000_000_u64, "0".repeat(64));
        for path in [path.as_str(), "/api/v1/jobs", "/api/v1/nodes", "/mcp"] {
            assert_eq!(home.ask_with("GET", path, &[("authorization", &forged)], b"").status, 401, "{path}");
        }
    }
    let alone = Home::new();
    alone.daemon();
    assert_eq!(alone.ask("GET", &path, "").status, 401);
}

#[test]
fn what_a_killed_daemon_ran_is_rescued_by_another() {
    let (runs, other) = pair("1s");
    let id = other.submit(&["--retry", "1", "--", "sh", "-c", "echo up; test $LONGSHORE_ATTEMPT = 2 || sleep 1000"]);
    assert_eq!(runs.first_line(&id), "up\n");
    other.run(&["drain", "--off"]).ok();
    kill_process(pid_of(&runs.daemon()), Signal::KILL).unwrap();
    assert_eq!(other.run(&["wait", &id]).code, 0);
    let job = other.run(&["show", "--json", &id]).ok().json();
    assert_eq!(job["attempt"], 2, "{job}");
    let gone = nodes(&other).into_iter().find(|node| node["name"] == "runs").unwrap();
    assert_eq!(gone["alive"], false, "{gone}");
}

#[test]
fn a_daemon_that_stood_still_stops_what_it_has_lost() {
    let (runs, other) = pair("1s");
    let pid = runs.scratch("pid");
    let line = format!("test $LONGSHORE_ATTEMPT = 2 && exit 7; echo $$ >{pid}; echo up; exec sleep 1000");
    let id = other.submit(&["--retry", "1", "--shell", "--", &line]);
    assert_eq!(runs.first_line(&id), "up\n");
    let command = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
    other.run(&["drain", "--off"]).ok();
    let daemon = pid_of(&runs.daemon());
    kill_process(daemon, Signal::STOP).unwrap();
    assert_eq!(other.run(&["wait", &id]).code, 7);
    assert!(std::fs::exists(&command).unwrap(), "nobody could stop it");
    kill_process(daemon, Signal::CONT).unwrap();
    while std::fs::exists(&command).unwrap() {
        std::thread::yield_now();
    }
    let job = runs.run(&["show", "--json", &id]).ok().json();
    assert_eq!((&job["attempt"], &job["outcome"]["exit_code"]), (&2.into(), &7.into()), "{job}");
}

#[test]
fn events_are_gone_on_with_on_another_node() {
    let (runs, other) = pair("30s");
    let id = runs.submit(&["--", "true"]);
    runs.run(&["wait", &id]).ok();
    let ids = |home: &Home, after: &str| {
        let token = format!("Bearer {}", home.token());
        let headers = [("authorization", token.as_str()), ("last-event-id", after)];
        let mut stream = home.open("GET", &format!("/api/v1/events?job={id}"), &headers, b"");
        let mut text = String::new();
        let mut bytes = [0; 1024];
        while !text.contains("\"finished\"") {
            let count = stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ids(&runs, "0");
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(ids(&other, &all[1]), all[2..]);
}
