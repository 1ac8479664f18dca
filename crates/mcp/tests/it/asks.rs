//! What jobs ask, shown and answered through tasks.

use std::collections::HashSet;
use std::time::Duration;

use insta::assert_json_snapshot;
use longshore_domain::job::{Event, NewQuestion, QuestionKind, QuestionSpec};
use longshore_domain::{AttemptNumber, QuestionId, Timestamp};
use longshore_engine::ops::Caller;
use serde_json::{Value, json};

use crate::kit::{Client, Gate, Kit, LIMIT};
use crate::peer::{Peer, TRANSPORTS, Transport, declaring_meta, run};
use crate::redact::redact;

async fn hasty() -> Kit {
    Kit::with(|settings| settings.grace = Duration::ZERO).await
}

fn question(number: u128, kind: QuestionKind, prompt: &str, schema: Option<Value>) -> NewQuestion {
    let id = QuestionId::new(Timestamp::from_millis(1_795_000_000_000), number);
    NewQuestion {
        id,
        spec: QuestionSpec { key: format!("k{number}"), kind, prompt: prompt.into(), schema, deadline: None },
    }
}

fn name_of(number: u128) -> String {
    question(number, QuestionKind::Text, "", None).id.to_string()
}

fn choice() -> NewQuestion {
    question(1, QuestionKind::Choice, "Which one?", Some(json!({ "type": "string", "enum": ["a", "b"] })))
}

fn form() -> NewQuestion {
    let fields = json!({ "type": "object", "properties": { "count": { "type": "integer", "minimum": 1 } } });
    question(2, QuestionKind::Form, "How many?", Some(fields))
}

fn text() -> NewQuestion {
    question(3, QuestionKind::Text, "And why?", None)
}

fn approval() -> NewQuestion {
    question(4, QuestionKind::Approval, "May it?", None)
}

/// Has a running job ask.
async fn ask(kit: &Kit, id: &str, questions: Vec<NewQuestion>) {
    let event = Event::Asked { token: AttemptNumber(1), questions };
    let now = kit.engine.clock().now();
    kit.engine.store().record(id.parse().unwrap(), event, None, now).await.0.unwrap();
}

async fn running(kit: &Kit, peer: &mut Peer, gate: &Gate) -> String {
    let handle = peer.asking("tools/call", run(kit, &gate.line(), &json!({}))).await;
    let id = handle["taskId"].as_str().unwrap_or_else(|| panic!("{handle}")).to_owned();
    kit.runs(&id).await;
    id
}

fn accept(value: &Value) -> Value {
    json!({ "action": "accept", "content": value })
}

async fn update(peer: &mut Peer, id: &str, responses: Value) -> Value {
    peer.asking("tasks/update", json!({ "taskId": id, "inputResponses": responses })).await
}

fn open_of(task: &Value) -> Vec<String> {
    let requests = task["inputRequests"].as_object();
    requests.map(|requests| requests.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn open_questions_are_forms_and_their_answers_let_the_job_go_on() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let id = running(&kit, &mut peer, &gate).await;
        ask(&kit, &id, vec![choice(), form()]).await;
        let task = peer.asking("tasks/get", json!({ "taskId": id })).await;
        let unable = peer.declaring("tasks/get", json!({ "taskId": id })).await;
        assert_json_snapshot!("asking", redact(&json!([task, unable])));
        for _ in 0..20 {
            let again = peer.asking("tasks/get", json!({ "taskId": id })).await;
            assert_eq!(again["inputRequests"].to_string(), task["inputRequests"].to_string());
        }
        // One answer of two, a name that means nothing, and the rest after a restart, with one more question.
        let partial = json!({ name_of(1): accept(&json!({ "value": "a" })), "q_unknown": { "action": "decline" } });
        update(&mut peer, &id, partial.clone()).await;
        let kit = kit.reopen(|_| {}).await;
        let mut peer = Peer::new(&kit, transport, "owner").await;
        assert_eq!(open_of(&peer.asking("tasks/get", json!({ "taskId": id })).await), [name_of(2)]);
        update(&mut peer, &id, partial).await;
        ask(&kit, &id, vec![text()]).await;
        let (one, other) =
            (json!({ name_of(2): { "action": "cancel" } }), json!({ name_of(3): { "action": "decline" } }));
        let mut second = Peer::new(&kit, transport, "owner").await;
        tokio::join!(update(&mut peer, &id, one.clone()), update(&mut second, &id, other));
        let task = peer.asking("tasks/get", json!({ "taskId": id })).await;
        assert_eq!((&task["status"], open_of(&task).len()), (&json!("working"), 0));
        // Late and repeated ones are ignored.
        assert_eq!(update(&mut peer, &id, one).await["resultType"], "complete");
        gate.open().await;
        let job = kit.engine.find(&Caller::owner().principal, &id).await.unwrap();
        assert!(kit.engine.wait_one(job, LIMIT).await.unwrap().is_finished());
        assert_eq!(peer.asking("tasks/get", json!({ "taskId": id })).await["status"], "completed");
        let late = json!({ name_of(1): accept(&json!({ "value": "b" })) });
        assert_eq!(update(&mut peer, &id, late).await["resultType"], "complete");
        let questions = kit.engine.questions(&Caller::owner(), &id).await.unwrap();
        let decisions: Vec<Value> =
            questions.iter().map(|question| json!(question.answer.as_ref().unwrap().decision)).collect();
        assert_json_snapshot!("decisions", decisions);
    }
}

#[tokio::test]
async fn answers_of_the_wrong_shape_are_refused_and_take_nothing() {
    for transport in TRANSPORTS {
        let kit = hasty().await;
        let gate = kit.gate();
        let mut peer = Peer::new(&kit, transport, "owner").await;
        let id = running(&kit, &mut peer, &gate).await;
        ask(&kit, &id, vec![choice(), form()]).await;
        let good = accept(&json!({ "value": "a" }));
        let mut refusals = vec![];
        for bad in [
            json!({ name_of(1): good, name_of(2): accept(&json!({ "count": 0 })) }),
            json!({ name_of(1): accept(&json!({ "value": "c" })) }),
            json!({ name_of(1): accept(&json!({})) }),
            json!({ name_of(1): { "action": "agree" } }),
            json!({ name_of(1): 7 }),
            json!([]),
        ] {
            refusals.push(update(&mut peer, &id, bad).await);
        }
        refusals.push(peer.asking("tasks/update", json!({ "taskId": id })).await);
        assert_json_snapshot!("wrong_answers", refusals);
        assert_eq!(open_of(&peer.asking("tasks/get", json!({ "taskId": id })).await), [name_of(1), name_of(2)]);
        peer.asking("tasks/cancel", json!({ "taskId": id })).await;
    }
}

#[tokio::test]
async fn approvals_are_never_for_the_client_of_a_model() {
    let kit = hasty().await;
    let gate = kit.gate();
    let mut peer = Peer::new(&kit, Transport::Stdio, "owner").await;
    let id = running(&kit, &mut peer, &gate).await;
    ask(&kit, &id, vec![approval()]).await;
    let task = peer.asking("tasks/get", json!({ "taskId": id })).await;
    assert_eq!((&task["status"], task.get("inputRequests")), (&json!("working"), None));
    assert!(task["statusMessage"].as_str().unwrap().starts_with("asking: work; waits for the answer of a person"));
    update(&mut peer, &id, json!({ name_of(4): accept(&json!({ "value": true })) })).await;
    let questions = kit.engine.questions(&Caller::owner(), &id).await.unwrap();
    assert!(questions[0].is_open());
    ask(&kit, &id, vec![text()]).await;
    assert_eq!(open_of(&peer.asking("tasks/get", json!({ "taskId": id })).await), [name_of(3)]);
    peer.asking("tasks/cancel", json!({ "taskId": id })).await;
}

/// A client of 2025-11-25 that shows forms, and its task that asks.
async fn legacy_asked(kit: &Kit, gate: &Gate, questions: Vec<NewQuestion>) -> (Client, String) {
    let mut client = kit.bridge("b").await;
    client.shake_hands_as("2025-11-25", json!({ "elicitation": {} })).await;
    let call =
        json!({ "name": "run", "arguments": { "command": gate.line(), "shell": true, "name": "work" }, "task": {} });
    let handle = client.request("tools/call", call).await;
    let id = handle["result"]["task"]["taskId"].as_str().unwrap().to_owned();
    kit.runs(&id).await;
    ask(kit, &id, questions).await;
    (client, id)
}

#[tokio::test]
async fn a_legacy_client_is_asked_while_it_waits_for_the_result() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = legacy_asked(&kit, &gate, vec![choice(), text()]).await;
    let task = client.request("tasks/get", json!({ "taskId": id })).await;
    assert_eq!(task["result"]["status"], "input_required");
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    let mut first = client.hear().await;
    let answer = accept(&json!({ "value": "b" }));
    client.say(&json!({ "jsonrpc": "2.0", "id": first["id"], "result": answer })).await;
    // The second is answered by somebody else, and taken back.
    let second = client.hear().await;
    assert_eq!(second["params"]["message"], "And why?");
    let mut other = Peer::new(&kit, Transport::Stdio, "owner").await;
    update(&mut other, &id, json!({ name_of(3): accept(&json!({ "value": "so" })) })).await;
    let mut rest = vec![client.hear().await, client.hear().await];
    assert_eq!(rest[0]["params"]["requestId"], second["id"]);
    assert_eq!(rest[1]["method"], "notifications/tasks/status");
    first["id"] = json!("<id>");
    rest[0]["params"]["requestId"] = json!("<id>");
    assert_json_snapshot!("legacy_asking", redact(&json!([first, rest])));
    gate.open().await;
    let result = client.hear().await;
    assert_eq!((&result["id"], &result["result"]["isError"]), (&json!(waiting), &json!(false)));
}

#[tokio::test]
async fn a_legacy_client_whose_answer_does_not_fit_is_asked_again_and_told_why() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = legacy_asked(&kit, &gate, vec![choice(), text()]).await;
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    let mut asked = vec![client.hear().await];
    for bad in [accept(&json!({})), accept(&json!({ "value": "c" })), json!({ "action": "agree" }), json!(7)] {
        client.say(&json!({ "jsonrpc": "2.0", "id": asked.last().unwrap()["id"], "result": bad })).await;
        asked.push(client.hear().await);
    }
    let messages: Vec<&Value> = asked.iter().map(|question| &question["params"]["message"]).collect();
    assert_json_snapshot!("asked_again", messages);
    let ids: HashSet<&str> = asked.iter().map(|question| question["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), asked.len(), "each has an id of its own");
    // Asked for the last time, it answers in the right shape. Of the next question it makes nothing.
    let good = accept(&json!({ "value": "b" }));
    client.say(&json!({ "jsonrpc": "2.0", "id": asked.last().unwrap()["id"], "result": good })).await;
    for _ in 0..5 {
        let question = client.hear().await;
        assert!(question["params"]["message"].as_str().unwrap().starts_with("And why?"), "{question}");
        client.say(&json!({ "jsonrpc": "2.0", "id": question["id"], "result": {} })).await;
    }
    client.request("ping", json!({})).await;
    gate.open().await;
    assert_eq!(client.hear().await["id"], waiting);
}

#[tokio::test]
async fn a_legacy_client_that_answers_with_an_error_is_asked_anew_where_it_waits_anew() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = legacy_asked(&kit, &gate, vec![choice(), text()]).await;
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    let first = client.hear().await;
    assert_eq!(first["params"]["message"], "Which one?");
    let error = json!({ "code": -32603, "message": "the form cannot be shown" });
    client.say(&json!({ "jsonrpc": "2.0", "id": first["id"], "error": error })).await;
    // The others are asked all the same.
    let second = client.hear().await;
    assert_eq!(second["params"]["message"], "And why?");
    client.say(&json!({ "jsonrpc": "2.0", "id": second["id"], "result": { "action": "decline" } })).await;
    let task = client.request("tasks/get", json!({ "taskId": id })).await;
    assert_eq!(task["result"]["status"], "input_required", "the question is open");
    let anew = client.ask("tasks/result", json!({ "taskId": id })).await;
    let again = client.hear().await;
    assert_eq!((&again["params"], again["id"] == first["id"]), (&first["params"], false));
    let answer = accept(&json!({ "value": "a" }));
    client.say(&json!({ "jsonrpc": "2.0", "id": again["id"], "result": answer })).await;
    for _ in 0..2 {
        assert_eq!(client.hear().await["params"]["status"], "working");
    }
    gate.open().await;
    let mut ended = [client.hear().await["id"].clone(), client.hear().await["id"].clone()];
    ended.sort_by_key(Value::as_u64);
    assert_eq!(ended, [json!(waiting), json!(anew)]);
}

#[tokio::test]
async fn questions_are_told_to_whoever_listens() {
    let kit = hasty().await;
    let gate = kit.gate();
    let mut peer = Peer::new(&kit, Transport::Stdio, "owner").await;
    let id = running(&kit, &mut peer, &gate).await;
    let mut client = kit.bridge("listener").await;
    let mut meta = declaring_meta();
    meta["io.modelcontextprotocol/clientCapabilities"]["elicitation"] = json!({});
    client.ask("subscriptions/listen", json!({ "notifications": { "taskIds": [id] }, "_meta": meta })).await;
    assert_eq!(client.hear().await["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(client.hear().await["params"]["status"], "working");
    ask(&kit, &id, vec![text()]).await;
    // The store was written past the engine: any other change calls those who follow.
    peer.asking("tools/call", run(&kit, "true", &json!({ "start_in_s": 1000 }))).await;
    let told = client.hear().await;
    assert_eq!((&told["params"]["status"], open_of(&told["params"])), (&json!("input_required"), vec![name_of(3)]));
    update(&mut peer, &id, json!({ name_of(3): { "action": "decline" } })).await;
    assert_eq!(client.hear().await["params"]["status"], "working");
    gate.open().await;
    assert_eq!(client.hear().await["params"]["status"], "completed");
}

#[tokio::test]
async fn a_change_that_does_not_show_is_not_told() {
    let kit = hasty().await;
    let gate = kit.gate();
    let mut peer = Peer::new(&kit, Transport::Stdio, "owner").await;
    let id = running(&kit, &mut peer, &gate).await;
    ask(&kit, &id, vec![approval()]).await;
    let mut client = kit.bridge("listener").await;
    let filter = json!({ "taskIds": [id] });
    client.ask("subscriptions/listen", json!({ "notifications": filter, "_meta": declaring_meta() })).await;
    assert_eq!(client.hear().await["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(client.hear().await["params"]["status"], "working");
    // Nothing of this is for the client.
    ask(&kit, &id, vec![question(5, QuestionKind::Approval, "And that?", None)]).await;
    peer.asking("tools/call", run(&kit, "true", &json!({ "start_in_s": 1000 }))).await;
    peer.asking("tasks/cancel", json!({ "taskId": id })).await;
    let told = client.hear().await;
    assert!(!told["params"]["statusMessage"].as_str().unwrap().starts_with("asking"), "{told}");
}

#[tokio::test]
async fn a_job_is_shown_with_the_questions_that_it_asks_just_then() {
    let kit = hasty().await;
    let gate = kit.gate();
    let mut peer = Peer::new(&kit, Transport::Http, "owner").await;
    let id = running(&kit, &mut peer, &gate).await;
    let mut looking = Peer::new(&kit, Transport::Http, "owner").await;
    for number in 10..60 {
        ask(&kit, &id, vec![question(number, QuestionKind::Text, "And why?", None)]).await;
        let answer = json!({ name_of(number): { "action": "decline" } });
        let (_, task) =
            tokio::join!(update(&mut peer, &id, answer), looking.asking("tasks/get", json!({ "taskId": id })));
        let message = task["statusMessage"].as_str().unwrap();
        match task["status"].as_str().unwrap() {
            "input_required" => {
                assert_eq!((open_of(&task), &message[..6]), (vec![name_of(number)], "asking"), "{task}")
            }
            status => assert_eq!((status, &message[..7]), ("working", "running"), "{task}"),
        }
    }
    peer.asking("tasks/cancel", json!({ "taskId": id })).await;
}
