//! Each command's ordinary way, and how it refuses.

use std::io::{BufRead, BufReader};

use crate::harness::{Home, ran, until_there};

#[test]
fn a_foreground_run_shows_the_output_and_ends_as_the_job_does() {
    let home = Home::new();
    let run = home.run(&["run", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]);
    assert_eq!((run.code, run.text().as_str()), (4, "out\nerr\n"));
    assert!(run.stderr.starts_with("job 1 (j_"), "{run:?}");
    assert!(run.stderr.contains("longshore logs -f 1") && run.stderr.contains("job 1 failed"), "{run:?}");
    let quiet = home.run(&["run", "--quiet", "--", "echo", "x"]).ok();
    assert_eq!((quiet.text().as_str(), quiet.stderr.as_str()), ("x\n", ""));
    let json = home.run(&["run", "--json", "--", "echo", "x"]).ok().json();
    assert_eq!(json["outcome"]["status"], "succeeded");
}

#[test]
fn options_of_run_reach_the_job() {
    let home = Home::new();
    let folder = home.scratch("");
    let mut command = home.command(&[
        "run",
        "-d",
        "--json",
        "--name",
        "nightly",
        "--queue",
        "q",
        "--priority",
        "-3",
        "--cwd",
        &folder,
        "--env",
        "A=1",
        "--env",
        "PASSED",
        "--deadline",
        "10m",
        "--soft-deadline",
        "5m",
        "--retry",
        "2",
        "--memory",
        "2G",
        "--processes",
        "50",
        "--nice",
        "5",
        "--output-max",
        "1M",
        "--conversation",
        "chat",
        "--split",
        "--shell",
        "--",
        "echo $A $PASSED",
    ]);
    let id = ran(command.env("PASSED", "two").output().unwrap()).ok().json()["id"].as_str().unwrap().to_owned();
    let job = home.finished(&id);
    assert_eq!(home.run(&["logs", &id]).text(), "1 two\n");
    assert_eq!((&job["name"], &job["queue"], &job["priority"]), (&"nightly".into(), &"q".into(), &(-3).into()));
    assert_eq!((&job["conversation"], &job["retries_max"]), (&"chat".into(), &2.into()));
    let spec = &job["spec"];
    assert_eq!((&spec["deadline_ms"], &spec["soft_deadline_ms"]), (&600_000.into(), &300_000.into()));
    assert_eq!(
        (&spec["memory_bytes"], &spec["processes"], &spec["nice"]),
        (&(2u64 << 30).into(), &50.into(), &5.into())
    );
    assert_eq!(
        (&spec["output_bytes_max"], &spec["split"], &spec["shell"]),
        (&1_048_576.into(), &true.into(), &true.into())
    );
    assert!(spec["env"].as_array().unwrap().contains(&"A".into()), "names only: {spec}");
}

#[test]
fn the_environment_is_an_allow_list() {
    let home = Home::new();
    let mut command = home.command(&["run", "--quiet", "--", "env"]);
    let run = ran(command.env("SECRET_TOKEN", "x").env("LC_TIME", "C").output().unwrap()).ok();
    assert!(!run.text().contains("SECRET_TOKEN") && run.text().contains("LC_TIME=C"), "{run:?}");
}

#[test]
fn wrong_use_is_refused_in_words() {
    let home = Home::new();
    for (args, code, word) in [
        (vec!["run"], 2, "COMMAND"),
        (vec!["run", "--deadline", "soon", "--", "true"], 2, "length of time"),
        (vec!["run", "--memory", "lots", "--", "true"], 2, "size"),
        (vec!["run", "--cwd", "/no/such/folder", "--", "true"], 64, "does not exist"),
        (vec!["run", "--env", "NOT_SET_ANYWHERE", "--", "true"], 64, "NOT_SET_ANYWHERE"),
        (vec!["run", "--env", "LD_PRELOAD=x", "--", "true"], 64, "LD_PRELOAD"),
        (vec!["run", "--queue", "a b", "--", "true"], 64, "`--queue`"),
        (vec!["run", "--at", "noon", "--", "true"], 64, "`--at`"),
        (vec!["run", "--output-max", "1K", "--", "true"], 64, "`--output-max`"),
        (vec!["run", "--memory", "0", "--", "true"], 64, "`--memory`"),
        (vec!["run", "--processes", "0", "--", "true"], 64, "`--processes`"),
        (vec!["schedule", "add", "s", "--cron", "x", "--", "true"], 64, "`--cron`"),
        (vec!["schedule", "add", "s", "--cron", "@daily", "--nice", "20", "--", "true"], 64, "`--nice`"),
        (vec!["run", "--after", "", "--", "true"], 66, "there is no job ``"),
        (vec!["run", "--after", "99", "--", "true"], 66, "job"),
        (vec!["ls", "--state", "sleeping"], 64, "expected one of"),
        (vec!["logs", "99"], 66, "there is no job `99`"),
        (vec!["show", "@"], 66, "there is no job"),
        (vec!["show", ""], 66, "there is no job ``"),
        (vec!["rm", "#"], 66, "there is no job `#`"),
        (vec!["drain", ""], 66, "there is no node ``"),
        (vec!["token", "create", "a b"], 64, "name"),
        (vec!["token", "create", "owner"], 64, "user of this installation"),
        (vec!["token", "create", "a", "--expires", "0s"], 64, "longer than zero"),
        (vec!["completions", "tcsh"], 2, "tcsh"),
        (vec!["frobnicate"], 2, "frobnicate"),
    ] {
        let refused = home.run(&args);
        assert_eq!(refused.code, code, "{args:?}: {refused:?}");
        assert!(refused.stderr.contains(word) && refused.stdout.is_empty(), "{args:?}: {refused:?}");
    }
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let mut command = home.command(&["run", "--"]);
    let refused = ran(command.arg(std::ffi::OsStr::from_bytes(b"\xff")).output().unwrap());
    assert!(refused.code == 2 && refused.stderr.contains("UTF-8"), "{refused:?}");
}

#[test]
fn ls_filters_and_pages() {
    let home = Home::new();
    assert_eq!(home.run(&["ls"]).ok().stderr, "no jobs\n");
    for name in ["one", "two", "three"] {
        let id = home.submit(&["--name", name, "--", if name == "two" { "false" } else { "true" }]);
        home.run(&["wait", &id]);
    }
    let names = |args: &[&str]| -> Vec<String> {
        let all: Vec<&str> = ["ls", "--json"].iter().chain(args).copied().collect();
        let listed = home.run(&all).ok().text();
        let jobs = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        jobs.map(|job| job["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&[]), ["three", "two", "one"]);
    assert_eq!(names(&["--outcome", "failed"]), ["two"]);
    assert_eq!(names(&["--text", "THRE"]), ["three"]);
    assert_eq!(names(&["--limit", "1"]), ["three"]);
    assert_eq!(names(&["--state", "running,queued"]), [] as [String; 0]);
    assert!(home.run(&["ls", "--limit", "1"]).stderr.contains("there are more"));
    let table = home.run(&["ls"]).ok().text();
    assert!(table.lines().next().unwrap().contains("STATE") && table.contains("succeeded"), "{table}");
}

#[test]
fn logs_can_be_cut_and_continued() {
    let home = Home::new();
    let id = home.submit(&["--", "seq", "1", "5"]);
    home.run(&["wait", &id]).ok();
    assert_eq!(home.run(&["logs", "--tail", "2", "#1"]).ok().text(), "4\n5\n");
    let piece = home.run(&["logs", "--json", &id]).ok().json();
    assert_eq!(
        (&piece["text"], &piece["end"], &piece["from"]),
        (&"1\n2\n3\n4\n5\n".into(), &true.into(), &"1.0".into())
    );
    assert_eq!(home.run(&["logs", "--since", "1.4", &id]).ok().text(), "3\n4\n5\n");
    let beyond = home.run(&["logs", "--since", "1.99", &id]);
    assert!(beyond.code == 64 && beyond.stderr.contains("error[stale_cursor]"), "{beyond:?}");
    let result = home.run(&["result", "--json", "--lines", "1", "last"]).ok().json();
    assert_eq!((&result["tail"], &result["outcome"]["status"]), (&"5\n".into(), &"succeeded".into()));
}

#[test]
fn a_job_is_cancelled_retried_pinned_and_removed() {
    let home = Home::new();
    let id = home.submit(&["--", "sh", "-c", "echo up; sleep 600"]);
    assert_eq!(home.first_line(&id), "up\n");
    assert_eq!(home.run(&["result", &id]).code, 80);
    assert_eq!(home.run(&["rm", &id]).code, 79);
    assert_eq!(home.run(&["retry", &id]).code, 79);
    let timed_out = home.run(&["wait", "--timeout", "50ms", &id]);
    assert!(timed_out.code == 81 && timed_out.stderr.contains("the jobs go on"), "{timed_out:?}");
    let cancelled = home.run(&["cancel", "--reason", "enough", "--wait", "--json", &id]).ok().json();
    assert_eq!(cancelled["outcome"]["status"], "cancelled");
    assert_eq!(home.run(&["cancel", &id]).code, 79);
    let again = home.run(&["retry", "--json", &id]).ok().json();
    assert_eq!(again["retry_of"].as_str(), Some(id.as_str()));
    home.run(&["cancel", "--wait", "@"]).ok();
    assert_eq!(home.run(&["pin", "--json", "1"]).ok().json()["pinned"], true);
    assert_eq!(home.run(&["unpin", "--json", "1"]).ok().json()["pinned"], false);
    assert_eq!(home.run(&["gc", "--dry-run", "--json"]).ok().json()["outputs"], 0);
    assert_eq!(home.run(&["rm", "--json", "1"]).ok().json()["removed"], true);
    assert_eq!(home.run(&["show", "1"]).code, 66);
}

#[test]
fn wait_any_returns_with_the_first() {
    let home = Home::new();
    let long = home.submit(&["--", "sleep", "600"]);
    let short = home.submit(&["--", "sh", "-c", "exit 9"]);
    let waited = home.run(&["wait", "--any", "--json", &long, &short]);
    assert_eq!((waited.code, waited.json()["id"].as_str()), (9, Some(short.as_str())));
}

#[test]
fn settings_are_shown_with_their_source() {
    let home = Home::new();
    std::fs::create_dir_all(home.path("")).unwrap();
    std::fs::write(
        home.path("config.toml"),
        "\ncapacity = 7\n[queues.gpu]\nconcurrency = 1\n[call_budgets]\ncodex = \"90s\"\n",
    )
    .unwrap();
    let shown = home.run(&["config", "show", "--origin"]).ok().text();
    assert!(shown.contains("config.toml line 2") && shown.contains("queues.gpu.concurrency = 1"), "{shown}");
    assert!(shown.contains("lease = 30s  # default"), "{shown}");
    assert!(shown.contains("call_budgets.\"codex\" = 90s  # ") && shown.contains("config.toml line 6"), "{shown}");
    let mut command = home.command(&["config", "show", "--origin", "--json"]);
    let shown = ran(command.env("LONGSHORE_LISTEN", "127.0.0.1:1").output().unwrap()).ok().text();
    assert!(shown.contains(r#""value":"127.0.0.1:1","origin":"environment variable LONGSHORE_LISTEN""#), "{shown}");
    assert!(home.run(&["config", "default"]).ok().text().contains("# Since 0.1."));
    assert!(home.run(&["config", "path"]).ok().text().ends_with("config.toml\n"));
    for (text, word) in [
        ("capcity = 7\n", "line 1"),
        ("capacity = \"x\"\n", "line 1"),
        ("\nlease = \"900ms\"\n", "line 2"),
        ("listen = \"0.0.0.0:1\"\n", "listen_public"),
        ("[call_budgets]\ncodex = \"1h\"\n", "line 2"),
        ("[log]\nlevel = \"wran\"\n", "`wran`"),
        ("env_allow = [\"A=B\"]\n", "\"A=B\""),
    ] {
        std::fs::write(home.path("config.toml"), text).unwrap();
        let refused = home.run(&["run", "--", "true"]);
        assert!(refused.code == 78 && refused.stderr.contains(word), "{text}: {refused:?}");
    }
}

#[test]
fn completions_come_for_each_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.run(&["completions", shell]).ok().text().contains("longshore"));
    }
    assert!(home.run(&["help", "exit-codes"]).ok().text().contains("128 + n"));
    assert!(!home.path("").exists(), "neither needs a home");
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let home = Home::new();
    let id = home.submit(&["--", "echo", "hi"]);
    home.run(&["wait", &id]).ok();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = ran(home.command(&["logs", &id]).stdout(full).output().unwrap());
    assert!(failed.code == 74 && failed.stderr.contains("error[file_failed]"), "{failed:?}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let left = ran(home.command(&["logs", &id]).stdout(writer).output().unwrap());
    assert_eq!((left.code, left.stderr.as_str()), (0, ""));
}

#[test]
fn a_command_that_ends_as_a_job_does_not_say_that_it_succeeded_when_its_reader_left() {
    let home = Home::new();
    let go = home.scratch("go");
    let mut run = home.command(&["run", "--quiet", "--shell", "--", &until_there(&go)]);
    let mut run = run.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(run.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!((line.as_str(), run.wait().unwrap().code()), ("up\n", Some(141)));
    assert_eq!(home.run(&["show", "--json", "@"]).ok().json()["state"], "running");
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", "@"]).code, 7);
    for args in [["wait", "@"], ["result", "@"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let left = ran(home.command(&args).stdout(writer).output().unwrap());
        assert_eq!((left.code, left.stderr.as_str()), (141, ""), "{args:?}");
    }
}

#[test]
fn advice_names_the_next_command() {
    let home = Home::new();
    home.run(&["run", "--", "true"]).ok();
    for (args, word) in [(["show", "99"], "longshore ls --all"), (["cancel", "1"], "longshore show")] {
        let refused = home.run(&args);
        assert!(refused.stderr.contains("next:") && refused.stderr.contains(word), "{refused:?}");
    }
}

#[test]
fn objects_that_no_job_has_are_counted_before_they_are_removed() {
    let home = Home::new();
    home.daemon();
    let name = "a".repeat(64);
    let folder = home.path("artifacts/objects/aa");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(&name), "nobody has me").unwrap();
    let object = std::fs::File::options().write(true).open(folder.join(&name)).unwrap();
    object.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let counted = home.run(&["gc", "--dry-run", "--json"]).ok().json();
    assert_eq!((&counted["objects"], &counted["object_bytes"]), (&1.into(), &13.into()), "{counted}");
    let words = home.run(&["gc"]).ok().text();
    assert!(words.contains("1 objects that no job has (13 B) removed"), "{words}");
    assert!(!folder.join(&name).exists());
}
