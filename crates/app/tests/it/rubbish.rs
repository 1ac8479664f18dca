//! Requests of pieces that are right, nearly right and wrong, with some bytes of them changed on the way: whoever has no
//! token gets nothing but refusals, nobody gets an answer that blames the daemon, and it goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use longshore_testkit::Dice;

use crate::harness::{Home, pid_of};

const ROUNDS: u64 = 600;
/// An answer is cut off here: streams of events have no end of their own.
const ANSWER_BYTES_MAX: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);

const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "HEAD", "OPTIONS", "get", "TRACE"];
const TARGETS: [&str; 13] = [
    "/mcp",
    "/api/v1/jobs",
    "/api/v1/jobs?limit=1",
    "/api/v1/daemon",
    "/api/v1/jobs/1/output?offset=-1",
    "//api/v1/jobs",
    "/api/v1/../v1/jobs",
    "/health/../api/v1/jobs",
    "/%61pi/v1/jobs",
    "/peer/v1/printed",
    "http://localhost/api/v1/jobs",
    "*",
    "/api/v1/jobs?%00=%ff",
];
const HOSTS: [&str; 5] = ["localhost", "127.0.0.1:1", "[::1]", "evil.example", "localhost\r\nhost: evil.example"];
const LINES: [&str; 14] = [
    "origin: http://localhost",
    "origin: null",
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    "mcp-protocol-version: 2025-11-25",
    "mcp-protocol-version: \u{e9}",
    "mcp-session-id: ../../token",
    "transfer-encoding: chunked",
    "transfer-encoding: chunked, identity",
    "content-length: 99999999999999999999",
    "content-length: -1",
    "content-length: 3",
    "cookie: token=x",
    "expect: 100-continue",
];
const WRONG_TOKENS: [&str; 6] = ["", "Bearer", "Bearer \u{0}", "Bearer x, Bearer y", "Basic eA==", "Bearer ../token"];
const BODIES: [&str; 6] = [
    "",
    "{}",
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":[]}}"#,
    "[[[[[[[[[[[[[[[[",
    "5\r\n{\"a\":\r\n0\r\n\r\n",
];

fn one_of<'a>(dice: &mut Dice, choices: &[&'a str]) -> &'a str {
    choices[dice.roll(choices.len() as u64) as usize]
}

fn request(dice: &mut Dice, authorization: &str) -> Vec<u8> {
    let mut head = format!("{} {} HTTP/1.1\r\n", one_of(dice, &METHODS), one_of(dice, &TARGETS));
    head += &format!("host: {}\r\nconnection: close\r\n", one_of(dice, &HOSTS));
    if !authorization.is_empty() {
        head += &format!("authorization: {authorization}\r\n");
    }
    for _ in 0..dice.roll(4) {
        head += &format!("{}\r\n", one_of(dice, &LINES));
    }
    let body = one_of(dice, &BODIES);
    if dice.roll(2) == 0 {
        head += &format!("content-length: {}\r\n", body.len());
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// Changes nothing half of the time.
fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..dice.roll(2) * dice.roll(6) {
        let at = dice.roll(bytes.len() as u64) as usize;
        match dice.roll(4) {
            0 => bytes[at] = dice.roll(256) as u8,
            1 => bytes.insert(at, dice.roll(256) as u8),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ if at > 0 => bytes.truncate(at),
            _ => {}
        }
    }
}

/// The first bytes of the answer; none if the daemon hung up.
fn answer(listen: &str, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The daemon may hang up before all is sent.
    stream.write_all(request).ok();
    stream.shutdown(Shutdown::Write).ok();
    let mut bytes = vec![];
    stream.take(ANSWER_BYTES_MAX as u64).read_to_end(&mut bytes).ok();
    bytes
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(answer);
    (!line.is_empty()).then(|| line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default())
}

fn send_rubbish(
    home: &Home,
    seed: u64,
    authorization: impl Fn(&mut Dice) -> String,
    is_bearable: impl Fn(u16) -> bool,
) {
    let daemon = home.daemon();
    let listen = daemon["listen"].as_str().unwrap();
    let mut dice = Dice::new(seed);
    let mut answered = 0;
    for round in 0..ROUNDS {
        let authorization = authorization(&mut dice);
        let mut request = request(&mut dice, &authorization);
        spoil(&mut dice, &mut request);
        let answer = answer(listen, &request);
        if let Some(status) = status(&answer) {
            let said = String::from_utf8_lossy(&answer);
            assert!(is_bearable(status), "round {round}: {said} to {}", request.escape_ascii());
            answered += 1;
        }
    }
    assert!(answered > ROUNDS / 2, "{answered}");
    assert_eq!(pid_of(&home.daemon()), pid_of(&daemon), "it is the same daemon");
}

#[test]
fn whoever_has_no_token_gets_nothing_but_refusals() {
    // More wrong tokens than anybody has tried by mistake.
    let home = Home::configured("[limits]\nfailures_per_minute = 1000000\n");
    send_rubbish(&home, 1, |dice| one_of(dice, &WRONG_TOKENS).to_owned(), |status| (400..500).contains(&status));
    assert_eq!(home.run(&["ls", "--json"]).ok().text(), "", "no job was made");
}

#[test]
fn whoever_has_one_never_gets_the_blame_of_the_daemon() {
    let home = Home::new();
    home.daemon();
    let token = format!("Bearer {}", home.token());
    send_rubbish(&home, 2, |_| token.clone(), |status| (100..500).contains(&status));
}
