//! The bridge between a scripted client and a scripted daemon.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::run_bridge;
use crate::wire::{GOODBYE, Hello};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// One end of a stream of lines.
struct End {
    reading: BufReader<ReadHalf<DuplexStream>>,
    writing: WriteHalf<DuplexStream>,
}

impl End {
    fn new(stream: DuplexStream) -> Self {
        let (reading, writing) = split(stream);
        Self { reading: BufReader::new(reading), writing }
    }

    /// The next line, without the count of a call.
    async fn line(&mut self) -> String {
        self.counted().await.1
    }

    /// The next line, and which request it is by the count of its bridge.
    async fn counted(&mut self) -> (Option<u64>, String) {
        let mut line = String::new();
        self.reading.read_line(&mut line).await.unwrap();
        let line = line.trim_end();
        match line.strip_prefix(r#"{"dev.longshore/turn":"#).and_then(|rest| rest.split_once(',')) {
            Some((turn, rest)) => (turn.parse().ok(), format!("{{{rest}")),
            None => (None, line.to_owned()),
        }
    }

    async fn say(&mut self, line: &str) {
        self.writing.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }
}

/// A bridge, its client's end, and the daemon's ends as they are connected.
struct Scene {
    client: End,
    daemons: mpsc::Receiver<End>,
    /// The next attempts to connect fail.
    down: Arc<Mutex<bool>>,
    bridge: JoinHandle<io::Result<()>>,
}

fn hello() -> Hello {
    Hello { bridge: Hello::VERSION, id: "b1".into(), cwd: "/work".into(), env: [].into(), conversation: None }
}

fn scene() -> Scene {
    let (client, ours) = duplex(1 << 16);
    let (connected, daemons) = mpsc::channel(16);
    let down = Arc::new(Mutex::new(false));
    let is_down = Arc::clone(&down);
    let bridge = tokio::spawn(async move {
        let (stdin, stdout) = split(ours);
        run_bridge(hello(), stdin, stdout, || {
            let (is_down, connected) = (*is_down.lock().unwrap(), connected.clone());
            async move {
                if is_down {
                    return Err(io::Error::other("no daemon"));
                }
                let (theirs, daemon) = duplex(1 << 16);
                connected.send(End::new(daemon)).await.map_err(io::Error::other)?;
                Ok(theirs)
            }
        })
        .await
    });
    Scene { client: End::new(client), daemons, down, bridge }
}

impl Scene {
    async fn daemon(&mut self) -> End {
        let mut daemon = self.daemons.recv().await.unwrap();
        let hello = daemon.line().await;
        assert_eq!(hello, r#"{"longshore":{"bridge":2,"id":"b1","cwd":"/work","env":{},"conversation":null}}"#);
        daemon
    }
}

fn request(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{}}}}"#)
}

fn answer(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
}

#[tokio::test]
async fn lines_pass_both_ways_and_answers_outlive_the_end_of_input() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say("what is this?").await;
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"#), "{said}");
    scene.client.say(&request("1")).await;
    assert_eq!(daemon.line().await, request("1"));
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
    daemon.say(progress).await;
    assert_eq!(scene.client.line().await, progress);
    scene.client.writing.shutdown().await.unwrap();
    assert_eq!(daemon.line().await, "");
    daemon.say(&answer("1")).await;
    drop(daemon);
    assert_eq!(scene.client.line().await, answer("1"));
    scene.bridge.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_connection_in_mid_call_is_mended_without_the_client_noticing() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(INITIALIZE).await;
    assert_eq!(daemon.line().await, INITIALIZE);
    daemon.say(&answer("0")).await;
    assert_eq!(scene.client.line().await, answer("0"));
    scene.client.say(INITIALIZED).await;
    assert_eq!(daemon.line().await, INITIALIZED);
    for id in ["1", "\"two\"", "3"] {
        scene.client.say(&request(id)).await;
        assert_eq!(daemon.line().await, request(id));
    }
    daemon.say(&answer("1")).await;
    assert_eq!(scene.client.line().await, answer("1"));
    scene.client.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#).await;
    daemon.line().await;
    drop(daemon);

    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, INITIALIZE);
    assert_eq!(daemon.line().await, INITIALIZED);
    assert_eq!(daemon.line().await, request("\"two\""));
    daemon.say(&answer("0")).await;
    daemon.say(&answer("\"two\"")).await;
    let list_changed = r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed","params":{}}"#;
    assert_eq!(scene.client.line().await, list_changed, "as it may have meanwhile");
    assert_eq!(scene.client.line().await, answer("\"two\""));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_said_goodbye_is_called_back_by_the_next_request_only() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    for id in ["1", "2"] {
        scene.client.say(&request(id)).await;
        daemon.line().await;
    }
    for line in [&answer("2"), &answer("1"), GOODBYE] {
        daemon.say(line).await;
    }
    drop(daemon);
    assert_eq!([scene.client.line().await, scene.client.line().await], [answer("2"), answer("1")]);
    scene.client.say(INITIALIZED).await;
    let hour = std::time::Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, scene.daemons.recv()).await.is_err(), "nothing calls for a daemon");

    scene.client.say(&request("3")).await;
    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, INITIALIZED);
    assert_eq!(daemon.line().await, request("3"));
    daemon.say(GOODBYE).await;
    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, INITIALIZED);
    assert_eq!(daemon.line().await, request("3"), "it was not taken, so it came after the order to stop");
    daemon.say(&answer("3")).await;
    assert_eq!(scene.client.line().await, answer("3"));
}

#[tokio::test]
async fn a_handshake_without_an_answer_is_sent_again_and_answered_once() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(INITIALIZE).await;
    assert_eq!(daemon.line().await, INITIALIZE);
    drop(daemon);
    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, INITIALIZE);
    daemon.say(&answer("0")).await;
    assert_eq!(scene.client.line().await, answer("0"));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_daemon_is_said_and_tried_again_with_the_next_request() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(&request("\"a\"")).await;
    daemon.line().await;
    *scene.down.lock().unwrap() = true;
    drop(daemon);
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32603,"#), "{said}");
    assert!(said.contains("unreachable") && said.contains("jobs that were accepted go on"), "{said}");

    *scene.down.lock().unwrap() = false;
    scene.client.say(&request("2")).await;
    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, request("2"));
    daemon.say(&answer("2")).await;
    assert_eq!(scene.client.line().await, answer("2"));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_input_is_noticed_while_the_daemon_is_away() {
    let mut scene = scene();
    drop(scene.daemon().await);
    *scene.down.lock().unwrap() = true;
    scene.client.say(&request("1")).await;
    scene.client.writing.shutdown().await.unwrap();
    let said = scene.client.line().await;
    assert!(said.contains("-32603"), "{said}");
    scene.bridge.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_every_connection_is_given_up() {
    let mut scene = scene();
    drop(scene.daemon().await);
    scene.client.say(&request("1")).await;
    let mut connections = 0;
    let said = loop {
        tokio::select! {
            said = scene.client.line() => break said,
            daemon = scene.daemons.recv() => {
                connections += 1;
                drop(daemon);
            }
        }
    };
    assert!(said.contains("breaks off each time"), "{said}");
    assert!((2..=6).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_rest_goes_on() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let long = "x".repeat(crate::MESSAGE_BYTES_MAX + 1);
    scene.client.say(&long).await;
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"#), "{said}");
    scene.client.say(&request("1")).await;
    assert_eq!(daemon.line().await, request("1"));
}

#[tokio::test]
async fn a_request_that_is_too_long_is_answered_under_its_id_once() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(&request("1")).await;
    assert_eq!(daemon.line().await, request("1"));
    let long = "x".repeat(crate::MESSAGE_BYTES_MAX);
    let last = format!(r#"{{"method":"tools/call","params":{{"id":3,"x":"{long}"}},"jsonrpc":"2.0","id":"two"}}"#);
    scene.client.say(&last).await;
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":"two","error":{"code":-32600,"#), "{said}");
    assert!(said.contains("4194304 bytes") && said.contains("write large input to a file"), "{said}");
    // An answer to a question of the daemon has the daemon's id, which is no request of the client.
    scene.client.say(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{long}"}}"#)).await;
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"#), "{said}");
    drop(daemon);

    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, request("1"));
    scene.exchange(&mut daemon, &request("4"), &answer("4")).await;
    daemon.say(&answer("1")).await;
    assert_eq!(scene.client.line().await, answer("1"));
}

fn subscribe(id: u32, uri: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/subscribe","params":{{"uri":"{uri}"}}}}"#)
}

fn updated(uri: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#)
}

impl Scene {
    /// The client says something, the daemon hears it and answers, and the client hears that.
    async fn exchange(&mut self, daemon: &mut End, line: &str, answer: &str) {
        self.client.say(line).await;
        assert_eq!(daemon.line().await, line);
        daemon.say(answer).await;
        assert_eq!(self.client.line().await, answer);
    }
}

#[tokio::test]
async fn what_a_client_watches_is_watched_again_at_once_and_may_have_changed() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let refused = r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32002,"message":"no such resource"}}"#;
    scene.exchange(&mut daemon, &subscribe(1, "a"), &answer("1")).await;
    scene.exchange(&mut daemon, &subscribe(2, "b"), refused).await;
    scene.exchange(&mut daemon, &subscribe(3, "c"), &answer("3")).await;
    let no_more = subscribe(4, "c").replace("subscribe", "unsubscribe");
    scene.exchange(&mut daemon, &no_more, &answer("4")).await;
    drop(daemon);

    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, subscribe(1, "a"));
    daemon.say(&answer("1")).await;
    assert_eq!(scene.client.line().await, updated("a"));
    daemon.say(&updated("a")).await;
    assert_eq!(scene.client.line().await, updated("a"));
    scene.exchange(&mut daemon, &request("5"), &answer("5")).await;
}

#[tokio::test]
async fn a_listen_goes_on_and_is_acknowledged_once() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let listen = request("7").replace("tools/call", "subscriptions/listen");
    scene.client.say(&listen).await;
    let acknowledged = |id: &str| {
        let meta = format!(r#"{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
        let granted = r#"{"taskIds":["t"],"resourceSubscriptions":["a"],"resourcesListChanged":true}"#;
        let method = "notifications/subscriptions/acknowledged";
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{meta},"notifications":{granted}}}}}"#)
    };
    assert_eq!(daemon.line().await, listen);
    daemon.say(&acknowledged("7")).await;
    assert_eq!(scene.client.line().await, acknowledged("7"));
    drop(daemon);

    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, listen);
    daemon.say(&acknowledged("7")).await;
    let meta = serde_json::json!({ "io.modelcontextprotocol/subscriptionId": 7 });
    for params in [serde_json::json!({ "_meta": meta }), serde_json::json!({ "_meta": meta, "uri": "a" })] {
        let changed: serde_json::Value = serde_json::from_str(&scene.client.line().await).unwrap();
        assert_eq!(changed["params"], params);
    }
    // Another listen of nearly that name has an acknowledgement of its own.
    let other = listen.replace(":7", ":\"7\"");
    scene.exchange(&mut daemon, &other, &acknowledged("\"7\"")).await;
    for id in ["7", "\"7\""] {
        daemon.say(&answer(id)).await;
        assert_eq!(scene.client.line().await, answer(id));
    }
    drop(daemon);
    let hour = std::time::Duration::from_secs(3_600);
    tokio::time::pause();
    assert!(tokio::time::timeout(hour, scene.daemons.recv()).await.is_err(), "nothing calls for a daemon");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_every_connection_is_given_up_though_the_client_is_told_things() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.exchange(&mut daemon, &subscribe(1, "a"), &answer("1")).await;
    scene.client.say(&request("2")).await;
    daemon.line().await;
    drop(daemon);
    let mut connections = 0;
    let said = loop {
        tokio::select! {
            said = scene.client.line() => match said == updated("a") {
                true => {}
                false => break said,
            },
            daemon = scene.daemons.recv() => {
                let mut daemon = daemon.unwrap();
                connections += 1;
                daemon.say(&answer("1")).await;
                daemon.say(&updated("a")).await;
                assert!(connections < 20, "it goes on for ever");
            }
        }
    };
    assert!(said.contains("breaks off each time"), "{said}");
}

#[tokio::test]
async fn a_call_keeps_its_count_until_it_is_answered() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let mut turns = vec![];
    for _ in 0..2 {
        scene.client.say(&request("1")).await;
        turns.extend(daemon.counted().await.0);
        daemon.say(&answer("1")).await;
        scene.client.line().await;
    }
    // The client repeats itself, and the connection is lost.
    for _ in 0..2 {
        scene.client.say(&request("1")).await;
        turns.extend(daemon.counted().await.0);
    }
    drop(daemon);
    let mut daemon = scene.daemon().await;
    turns.extend(daemon.counted().await.0);
    assert_eq!(turns, [1, 2, 3, 3, 3]);
}

#[tokio::test]
async fn a_call_that_has_no_room_for_its_count_goes_without() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let room = crate::MESSAGE_BYTES_MAX - request("1").len();
    let long = request("1").replace("{}}", &format!("{{}}{}}}", " ".repeat(room)));
    scene.client.say(&long).await;
    let (turn, line) = daemon.counted().await;
    assert_eq!((turn, line.len()), (None, crate::MESSAGE_BYTES_MAX));
    scene.client.say(&request("2")).await;
    assert_eq!(daemon.counted().await, (Some(2), request("2")));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_an_error_under_its_id() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(&request("1")).await;
    daemon.line().await;
    daemon.say(&answer("1").replace("{}", &format!("\"{}\"", "x".repeat(64 * 1024 * 1024)))).await;
    let said = scene.client.line().await;
    assert!(said.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"#), "{said}");
    assert!(said.contains("67108864 bytes") && said.contains("job_read"), "{said}");
    drop(daemon);
    // It is answered, so it is not sent again.
    scene.client.say(&request("2")).await;
    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, request("2"));
}

/// A bridge to whose client batches are known, and its daemon.
async fn batching() -> (Scene, End) {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    let initialize = INITIALIZE.replace("2025-11-25", "2025-03-26");
    scene.exchange(&mut daemon, &initialize, &answer("0")).await;
    (scene, daemon)
}

fn array(messages: &[String]) -> String {
    format!("[{}]", messages.join(","))
}

#[tokio::test]
async fn a_batch_goes_on_message_by_message_and_is_answered_by_one_array() {
    let (mut scene, mut daemon) = batching().await;
    scene.client.say(&array(&[request("1"), INITIALIZED.into(), request("2")])).await;
    for expected in [&request("1"), INITIALIZED, &request("2")] {
        assert_eq!(daemon.line().await, *expected);
    }
    daemon.say(&answer("2")).await;
    // What belongs to no batch waits for none.
    scene.exchange(&mut daemon, &request("3"), &answer("3")).await;
    daemon.say(&answer("1")).await;
    assert_eq!(scene.client.line().await, array(&[answer("2"), answer("1")]));
}

#[tokio::test]
async fn a_batch_outlives_a_broken_connection() {
    let (mut scene, mut daemon) = batching().await;
    scene.client.say(&array(&[request("1"), request("2")])).await;
    assert_eq!([daemon.line().await, daemon.line().await], [request("1"), request("2")]);
    daemon.say(&answer("1")).await;
    // With this the first answer has been heard.
    scene.exchange(&mut daemon, &request("3"), &answer("3")).await;
    drop(daemon);
    let mut daemon = scene.daemon().await;
    assert!(daemon.line().await.contains("initialize"));
    assert_eq!(daemon.line().await, request("2"));
    daemon.say(&answer("2")).await;
    let list_changed = r#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed","params":{}}"#;
    daemon.say(&answer("0")).await;
    assert_eq!(scene.client.line().await, array(&[answer("1"), answer("2")]));
    assert_eq!(scene.client.line().await, list_changed);
}

#[tokio::test]
async fn what_a_client_gives_up_its_batch_is_answered_without() {
    let (mut scene, mut daemon) = batching().await;
    let given_up =
        |id: &str| format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
    scene.client.say(&array(&[request("1"), request("2"), given_up("1")])).await;
    for _ in 0..3 {
        daemon.line().await;
    }
    daemon.say(&answer("2")).await;
    assert_eq!(scene.client.line().await, array(&[answer("2")]));
    scene.client.say(&array(&[request("3"), request("4")])).await;
    assert_eq!([daemon.line().await, daemon.line().await], [request("3"), request("4")]);
    daemon.say(&answer("3")).await;
    scene.exchange(&mut daemon, &request("5"), &answer("5")).await;
    scene.client.say(&given_up("4")).await;
    assert_eq!(scene.client.line().await, array(&[answer("3")]));
}

#[tokio::test]
async fn the_end_of_input_answers_what_a_batch_has() {
    let (mut scene, mut daemon) = batching().await;
    scene.client.say(&array(&[request("1"), request("2")])).await;
    assert_eq!([daemon.line().await, daemon.line().await], [request("1"), request("2")]);
    daemon.say(&answer("1")).await;
    scene.exchange(&mut daemon, &request("3"), &answer("3")).await;
    scene.client.writing.shutdown().await.unwrap();
    assert_eq!(daemon.line().await, "");
    drop(daemon);
    assert_eq!(scene.client.line().await, array(&[answer("1")]));
    scene.bridge.await.unwrap().unwrap();
}

fn question(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"elicitation/create","params":{{}}}}"#)
}

#[tokio::test]
async fn questions_of_a_lost_daemon_are_taken_back() {
    let mut scene = scene();
    let mut daemon = scene.daemon().await;
    scene.client.say(&request("1")).await;
    assert_eq!(daemon.line().await, request("1"));
    for id in ["a.answered", "a.taken", "a.open"] {
        daemon.say(&question(id)).await;
        assert_eq!(scene.client.line().await, question(id));
    }
    scene.client.say(&answer("\"a.answered\"")).await;
    assert_eq!(daemon.line().await, answer("\"a.answered\""));
    let taken = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a.taken"}}"#;
    daemon.say(taken).await;
    assert_eq!(scene.client.line().await, taken);
    drop(daemon);

    let mut daemon = scene.daemon().await;
    assert_eq!(daemon.line().await, request("1"));
    daemon.say(&question("b")).await;
    let told: serde_json::Value = serde_json::from_str(&scene.client.line().await).unwrap();
    let reason = "the daemon that asked is gone; what still matters is asked again";
    assert_eq!(told["method"], "notifications/cancelled");
    assert_eq!(told["params"], serde_json::json!({ "requestId": "a.open", "reason": reason }));
    assert_eq!(scene.client.line().await, question("b"));
    scene.client.say(&answer("\"b\"")).await;
    assert_eq!(daemon.line().await, answer("\"b\""));
    daemon.say(&answer("1")).await;
    assert_eq!(scene.client.line().await, answer("1"));
}
