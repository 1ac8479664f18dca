//! What a chat is told when a session begins.

use serde_json::Value;

use crate::harness::{Home, ran};

/// A job of that chat that has ended.
fn ended(home: &Home, chat: &str) -> String {
    let id = home.submit(&["--conversation", chat, "--", "true"]);
    home.finished(&id);
    id
}

fn told(brief: &Value) -> Vec<&str> {
    brief["ended"]["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

#[test]
fn without_a_daemon_or_a_chat_nothing_is_said_and_nothing_starts() {
    let home = Home::new();
    for args in [&["brief"][..], &["brief", "--conversation", "chat"], &["brief", "--conversation", "chat", "--json"]] {
        let said = home.run(args).ok();
        assert_eq!((said.text().as_str(), said.stderr.as_str()), ("", ""));
    }
    assert_eq!(home.run(&["down", "--json"]).ok().json()["stopped"], false);
    ended(&home, "chat");
    assert_eq!(home.run(&["brief"]).ok().text(), "");
    assert_eq!(home.run(&["brief", "--conversation", " "]).ok().text(), "");
    home.run(&["down"]).ok();
    assert_eq!(home.run(&["brief", "--conversation", "chat"]).ok().text(), "");
}

#[test]
fn each_end_is_told_once_to_its_chat_also_after_a_restart() {
    let home = Home::new();
    let id = ended(&home, "chat");
    ended(&home, "another");
    let brief = ["brief", "--conversation", "chat"];
    let peek = home.run(&["brief", "--conversation", "chat", "--peek", "--json"]).ok().json();
    assert_eq!(told(&peek), [&*id]);
    home.run(&["down"]).ok();
    home.daemon();
    let text = home.run(&brief).ok().text();
    assert!(text.contains(&format!("- ended: {id} succeeded after ")) && text.lines().count() == 2, "{text}");
    assert_eq!(home.run(&brief).ok().text(), "");
    home.run(&["down"]).ok();
    home.daemon();
    assert_eq!(home.run(&brief).ok().text(), "");
}

#[test]
fn the_chat_is_the_one_that_the_client_names_in_the_environment() {
    let home = Home::new();
    let mut run = home.command(&["run", "--quiet", "--", "true"]);
    ran(run.env("CLAUDE_CODE_SESSION_ID", "s1").output().unwrap()).ok();
    let brief = |name: &str, value: &str| {
        let mut brief = home.command(&["brief", "--peek"]);
        ran(brief.env("CODEX_THREAD_ID", "s2").env(name, value).output().unwrap()).ok().text()
    };
    assert!(brief("CLAUDE_CODE_SESSION_ID", "s1").contains("ended"));
    assert_eq!(brief("CLAUDE_CODE_SESSION_ID", " "), "");
    assert!(brief("LONGSHORE_CONVERSATION", " s1 ").contains("ended"));
}

#[test]
fn principals_hear_of_their_own_jobs_only() {
    let home = Home::new();
    let id = ended(&home, "chat");
    let made = home.run(&["token", "create", "other", "--json"]).ok().json();
    let token = format!("Bearer {}", made["token"].as_str().unwrap_or_else(|| panic!("{made}")));
    let path = "/api/v1/brief?conversation=chat";
    let theirs = home.ask_with("GET", path, &[("authorization", &token)], b"").json();
    assert_eq!((told(&theirs).len(), &theirs["text"]), (0, &"".into()));
    assert_eq!(told(&home.ask("GET", path, "").json()), [id]);
    assert_eq!(told(&home.ask("GET", path, "").json()).len(), 0);
    let wrong = home.ask("GET", "/api/v1/brief", "");
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "invalid_argument"));
}
