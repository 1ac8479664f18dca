//! Errors as programs read them on the command line.

use serde_json::Value;

use crate::harness::{Home, Ran};

/// The errors that a command wrote, a line each.
fn errors(ran: &Ran) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    ran.stderr.lines().map(|line| read(line)["error"].take()).collect()
}

fn fields(fault: &Value) -> Vec<&str> {
    fault.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn with_json_commands_fail_in_json() {
    let home = Home::new();
    home.run(&["run", "--quiet", "--", "true"]).ok();
    home.submit(&["--in", "1h", "--", "true"]);
    let over_http = home.ask("GET", "/api/v1/jobs/99", "").json();
    for (args, code) in [
        (vec!["run", "--cwd", "/no/such/folder"], "invalid_argument"),
        (vec!["run", "--detach", "--after", "99"], "job_not_found"),
        (vec!["ls", "--state", "sleeping"], "invalid_argument"),
        (vec!["show", "99"], "job_not_found"),
        (vec!["logs", "99"], "job_not_found"),
        (vec!["logs", "--stream", "stdout", "1"], "invalid_argument"),
        (vec!["logs", "--since", "1.99", "1"], "stale_cursor"),
        (vec!["wait", "--timeout", "1ms", "2"], "wait_timeout"),
        (vec!["result", "2"], "result_not_ready"),
        (vec!["cancel", "1"], "job_finished"),
        (vec!["retry", "1"], "state_conflict"),
        (vec!["rm", "99"], "job_not_found"),
        (vec!["pin", "99"], "job_not_found"),
        (vec!["unpin", "99"], "job_not_found"),
        (vec!["drain", "nobody"], "not_found"),
        (vec!["export", "there"], "already_running"),
        (vec!["import", "nothing"], "already_running"),
        (vec!["token", "create", "a b"], "invalid_argument"),
        (vec!["token", "revoke", "nobody"], "not_found"),
    ] {
        let end = if args[0] == "run" { &["--", "true"][..] } else { &[] };
        let words = home.run(&[args.as_slice(), end].concat());
        let json = home.run(&[args.as_slice(), &["--json"], end].concat());
        assert_eq!((json.code, json.stdout.as_slice()), (words.code, b"".as_slice()), "{args:?}: {json:?}");
        assert!(words.stderr.starts_with(&format!("error[{code}]: ")), "{args:?}: {words:?}");
        let errors = errors(&json);
        let [fault] = errors.as_slice() else { panic!("{args:?}: {json:?}") };
        assert_eq!((&fault["code"], fields(fault)), (&code.into(), fields(&over_http)), "{args:?}");
        for member in ["message", "why", "next"] {
            let line = fault[member].as_str().and_then(|text| text.lines().next()).unwrap_or_default();
            assert!(words.stderr.contains(line), "{args:?}: {member}: {words:?}");
        }
    }
}

#[test]
fn each_of_several_faults_is_a_line() {
    let home = Home::new();
    home.run(&["run", "--quiet", "--", "true"]).ok();
    let ran = home.run(&["rm", "--json", "98", "1", "99"]);
    assert_eq!((ran.code, &ran.json()["removed"]), (66, &true.into()));
    let messages: Vec<_> = errors(&ran).iter().map(|fault| fault["message"].to_string()).collect();
    assert_eq!(messages, [r#""there is no job `98`""#, r#""there is no job `99`""#]);
    home.run(&["run", "--quiet", "--", "true"]).ok();
    let ran = home.run(&["cancel", "98", "2"]);
    assert!(ran.stderr.contains("]: there is no job `98`") && ran.stderr.contains("]: job `2`: "), "{ran:?}");
}

#[test]
fn what_keeps_a_daemon_from_starting_is_json_too() {
    let home = Home::configured("capcity = 7\n");
    for args in [&["up", "--json"][..], &["nodes", "--json"], &["gc", "--json"], &["config", "show", "--json"]] {
        let ran = home.run(args);
        assert_eq!((ran.code, &errors(&ran)[0]["code"]), (78, &"config_invalid".into()), "{args:?}: {ran:?}");
    }
    std::fs::remove_file(home.path("config.toml")).unwrap();
}

#[test]
fn a_word_of_the_command_that_is_run_is_no_option() {
    let home = Home::new();
    let ran = home.run(&["run", "--cwd", "/no/such/folder", "--", "ls", "--json"]);
    assert!(ran.code == 64 && ran.stderr.starts_with("error[invalid_argument]"), "{ran:?}");
}
