//! Clients of 2025-11-25 that are asked something by a task and only look at it.

use longshore_domain::job::{Event, NewQuestion, QuestionKind, QuestionSpec};
use longshore_domain::{AttemptNumber, QuestionId, Timestamp};
use serde_json::{Value, json};

use crate::kit::{Client, Gate, Kit};

/// Has a running job ask some words each.
pub(crate) async fn ask(kit: &Kit, id: &str, prompts: &[&str]) {
    let question = |(number, prompt): (usize, &&str)| NewQuestion {
        id: QuestionId::new(Timestamp::from_millis(1_795_000_000_000), number as u128),
        spec: QuestionSpec {
            key: format!("k{number}"),
            kind: QuestionKind::Text,
            prompt: (*prompt).into(),
            schema: None,
            deadline: None,
        },
    };
    let questions = prompts.iter().enumerate().map(question).collect();
    let event = Event::Asked { token: AttemptNumber(1), questions };
    kit.engine.store().record(id.parse().unwrap(), event, None, kit.engine.clock().now()).await.0.unwrap();
}

/// A client that shows forms, and its task that asks `prompts`.
async fn asked(kit: &Kit, gate: &Gate, prompts: &[&str]) -> (Client, String) {
    let mut client = kit.bridge("b").await;
    client.shake_hands_as("2025-11-25", json!({ "elicitation": {} })).await;
    let call = json!({ "name": "run", "arguments": { "command": gate.line(), "shell": true }, "task": {} });
    let handle = client.request("tools/call", call).await;
    let id = handle["result"]["task"]["taskId"].as_str().unwrap().to_owned();
    kit.runs(&id).await;
    ask(kit, &id, prompts).await;
    (client, id)
}

/// Looks at the task, which must be so; what came before the answer.
async fn look(client: &mut Client, id: &str, status: &str) -> Vec<Value> {
    let asked = client.ask("tasks/get", json!({ "taskId": id })).await;
    let mut before = vec![];
    loop {
        let heard = client.hear().await;
        if heard["id"] == asked {
            assert_eq!(heard["result"]["status"], status, "{heard}");
            return before;
        }
        before.push(heard);
    }
}

/// The answer to a question.
pub(crate) fn accept(question: &Value) -> Value {
    let content = json!({ "action": "accept", "content": { "value": "so" } });
    json!({ "jsonrpc": "2.0", "id": question["id"], "result": content })
}

#[tokio::test]
async fn who_only_looks_is_asked_from_the_second_look_on() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = asked(&kit, &gate, &["Which?", "Why?"]).await;
    assert_eq!(look(&mut client, &id, "input_required").await, [""; 0]);
    client.request("ping", json!({})).await;
    let mut heard = look(&mut client, &id, "input_required").await;
    for words in ["Which?", "Why?"] {
        let question = match heard.pop() {
            Some(question) => question,
            None => client.hear().await,
        };
        assert_eq!(
            (&question["method"], &question["params"]["message"]),
            (&json!("elicitation/create"), &json!(words))
        );
        let related = &question["params"]["_meta"]["io.modelcontextprotocol/related-task"];
        assert_eq!(related, &json!({ "taskId": id }));
        assert_eq!(look(&mut client, &id, "input_required").await, [""; 0], "it is not asked twice");
        client.say(&accept(&question)).await;
    }
    let told = client.hear().await;
    assert_eq!((&told["method"], &told["params"]["status"]), (&json!("notifications/tasks/status"), &json!("working")));
    assert_eq!(look(&mut client, &id, "working").await, [""; 0]);
    gate.open().await;
    let result = client.request("tasks/result", json!({ "taskId": id })).await;
    assert_eq!(result["result"]["isError"], false);
}

#[tokio::test]
async fn who_waits_for_the_result_is_asked_there_alone() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = asked(&kit, &gate, &["Which?"]).await;
    look(&mut client, &id, "input_required").await;
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    let question = client.hear().await;
    assert_eq!(question["params"]["message"], "Which?");
    for _ in 0..3 {
        assert_eq!(look(&mut client, &id, "input_required").await, [""; 0]);
    }
    client.say(&accept(&question)).await;
    assert_eq!(client.hear().await["method"], "notifications/tasks/status");
    gate.open().await;
    assert_eq!(client.hear().await["id"], waiting);
}

#[tokio::test]
async fn a_question_beside_is_taken_back_when_the_client_comes_for_the_result() {
    let kit = Kit::new().await;
    let gate = kit.gate();
    let (mut client, id) = asked(&kit, &gate, &["Which?"]).await;
    look(&mut client, &id, "input_required").await;
    let mut heard = look(&mut client, &id, "input_required").await;
    if heard.is_empty() {
        heard.push(client.hear().await);
    }
    let waiting = client.ask("tasks/result", json!({ "taskId": id })).await;
    while heard.len() < 3 {
        heard.push(client.hear().await);
    }
    let questions: Vec<&Value> = heard.iter().filter(|message| message["method"] == "elicitation/create").collect();
    let taken_back: Vec<&Value> =
        heard.iter().filter(|message| message["method"] == "notifications/cancelled").collect();
    assert_eq!((questions.len(), taken_back.len()), (2, 1), "{heard:?}");
    assert_eq!(taken_back[0]["params"]["requestId"], questions[0]["id"]);
    client.say(&accept(questions[1])).await;
    assert_eq!(client.hear().await["method"], "notifications/tasks/status");
    gate.open().await;
    assert_eq!(client.hear().await["id"], waiting);
}
