//! Lines 7 and 8: questions and their answers.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::modern::{Modern, accept};
use super::super::world::World;
use super::super::{BOTH, Check, check, shape};

pub(super) const CHECKS: &[Check] = &[
    check!(7, BOTH, "answers/keys", keys, "three questions in one task have three keys, and none comes back"),
    check!(7, BOTH, "answers/partial", partial, "a partial answer leaves the other question as it was"),
    check!(7, BOTH, "answers/repeated", repeated, "an answer that is repeated is ignored: the first one counts"),
    check!(
        7,
        BOTH,
        "answers/foreign",
        foreign,
        "answers to questions that nobody asked, and no answers, change nothing"
    ),
    check!(7, BOTH, "answers/late", late, "answers after the end are acknowledged and change nothing"),
    check!(7, BOTH, "answers/together", together, "of two partial answers at once neither is lost"),
    check!(7, BOTH, "answers/decline", decline, "a question that is declined or cancelled is answered too"),
    check!(7, BOTH, "answers/session", session, "in a session the question comes on the stream of tasks/result"),
    check!(8, BOTH, "questions/same-bytes", same_bytes, "questions are the same over 100 polls, byte for byte"),
];

/// Rounds of answers given at the same time.
const ROUNDS: usize = 20;
const POLLS: usize = 100;

async fn asked(world: &World) -> Result<(Modern, String, Vec<String>)> {
    let client = world.client_with(&["multi_input"]).await?;
    let id = client.task("multi_input", json!({})).await?;
    let keys = client.questions(&id, 2).await?;
    Ok((client, id, keys))
}

async fn keys(world: &World) -> Result<()> {
    let client = world.client_with(&["three_questions"]).await?;
    let id = client.task("three_questions", json!({})).await?;
    let mut used = BTreeSet::new();
    for _ in 0..3 {
        let open = client.until(&id, |task| {
            task["inputRequests"].as_object().is_some_and(|map| map.keys().any(|key| !used.contains(key)))
        });
        let open = open.await?;
        let open: Vec<String> =
            open.result()?["inputRequests"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        for key in open {
            ensure!(used.insert(key.clone()), "the key `{key}` came back after it was answered");
            client.answer(&id, json!({key: accept("x")})).await?;
        }
        if used.len() >= 3 {
            break;
        }
    }
    ensure!(used.len() == 3, "three questions had the keys {used:?}");
    let end = client.until(&id, |task| task["status"] == "completed").await?;
    end.ensure(end.result()?.get("inputRequests").is_none(), "questions after the end")
}

async fn partial(world: &World) -> Result<()> {
    let (client, id, keys) = asked(world).await?;
    let before = shape::raw_questions(client.get(&id).await?.text())?;
    client.answer(&id, json!({&keys[0]: accept("one")})).await?;
    let after = client.until(&id, |task| task["inputRequests"].get(&keys[0]).is_none()).await?;
    let left = shape::raw_questions(after.text())?;
    after.ensure(left.len() == 1 && left.get(&keys[1]) == before.get(&keys[1]), "the other question changed")?;
    client.answer(&id, json!({&keys[1]: accept("two")})).await?;
    client.until_status(&id, "completed").await.map(|_| ())
}

async fn repeated(world: &World) -> Result<()> {
    let (client, id, keys) = asked(world).await?;
    client.answer(&id, json!({&keys[0]: accept("first-answer")})).await?;
    client.until(&id, |task| task["inputRequests"].get(&keys[0]).is_none()).await?;
    client.answer(&id, json!({&keys[0]: accept("second-answer")})).await?;
    client.answer(&id, json!({&keys[0]: accept("third-answer"), &keys[1]: accept("other")})).await?;
    let end = client.until_status(&id, "completed").await?;
    let text = end.result()?["result"]["content"].to_string();
    let wrong = text.contains("second-answer") || text.contains("third-answer");
    end.ensure(!wrong, "a repeated answer took the place of the first")
}

async fn foreign(world: &World) -> Result<()> {
    let (client, id, keys) = asked(world).await?;
    let before = client.get(&id).await?;
    client.answer(&id, json!({"nobody-asked-this": accept("x")})).await?;
    client.answer(&id, json!({})).await?;
    let after = client.get(&id).await?;
    after.judge(shape::same_task(before.text(), after.text()))?;
    client.answer(&id, json!({"nobody": accept("x"), &keys[0]: accept("a"), &keys[1]: accept("b")})).await?;
    client.until_status(&id, "completed").await.map(|_| ())
}

async fn late(world: &World) -> Result<()> {
    let (client, id, keys) = asked(world).await?;
    client.answer(&id, json!({&keys[0]: accept("a"), &keys[1]: accept("b")})).await?;
    let before = client.until_status(&id, "completed").await?;
    client.answer(&id, json!({&keys[0]: accept("late"), &keys[1]: accept("late")})).await?;
    let after = client.get(&id).await?;
    after.judge(shape::same_task(before.text(), after.text()))
}

async fn together(world: &World) -> Result<()> {
    let client = world.client_with(&["multi_input"]).await?;
    let other = world.beside(&client).await?;
    for round in 0..ROUNDS {
        let id = client.task("multi_input", json!({})).await?;
        let keys = client.questions(&id, 2).await?;
        let (one, two) = (format!("one-{round}"), format!("two-{round}"));
        let (first, second) = tokio::join!(
            client.answer(&id, json!({&keys[0]: accept(&one)})),
            other.answer(&id, json!({&keys[1]: accept(&two)})),
        );
        first.and(second)?;
        let end = client.until_status(&id, "completed").await?;
        let text = end.result()?["result"]["content"].to_string();
        end.ensure(text.contains(&one) && text.contains(&two), "an answer was lost")?;
    }
    Ok(())
}

async fn decline(world: &World) -> Result<()> {
    let client = world.client_with(&["confirm_delete"]).await?;
    for action in ["decline", "cancel"] {
        let id = client.task("confirm_delete", json!({"filename": "decline.txt"})).await?;
        let keys = client.questions(&id, 1).await?;
        client.answer(&id, json!({&keys[0]: {"action": action}})).await?;
        let end = client.until_ended(&id).await?;
        end.ensure(end.result()?["status"] != "failed", "an answer is no protocol error")?;
    }
    Ok(())
}

async fn session(world: &World) -> Result<()> {
    world.client_with(&["confirm_delete"]).await?;
    let session = world.session_with_tasks().await?;
    let id = session.task("confirm_delete", json!({"filename": "session.txt"}), None).await?;
    session.until_status(&id, "input_required").await?;
    let result = session.call_answering("tasks/result", json!({"taskId": id}), accept("yes")).await?;
    let asked: Vec<&Value> =
        result.before.iter().filter(|message| message.is_request()).map(|message| &message.value).collect();
    let related = json!({"taskId": id});
    let right = |question: &&Value| {
        question["method"] == "elicitation/create"
            && question["params"]["_meta"][super::super::legacy::RELATED] == related
    };
    result.ensure(asked.len() == 1 && asked.iter().all(right), "not one question that names its task")?;
    result.ensure(result.result()?["content"].is_array(), "no result of the call")?;
    let names_task = result.result()?["_meta"][super::super::legacy::RELATED] == related;
    result.ensure(names_task, "the result does not name its task")
}

async fn same_bytes(world: &World) -> Result<()> {
    let (client, id, _) = asked(world).await?;
    let other = world.beside(&client).await?;
    let first = shape::raw_questions(client.get(&id).await?.text())?;
    for poll in 0..POLLS {
        let reader = if poll % 2 == 0 { &client } else { &other };
        let read = reader.get(&id).await?;
        let questions = shape::raw_questions(read.text())?;
        read.ensure(questions == first, &format!("poll {poll}: the questions were {first:?} before"))?;
    }
    client.cancel(&id).await
}
