//! Output by stream and by time.

use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Home, ran, until_there};

/// Three lines on each stream, the last one on standard error without an end.
const BOTH: &str = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf end >&2";

fn pieces(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines without the times before them, which must be in order.
fn unstamped(text: &str) -> String {
    let mut times: Vec<&str> = vec![];
    let mut rest = String::new();
    for line in text.split_inclusive('\n') {
        let (time, line) = line.split_once(' ').unwrap();
        assert!(time.len() == "2026-11-20T14:02:10.123Z".len() && time.ends_with('Z'), "{text}");
        times.push(time);
        rest.push_str(line);
    }
    assert!(times.is_sorted(), "{text}");
    rest
}

#[test]
fn one_stream_is_shown_alone() {
    let home = Home::new();
    let id = home.submit(&["--split", "--shell", "--", BOTH]);
    home.run(&["wait", &id]).ok();
    let logs = |more: &[&str]| home.run(&[&["logs", &id], more].concat()).ok();
    let (out, err) = ("out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\nend");
    assert_eq!(logs(&["--stream", "stdout"]).text(), out);
    let alone = logs(&["--stream", "stderr"]);
    assert_eq!((alone.text().as_str(), alone.stderr.as_str()), (err, ""));
    assert_eq!(logs(&[]).stdout.len(), out.len() + err.len());
    for (tail, stream, text) in
        [("1", "stdout", "out 3\n"), ("2", "stderr", "err 3\nend"), ("0", "stderr", ""), ("9", "stdout", out)]
    {
        assert_eq!(logs(&["--tail", tail, "--stream", stream]).text(), text, "{tail}");
    }
    assert_eq!(logs(&["--since", "1.0", "--stream", "stdout"]).text(), out);
    assert_eq!(unstamped(&logs(&["--timestamps", "--stream", "stderr"]).text()), err);
    let piece = logs(&["--json", "--stream", "stdout"]).json();
    let labels = piece["labels"].as_array().unwrap();
    assert!(labels.iter().all(|label| label["stream"] == "stdout" && label["at"].is_string()), "{piece}");
    let bytes: u64 = labels.iter().map(|label| label["bytes"].as_u64().unwrap()).sum();
    assert_eq!((&piece["text"], &piece["unknown"], bytes), (&out.into(), &0.into(), out.len() as u64));
    assert!(logs(&["--json"]).json().get("labels").is_none(), "nobody asked for them");
}

#[test]
fn lines_are_shown_with_their_times() {
    let home = Home::new();
    let id = home.submit(&["--shell", "--", r"echo one; printf 'two\n\n\377'"]);
    home.run(&["wait", &id]).ok();
    let stamped = home.run(&["logs", "--timestamps", &id]).ok().stdout;
    let head = stamped.strip_suffix(b"\xff").unwrap();
    assert_eq!(unstamped(std::str::from_utf8(head).unwrap()), "one\ntwo\n\n");
    let piece = home.run(&["logs", "--timestamps", "--json", &id]).ok().json();
    assert_eq!((&piece["labels"][0]["offset"], &piece["labels"][0]["stream"]), (&0.into(), &"merged".into()));
    let refused = home.run(&["logs", "--stream", "stdout", &id]);
    assert_eq!((refused.code, refused.stdout.as_slice()), (64, b"".as_slice()));
    for word in ["error[invalid_argument]", "why:", "one pipe", "next:", "longshore run --split"] {
        assert!(refused.stderr.contains(word), "{refused:?}");
    }
    assert_eq!(home.run(&["logs", "--stream", "both", &id]).code, 2);
}

#[test]
fn one_stream_is_followed_with_its_times() {
    let home = Home::new();
    let go = home.scratch("go");
    let line = format!("echo first >&2; ( {} ) >&2", until_there(&go));
    let id = home.submit(&["--split", "--shell", "--", &format!("echo other; {line}")]);
    let follow = |more: &[&str]| {
        let args = [&["logs", "-f", "--stream", "stderr", &id], more].concat();
        home.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let followers = [follow(&[]), follow(&["--timestamps"]), follow(&["--json"])];
    home.first_line(&id);
    std::fs::write(&go, "").unwrap();
    let [plain, stamped, json] = followers.map(|child| ran(child.wait_with_output().unwrap()).ok().text());
    assert_eq!(plain, "first\nup\ndown\n");
    assert_eq!(unstamped(&stamped), plain);
    let pieces = pieces(&json);
    let text: String = pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect();
    assert_eq!((text, &pieces.last().unwrap()["end"]), (plain, &true.into()));
}
