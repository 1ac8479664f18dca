//! Tokens of an authorization server: which open something, what, and what is said to the others.

use longshore_engine::Clock;
use serde_json::{Value, json};

use crate::harness::{Answer, Home};
use crate::issuer::{Issuer, Key, sign_not, sign_shared};

const RESOURCE: &str = "https://jobs.example.com/mcp";

fn now() -> i64 {
    Clock::system().now().as_millis() / 1_000
}

/// What a good token says, with some of it said differently; `null` leaves out.
fn claims(issuer: &Issuer, other: Value) -> Value {
    let mut claims = json!({
        "iss": issuer.name, "aud": RESOURCE, "sub": "alice", "exp": now() + 3_600, "scope": "jobs:read jobs:write",
    });
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn ask(home: &Home, token: &str, method: &str, path: &str, body: &str) -> Answer {
    home.ask_with(method, path, &[("authorization", &format!("Bearer {token}"))], body.as_bytes())
}

fn status(home: &Home, token: &str) -> u16 {
    ask(home, token, "GET", "/api/v1/jobs", "").status
}

#[test]
fn good_tokens_of_every_kind_open_and_no_bad_one_does() {
    let (ec, rsa, ed, unknown) = (Key::ec("e1"), Key::rsa("r1"), Key::ed("d1"), Key::ec("u1"));
    let second = Key::ec("e2");
    let issuer = Issuer::new(&[&ec, &second, &rsa, &ed]);
    let home = Home::configured(&issuer.section());
    let good = claims(&issuer, json!({}));
    let with = |other: Value| ec.sign(&ec.header(), &claims(&issuer, other));
    let headed = |header: Value| ec.sign(&header, &good);
    let hour = 3_600;
    for (name, token) in [
        ("ES256", ec.sign(&ec.header(), &good)),
        ("RS256", rsa.sign(&rsa.header(), &good)),
        ("EdDSA", ed.sign(&ed.header(), &good)),
        ("several audiences", with(json!({ "aud": ["https://other.example", RESOURCE] }))),
        ("expired within the leeway", with(json!({ "exp": now() - 20 }))),
        ("not before a moment ago", with(json!({ "nbf": now() - 5 }))),
        ("no name of a key, where only one could be", rsa.sign(&json!({ "alg": "RS256" }), &good)),
        ("a type that is usual", headed(json!({ "alg": "ES256", "kid": "e1", "typ": "JWT" }))),
    ] {
        assert_eq!(status(&home, &token), 200, "{name}");
    }
    let shared = json!({ "alg": "HS256", "typ": "at+jwt", "kid": "r1" });
    let cut = ec.sign(&ec.header(), &good);
    let cut = cut[..cut.rfind('.').unwrap()].to_owned();
    let mut found = vec![];
    for (name, token) in [
        ("wrong audience", with(json!({ "aud": "https://other.example/mcp" }))),
        ("no audience", with(json!({ "aud": null }))),
        ("the audience with more behind it", with(json!({ "aud": format!("{RESOURCE}/x") }))),
        ("wrong issuer", with(json!({ "iss": "https://other.example" }))),
        ("no issuer", with(json!({ "iss": null }))),
        ("expired", with(json!({ "exp": now() - hour }))),
        ("no end", with(json!({ "exp": null }))),
        ("not yet valid", with(json!({ "nbf": now() + hour }))),
        ("no subject", with(json!({ "sub": null }))),
        ("an empty subject", with(json!({ "sub": "" }))),
        ("a subject of several lines", with(json!({ "sub": "a\nb" }))),
        ("alg none", sign_not(&json!({ "alg": "none", "typ": "JWT" }), &good)),
        ("HS256 with the public key", sign_shared(&rsa.public_bytes(), &shared, &good)),
        ("HS256 with a key that was published", {
            let header = json!({ "alg": "HS256", "kid": "shared" });
            sign_shared(b"a shared secret of many bytes...", &header, &good)
        }),
        ("unknown key", unknown.sign(&unknown.header(), &good)),
        ("another key under a known name", unknown.sign(&ec.header(), &good)),
        ("a key of another kind", ec.sign(&rsa.header(), &good)),
        ("an algorithm that the key is not for", headed(json!({ "alg": "ES384", "kid": "e1" }))),
        ("no name of a key, where several could be", headed(json!({ "alg": "ES256" }))),
        ("for another use", headed(json!({ "alg": "ES256", "kid": "e1", "typ": "logout+jwt" }))),
        ("unknown demands", headed(json!({ "alg": "ES256", "kid": "e1", "crit": ["b64"], "b64": false }))),
        ("cut off", cut),
        ("nonsense", "a.b.c".into()),
        ("dots", "..".into()),
        ("too long", format!("{}.b.c", "a".repeat(17 * 1024))),
    ] {
        let answer = ask(&home, &token, "GET", "/api/v1/jobs", "");
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{name}");
        let body = answer.json();
        found.push(format!("{name}: {}", body["why"].as_str().unwrap()));
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""), "{name}: {answer:?}");
    }
    insta::assert_snapshot!("bad_tokens", found.join("\n"));
}

#[test]
fn who_has_no_good_token_is_told_where_to_get_one() {
    let key = Key::ec("k");
    let issuer = Issuer::new(&[&key]);
    let home = Home::configured(&issuer.section());
    home.daemon();
    let reads = key.sign(&key.header(), &claims(&issuer, json!({ "scope": "openid jobs:read" })));
    let none = key.sign(&key.header(), &claims(&issuer, json!({ "scope": null })));
    let scp = key.sign(&key.header(), &claims(&issuer, json!({ "scope": null, "scp": ["jobs:write"] })));
    let expired = key.sign(&key.header(), &claims(&issuer, json!({ "exp": 1 })));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"run","arguments":{}}}"#;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/list"}"#;
    let job = r#"{"command":["true"],"cwd":"/"}"#;
    let mut found = vec![];
    for (name, token, method, path, body) in [
        ("no token", None, "POST", "/mcp", list),
        ("an expired token", Some(&expired), "POST", "/mcp", list),
        ("reads, lists tools", Some(&reads), "POST", "/mcp", list),
        ("reads, runs", Some(&reads), "POST", "/mcp", call),
        ("reads, submits", Some(&reads), "POST", "/api/v1/jobs", job),
        ("reads, lists", Some(&reads), "GET", "/api/v1/jobs", ""),
        ("nothing, lists", Some(&none), "GET", "/api/v1/jobs", ""),
        ("nothing, reads", Some(&none), "POST", "/mcp", read),
        ("writes, lists", Some(&scp), "GET", "/api/v1/jobs", ""),
        ("reads, removes old", Some(&reads), "POST", "/api/v1/gc", ""),
    ] {
        let token = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let answer = home.ask_with(method, path, &headers, body.as_bytes());
        found.push(format!("{name}: {} {}", answer.status, answer.header("www-authenticate").unwrap_or("-")));
    }
    insta::assert_snapshot!("challenges", found.join("\n"));
    let paths = ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"];
    let [root, of_mcp] = paths.map(|path| home.ask_with("GET", path, &[], b"").json());
    assert_eq!(root, of_mcp);
    assert_eq!(root["authorization_servers"], json!([issuer.name]));
    insta::assert_json_snapshot!("resource_metadata", root, { ".authorization_servers" => "[issuer]" });
    assert_eq!(home.ask_with("GET", "/.well-known/oauth-protected-resource/other", &[], b"").status, 404);
}

#[test]
fn without_an_issuer_nothing_is_said_of_one() {
    let home = Home::new();
    home.daemon();
    let answer = home.ask_with("GET", "/.well-known/oauth-protected-resource/mcp", &[], b"");
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
    let answer = home.ask_with("POST", "/mcp", &[], b"{}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"longshore\""));
    let key = Key::ec("k");
    let issuer = Issuer::new(&[&key]);
    assert_eq!(status(&home, &key.sign(&key.header(), &claims(&issuer, json!({})))), 401);
    assert_eq!(issuer.fetches(), 0);
}

#[test]
fn a_rotated_key_is_found_and_the_old_one_opens_nothing() {
    let (old, new) = (Key::ec("old"), Key::ec("new"));
    let issuer = Issuer::new(&[&old]);
    let home = Home::configured(&issuer.section());
    let [by_old, by_new] = [&old, &new].map(|key| key.sign(&key.header(), &claims(&issuer, json!({}))));
    assert_eq!((status(&home, &by_old), issuer.fetches()), (200, 1));
    issuer.publish(&[&new]);
    assert_eq!((status(&home, &by_new), issuer.fetches()), (200, 2));
    assert_eq!(status(&home, &by_old), 401);
}

#[test]
fn unknown_keys_do_not_make_us_flood_the_issuer() {
    let (key, unknown) = (Key::ec("k"), Key::ec("u"));
    let issuer = Issuer::new(&[&key]);
    let home = Home::configured(&format!("{}jwks_pause = \"1h\"\n", issuer.section()));
    let [good, bad] = [&key, &unknown].map(|key| key.sign(&key.header(), &claims(&issuer, json!({}))));
    for _ in 0..10 {
        assert_eq!((status(&home, &good), status(&home, &bad)), (200, 401));
    }
    assert_eq!(issuer.fetches(), 3);
}

#[test]
fn an_issuer_that_cannot_be_asked_locks_nobody_else_out() {
    let key = Key::ec("k");
    let issuer = Issuer::new(&[&key]);
    issuer.pretend("https://other.example");
    let home = Home::configured(&issuer.section());
    let token = key.sign(&key.header(), &claims(&issuer, json!({})));
    let answer = ask(&home, &token, "GET", "/api/v1/jobs", "");
    assert_eq!((answer.status, answer.code().as_str()), (503, "issuer_unreachable"));
    assert_eq!(home.ask("GET", "/api/v1/jobs", "").status, 200);
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    assert!(log.contains("it is the metadata of another issuer"), "{log}");
    // What does not speak TLS is not believed either.
    let home = Home::configured(&issuer.section().replace("http://127", "https://127"));
    let answer = ask(&home, &token, "GET", "/api/v1/jobs", "");
    assert_eq!((answer.status, answer.code().as_str()), (503, "issuer_unreachable"));
    let log = std::fs::read_to_string(home.path("log/daemon.log")).unwrap();
    assert!(log.contains("could not be fetched") && !log.contains("panicked"), "{log}");
}

#[test]
fn jobs_of_another_subject_look_unknown() {
    let key = Key::ec("k");
    let issuer = Issuer::new(&[&key]);
    let home = Home::configured(&issuer.section());
    let of = |subject: &str| key.sign(&key.header(), &claims(&issuer, json!({ "sub": subject })));
    let (alice, bob) = (of("alice"), of("bob"));
    let job = ask(&home, &alice, "POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/"}"#).json();
    assert_eq!(job["principal"], json!({ "class": "agent", "name": format!("{}|alice", issuer.name) }));
    let id = job["id"].as_str().unwrap();
    let unknown = id.replace(&id[30..], &"0".repeat(id.len() - 30));
    for (method, tail) in [("GET", ""), ("GET", "/output"), ("POST", "/cancel"), ("DELETE", "")] {
        let look = |id: &str| ask(&home, &bob, method, &format!("/api/v1/jobs/{id}{tail}"), "");
        let text = |answer: &Answer, id: &str| String::from_utf8_lossy(&answer.body).replace(id, "ID");
        let (foreign, none) = (look(id), look(&unknown));
        assert_eq!((foreign.status, text(&foreign, id)), (404, text(&none, &unknown)), "{method} {tail}");
    }
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "job_read", "arguments": { "job": id } },
    });
    let over_mcp = |token: &str| {
        let answer = ask(&home, token, "POST", "/mcp", &call.to_string()).json();
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(over_mcp(&bob).starts_with("error[job_not_found]"));
    assert!(over_mcp(&alice).contains(id));
    assert_eq!(ask(&home, &bob, "GET", "/api/v1/jobs", "").json()["jobs"], json!([]));
    assert_eq!(ask(&home, &alice, "GET", &format!("/api/v1/jobs/{id}"), "").status, 200);
}

#[test]
fn names_of_scopes_audience_claim_and_class_are_as_configured() {
    let key = Key::rsa("k");
    let issuer = Issuer::new(&[&key]);
    let more = format!(
        "audience = \"api://longshore\"\njwks_url = \"{}/keys\"\nprincipal_claim = \"azp\"\nclass = \"person\"\n\
         [oauth.scopes]\nread = \"ls.look\"\nwrite = \"ls.do\"\nadmin = \"ls.keep\"\n",
        issuer.name
    );
    let home = Home::configured(&format!("{}{more}", issuer.section()));
    let of = |scope: &str| {
        let other = json!({ "aud": "api://longshore", "azp": "app-7", "scope": scope });
        key.sign(&key.header(), &claims(&issuer, other))
    };
    assert_eq!(status(&home, &of("ls.look")), 200);
    let refused = ask(&home, &of("jobs:read admin ls.do"), "POST", "/api/v1/gc", "");
    assert_eq!(refused.status, 403);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.ends_with("scope=\"ls.do ls.keep\""), "{challenge}");
    assert_eq!(ask(&home, &of("ls.keep"), "GET", "/api/v1/daemon", "").status, 200);
    let job = ask(&home, &of("ls.do"), "POST", "/api/v1/jobs", r#"{"command":["true"],"cwd":"/"}"#).json();
    assert_eq!(job["principal"], json!({ "class": "person", "name": format!("{}|app-7", issuer.name) }));
}

#[test]
fn settings_that_would_be_unsafe_are_refused() {
    for (settings, word) in [
        ("issuer = \"http://id.example\"\nresource = \"https://a.example/mcp\"", "use `https`"),
        ("issuer = \"https://id.example\"", "oauth.resource"),
        ("issuer = \"https://id.example\"\nresource = \"jobs\"", "https://host/path"),
        ("class = \"admin\"", "`agent`, `worker` or `person`"),
        ("jwks_pause = \"0s\"", "must be 1s to 1h"),
        ("scopes.read = \"a b\"", "one word"),
    ] {
        let home = Home::configured(&format!("[oauth]\n{settings}\n"));
        let ran = home.run(&["config", "show"]);
        assert!(ran.code == 78 && ran.stderr.contains(word), "{settings}: {ran:?}");
    }
}
