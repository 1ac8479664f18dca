//! Tokens of ours, what they allow, how often they may be used, and that none of them is ever written to a log.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::harness::{Answer, Home};
use crate::issuer::{Issuer, Key};

/// Makes a token; what it is sent as.
fn bearer(home: &Home, args: &[&str]) -> String {
    let all: Vec<&str> = ["token", "create", "--json"].iter().chain(args).copied().collect();
    format!("Bearer {}", home.run(&all).ok().json()["token"].as_str().unwrap())
}

fn ask(home: &Home, token: &str, method: &str, path: &str, body: &str) -> Answer {
    home.ask_with(method, path, &[("authorization", token)], body.as_bytes())
}

#[test]
fn every_path_needs_the_scope_that_its_description_names() {
    let home = Home::new();
    home.daemon();
    let scopes = ["jobs:read", "jobs:write", "admin"];
    let only = scopes.map(|scope| bearer(&home, &[&scope.replace(':', "-"), "--class", "person", "--scope", scope]));
    let description = home.ask_with("GET", "/openapi.json", &[], b"").json();
    let mut seen = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(needed) = operation["security"][0]["token"][0].as_str() else {
                assert_eq!(operation["security"], json!([{}]), "{method} {path} says nothing of its scope");
                continue;
            };
            seen += 1;
            for (scope, token) in scopes.iter().zip(&only) {
                // A stream of events would not end; a mistake ends it.
                let path = path.replace("{id}", "j_none").replace("/events", "/events?after=x");
                let answer = ask(&home, token, &method.to_uppercase(), &path, "");
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                match *scope == needed {
                    true => assert_ne!(answer.status, 403, "{method} {path} with {scope}"),
                    false => {
                        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{method} {path}");
                        let asked = challenge.split("scope=\"").nth(1).unwrap();
                        assert!(asked.contains(needed) && asked.contains(scope), "{method} {path}: {challenge}");
                    }
                }
            }
        }
    }
    assert!(seen >= 13, "only {seen} operations are described");
}

#[test]
fn a_token_allows_what_it_was_made_for_and_never_what_only_persons_may() {
    let home = Home::new();
    let refused = home.run(&["token", "create", "a", "--scope", "jobs:read,admin"]);
    assert!(refused.code == 64 && refused.stderr.contains("only a person's token can allow `admin`"), "{refused:?}");
    assert_eq!(home.run(&["token", "create", "a", "--class", "worker", "--scope", "admin"]).code, 64);
    assert_eq!(home.run(&["token", "create", "a", "--scope", "everything"]).code, 2);
    assert_eq!(home.run(&["token", "list", "--json"]).ok().text(), "");
    for (args, scopes) in [
        (&["agent"][..], json!(["jobs:read", "jobs:write"])),
        (&["worker", "--class", "worker"], json!(["jobs:read", "jobs:write"])),
        (&["person", "--class", "person"], json!(["jobs:read", "jobs:write", "admin"])),
        (&["looks", "--scope", "jobs:read"], json!(["jobs:read"])),
        (&["both", "--scope", "jobs:write", "--scope", "jobs:read"], json!(["jobs:read", "jobs:write"])),
    ] {
        let all: Vec<&str> = ["token", "create", "--json"].iter().chain(args).copied().collect();
        assert_eq!(home.run(&all).ok().json()["scopes"], scopes, "{args:?}");
    }
    // A file that was tampered with gives an agent no more.
    let file = home.path("tokens.json");
    let token = bearer(&home, &["hacked"]);
    let mut tokens: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    tokens.as_array_mut().unwrap().last_mut().unwrap()["scopes"] = json!(["admin", "jobs:read"]);
    std::fs::write(&file, tokens.to_string()).unwrap();
    assert_eq!(ask(&home, &token, "GET", "/api/v1/daemon", "").status, 403);
    assert_eq!(ask(&home, &token, "GET", "/api/v1/jobs", "").status, 200);
    assert_eq!(ask(&home, &token, "POST", "/api/v1/jobs", "{}").status, 403);
}

#[test]
fn the_last_use_is_noted() {
    let home = Home::new();
    let token = bearer(&home, &["a"]);
    let listed = || home.run(&["token", "list", "--json"]).ok().json();
    assert_eq!(listed()["last_used_at"], Value::Null);
    ask(&home, &token, "GET", "/api/v1/jobs", "");
    // Noted beside the request; stopping waits for it.
    home.run(&["down"]).ok();
    let used = listed()["last_used_at"].as_str().unwrap().to_owned();
    ask(&home, &token, "GET", "/api/v1/jobs", "");
    home.run(&["down"]).ok();
    assert_eq!(listed()["last_used_at"], used, "it is noted once an hour");
}

#[test]
fn revoking_ends_a_stream_that_was_opened_before() {
    let home = Home::new();
    let token = bearer(&home, &["p", "--class", "person"]);
    let stream = home.open("GET", "/api/v1/events", &[("authorization", &token)], b"");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.find(String::is_empty).is_some(), "the stream has begun");
    home.submit(&["--", "true"]);
    assert!(lines.any(|line| line.starts_with("id: ")));
    home.run(&["token", "revoke", "p"]).ok();
    let second = home.submit(&["--", "true"]);
    let rest: Vec<String> = lines.collect();
    assert!(!rest.iter().any(|line| line.contains(&second)), "{rest:?}");
}

#[test]
fn who_asks_too_often_is_told_when_to_ask_again() {
    let home = Home::configured("[limits]\nrequests_per_second = 1\nrequests_at_once = 2\nfailures_per_minute = 1\n");
    let token = bearer(&home, &["eager"]);
    let asked: Vec<Answer> = (0..200)
        .map(|_| ask(&home, &token, "GET", "/api/v1/jobs", ""))
        .scan(false, |refused, answer| (!std::mem::replace(refused, answer.status == 429)).then_some(answer))
        .collect();
    let refused = asked.last().unwrap();
    assert!(asked.len() > 2 && refused.status == 429, "{refused:?}");
    assert_eq!((refused.code().as_str(), &refused.json()["retryable"]), ("rate_limited", &json!(true)));
    assert_eq!(refused.header("retry-after"), Some("1"));
    let list = r#"{"jsonrpc":"2.0","id":"x","method":"tools/list"}"#;
    let refused =
        (0..200).map(|_| ask(&home, &token, "POST", "/mcp", list)).find(|answer| answer.status == 429).unwrap();
    let body = refused.json();
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!("x"), &json!(429)));
    assert!((1..=1_000).contains(&body["error"]["data"]["retryAfterMs"].as_u64().unwrap()), "{body}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Others are not touched, least of all whoever sits at the machine.
    let other = bearer(&home, &["calm"]);
    assert_eq!(ask(&home, &other, "GET", "/api/v1/jobs", "").status, 200);
    for _ in 0..5 {
        assert_eq!(home.ask("GET", "/api/v1/jobs", "").status, 200);
        assert_eq!(ask(&home, "Bearer wrong", "GET", "/api/v1/jobs", "").status, 401);
    }
}

#[test]
fn other_machines_are_let_in_only_if_it_was_said() {
    let home = Home::new();
    let refused = home.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(refused.code == 78 && refused.stderr.contains("listen_public"), "{refused:?}");
    let home = Home::configured("listen = \"[::]:0\"\n");
    let refused = home.run(&["up"]);
    assert!(refused.code == 78 && refused.stderr.contains("listen_public"), "{refused:?}");
    assert!(!home.path("daemon.json").exists());
    let home = Home::configured("listen = \"0.0.0.0:0\"\nlisten_public = true\n");
    assert!(home.daemon()["listen"].as_str().unwrap().starts_with("0.0.0.0:"));
    // The token is needed there as everywhere, and names of others are still refused.
    assert_eq!(home.ask_with("GET", "/api/v1/jobs", &[], b"").status, 401);
    assert_eq!(home.ask("GET", "/api/v1/jobs", "").status, 200);
    let token = format!("Bearer {}", home.token());
    let foreign = [("authorization", token.as_str()), ("host", "evil.example")];
    assert_eq!(home.ask_with("GET", "/api/v1/jobs", &foreign, b"").code(), "forbidden");
}

#[test]
fn nesting_has_an_end() {
    let home = Home::new();
    home.daemon();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let job = format!(r#"{{"command":{},"cwd":"/"}}"#, deep(100_000));
    assert_eq!(home.ask("POST", "/api/v1/jobs", &job).code(), "invalid_argument");
    let call = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{}}}}}"#, deep(100_000));
    assert_eq!(home.ask("POST", "/mcp", &call).status, 400);
    assert_eq!(home.ask("GET", "/health", "").status, 200);
}

#[test]
fn no_secret_reaches_the_log() {
    let key = Key::ec("k");
    let issuer = Issuer::new(&[&key]);
    let home = Home::configured(&format!("{}[log]\nlevel = \"trace\"\n", issuer.section()));
    home.daemon();
    let (ours, local) = (bearer(&home, &["a"]), home.token());
    let claims = json!({
        "iss": issuer.name, "aud": "https://jobs.example.com/mcp", "sub": "alice", "exp": 4_000_000_000_u64,
        "scope": "jobs:read jobs:write",
    });
    let issued = format!("Bearer {}", key.sign(&key.header(), &claims));
    let bad = format!("{}A", &issued[..issued.len() - 1]);
    let secret = "hunter2hunter2";
    let text = |json: Value| json.to_string();
    let job = text(json!({ "command": ["true", secret], "cwd": "/", "env": { "KEY": secret } }));
    let call = text(json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "run", "arguments": { "command": format!("true {secret}"), "env": { "KEY": secret } } },
    }));
    for token in [ours.as_str(), &issued, &bad, "Bearer hunter2hunter2", "Basic hunter2hunter2", "hunter2hunter2"] {
        let bare = token.rsplit(' ').next().unwrap();
        ask(&home, token, "GET", "/api/v1/jobs", "");
        ask(&home, token, "POST", "/api/v1/jobs", &job);
        ask(&home, token, "POST", "/api/v1/jobs", &text(json!({ "token": bare, "priority": bare })));
        ask(&home, token, "POST", "/mcp", &call);
        ask(&home, token, "POST", "/mcp", &text(json!({ "token": bare })));
        ask(&home, token, "GET", &format!("/nowhere/{secret}"), "");
        ask(&home, token, "GET", &format!("/api/v1/jobs?limit={secret}"), "");
        for name in ["token", "access_token"] {
            let refused = ask(&home, token, "GET", &format!("/api/v1/jobs?{name}={bare}"), "");
            assert_eq!((refused.status, refused.code().as_str()), (400, "invalid_argument"));
            assert!(!String::from_utf8_lossy(&refused.body).contains(bare), "{refused:?}");
        }
    }
    home.run(&["down"]).ok();
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    assert!(log.contains("DEBUG") && log.contains("command runs"), "the log says too little to prove anything: {log}");
    let parts = |token: &str| token.trim_start_matches("Bearer ").split('.').map(str::to_owned).collect::<Vec<_>>();
    let secrets = [vec![local, secret.into()], parts(&ours), parts(&issued), parts(&bad)].concat();
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{line:?}");
    }
}
