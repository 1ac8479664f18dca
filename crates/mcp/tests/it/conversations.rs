//! Which chat a request belongs to, and what chats are told.

use insta::assert_json_snapshot;
use longshore_domain::{Conversation, Principal};
use longshore_engine::ops::{Caller, Submit, TOKENS_MAX, WaitFor, tokens};
use longshore_mcp::Hello;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, LIMIT, job_of, modern_meta};
use crate::redact::redact;

fn chat(owner: &str, name: &str) -> Caller {
    Caller { principal: Principal::agent(owner), conversation: Some(Conversation::new(name)) }
}

impl Kit {
    /// A client of that principal behind a bridge that was told `conversation`, after the handshake.
    async fn client(&self, owner: &str, bridge: &str, conversation: Option<&str>) -> Client {
        let mut client = Client::connect(&self.server, Principal::agent(owner));
        let hello = Hello { conversation: conversation.map(str::to_owned), ..self.hello(bridge) };
        client.say(&json!({ "longshore": hello })).await;
        client.shake_hands("2025-11-25").await;
        client
    }

    /// A job of that chat, not through any client, that has ended.
    async fn ended_in(&self, caller: &Caller, line: &str) -> String {
        let submit = Submit { command: vec![line.into()], shell: true, cwd: self.path(), ..Submit::default() };
        let job = self.engine.submit(caller, submit).await.unwrap().job;
        let name = job.id.to_string();
        self.engine.wait(&Caller::owner(), std::slice::from_ref(&name), WaitFor::All, LIMIT).await.unwrap();
        name
    }

    async fn chat_of(&self, job: &str) -> String {
        let job = self.engine.show(&Caller::owner(), job).await.unwrap().job;
        job.conversation.unwrap().as_str().to_owned()
    }
}

/// A call of `run` with this `_meta`.
async fn run_with(client: &mut Client, meta: Value) -> String {
    let arguments = json!({ "command": ["true"] });
    let params = json!({ "name": "run", "arguments": arguments, "_meta": meta });
    job_of(&client.request("tools/call", params).await["result"])
}

/// What an answer tells of other jobs, in both forms.
fn news(result: &Value) -> (Value, Option<&str>) {
    let structured = result["structuredContent"]["since_last"].clone();
    let text = result["content"][1]["text"].as_str();
    assert_eq!(structured.is_null(), text.is_none(), "{result}");
    assert!(text.is_none_or(|text| tokens(text) <= TOKENS_MAX), "{result}");
    assert!(structured.is_null() || tokens(&structured.to_string()) <= TOKENS_MAX, "{result}");
    (structured, text)
}

#[tokio::test]
async fn the_chat_is_what_is_known_best() {
    let kit = Kit::new().await;
    let theirs = kit.ended_in(&chat("owner", "handle"), "true").await;
    let foreign = kit.ended_in(&chat("other", "foreign"), "true").await;
    let nowhere = kit.ended_in(&Caller { conversation: None, ..chat("owner", "") }, "true").await;
    let none = json!({});
    let client_key = json!({ "threadId": "client" });
    let both = json!({ "threadId": "client", "dev.longshore/conversation": "own" });
    let empty = json!({ "threadId": "", "dev.longshore/conversation": "" });
    let table = [
        // metadata, environment, jobs named before, what comes of it
        (&both, Some("env"), vec![&theirs], "own"),
        (&client_key, Some("env"), vec![&theirs], "client"),
        (&empty, Some("env"), vec![&theirs], "env"),
        (&none, Some("env"), vec![&theirs], "env"),
        (&none, Some("  "), vec![&theirs], "handle"),
        (&client_key, None, vec![&theirs], "client"),
        (&none, None, vec![&theirs], "handle"),
        (&none, None, vec![&nowhere, &foreign, &theirs], "handle"),
        (&none, None, vec![&foreign], "bridge:"),
        (&none, None, vec![], "bridge:"),
    ];
    for (at, (meta, environment, named, expected)) in table.into_iter().enumerate() {
        let mut client = kit.client("owner", &format!("b{at}"), environment).await;
        for job in named {
            client.tool("job_wait", json!({ "jobs": [job] })).await;
        }
        let job = run_with(&mut client, meta.clone()).await;
        let found = kit.chat_of(&job).await;
        let expected = if expected == "bridge:" { format!("bridge:b{at}") } else { expected.to_owned() };
        assert_eq!(found, expected, "row {at}");
    }
}

#[tokio::test]
async fn the_first_job_decides_what_a_bridge_stands_for() {
    let kit = Kit::new().await;
    let theirs = kit.ended_in(&chat("owner", "a"), "true").await;
    let others = kit.ended_in(&chat("owner", "b"), "true").await;
    let mut own = kit.client("owner", "own", None).await;
    run_with(&mut own, json!({})).await;
    own.tool("job_read", json!({ "job": theirs })).await;
    assert_eq!(kit.chat_of(&run_with(&mut own, json!({})).await).await, "bridge:own");
    let mut resumed = kit.client("owner", "resumed", None).await;
    resumed.tool("job_read", json!({ "job": theirs })).await;
    resumed.tool("job_read", json!({ "job": others })).await;
    let listed = resumed.tool("job_list", json!({})).await;
    assert_eq!(listed["structuredContent"]["jobs"][0]["job"], *theirs);
    // The same bridge after its connection was lost.
    let mut again = kit.client("owner", "resumed", None).await;
    assert_eq!(kit.chat_of(&run_with(&mut again, json!({})).await).await, "a");
}

#[tokio::test]
async fn a_new_connection_is_told_what_it_missed_and_only_once() {
    let mut kit = Kit::new().await;
    let here = chat("owner", "chat");
    kit.ended_in(&here, "true").await;
    kit.ended_in(&here, "exit 3").await;
    kit.ended_in(&chat("owner", "another"), "true").await;
    kit.ended_in(&chat("other", "chat"), "true").await;
    let mut client = kit.client("owner", "b1", Some("chat")).await;
    let gate = kit.gate();
    let job = client.tool("run", json!({ "command": gate.line(), "shell": true, "background": true })).await;
    assert_json_snapshot!("first_answer", redact(&job));
    news(&job);
    kit.speaks(&job_of(&job)).await;
    let wait = json!({ "jobs": [job_of(&job)], "wait_s": 0.01 });
    assert_eq!(news(&client.tool("job_wait", wait.clone()).await).1, None);
    // Whatever was told is known after a restart; what ended since is told to the next that asks.
    let missed = kit.ended_in(&here, "true").await;
    kit = kit.reopen(|_| {}).await;
    let mut client = kit.client("owner", "b1", Some("chat")).await;
    let (told, _) = {
        let answer = client.tool("job_wait", wait.clone()).await;
        let (structured, text) = news(&answer);
        (structured, text.map(str::to_owned))
    };
    assert_eq!(told["ended"].as_array().unwrap().len(), 1);
    assert!(told["ended"][0].as_str().unwrap().starts_with(&missed), "{told}");
    assert!(told.get("running").is_none(), "the answer itself is about it: {told}");
    gate.open().await;
    client.tool("job_wait", json!({ "jobs": [job_of(&job)] })).await;
    assert_eq!(news(&client.tool("job_list", json!({})).await).1, None);
}

#[tokio::test]
async fn what_was_answered_is_not_told_again_and_what_ended_meanwhile_is() {
    let kit = Kit::new().await;
    let mut client = kit.client("owner", "b1", Some("chat")).await;
    for _ in 0..3 {
        let run = client.tool("run", json!({ "command": ["true"] })).await;
        assert_eq!(news(&run).1, None);
    }
    let meanwhile = kit.ended_in(&chat("owner", "chat"), "true").await;
    let run = client.tool("run", json!({ "command": ["true"] })).await;
    let (told, _) = news(&run);
    assert_eq!(told["ended"].as_array().unwrap().len(), 1, "{told}");
    assert!(told["ended"][0].as_str().unwrap().starts_with(&meanwhile), "{told}");
    assert_eq!(news(&client.tool("run", json!({ "command": ["true"] })).await).1, None);
    let read = kit.ended_in(&chat("owner", "chat"), "true").await;
    assert_eq!(news(&client.tool("job_read", json!({ "job": read })).await).1, None);
    assert_eq!(news(&client.tool("job_list", json!({})).await).1, None);
}

#[tokio::test]
async fn errors_carry_no_news_and_lose_none() {
    let kit = Kit::new().await;
    let missed = kit.ended_in(&chat("owner", "chat"), "true").await;
    let mut client = kit.client("owner", "b1", Some("chat")).await;
    assert_eq!(news(&client.tool("job_read", json!({ "job": "j_0" })).await).1, None);
    let listed = client.tool("job_list", json!({ "state": "queued" })).await;
    assert!(news(&listed).1.unwrap().contains(&missed), "{listed}");
}

#[tokio::test]
async fn several_connections_of_a_chat_share_what_it_was_told() {
    let kit = Kit::new().await;
    let missed = kit.ended_in(&chat("owner", "chat"), "true").await;
    let mut one = kit.client("owner", "b1", None).await;
    let mut other = kit.client("owner", "b2", Some("chat")).await;
    let call = |meta: Value| json!({ "name": "job_list", "arguments": {}, "_meta": meta });
    let ours = one.ask("tools/call", call(json!({ "threadId": "chat" }))).await;
    let theirs = other.ask("tools/call", call(json!({}))).await;
    let answers = [one.hear().await, other.hear().await];
    assert_eq!((&answers[0]["id"], &answers[1]["id"]), (&json!(ours), &json!(theirs)));
    let told = answers.iter().filter(|answer| news(&answer["result"]).1.is_some_and(|text| text.contains(&missed)));
    assert_eq!(told.count(), 1, "{answers:?}");
}

#[tokio::test]
async fn each_request_of_a_modern_client_may_have_its_chat() {
    let kit = Kit::new().await;
    let mut client = kit.bridge("b1").await;
    for name in ["a", "b"] {
        let missed = kit.ended_in(&chat("owner", name), "true").await;
        let mut meta = modern_meta();
        meta["vscode.conversationId"] = name.into();
        let params = json!({ "name": "job_list", "arguments": {}, "_meta": meta });
        let answer = client.request("tools/call", params).await;
        assert!(news(&answer["result"]).1.unwrap().contains(&missed), "{answer}");
    }
}
