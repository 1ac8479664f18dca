//! A subscription: its acknowledgement first, then what it promised, and nothing else.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::message::{Era, Message};
use super::modern::{Ask, Modern};
use super::shape;
use super::wire::{Open, short};
use super::world::not_run;

const ID: &str = "io.modelcontextprotocol/subscriptionId";

/// An open `subscriptions/listen`.
pub(crate) struct Subscription {
    open: Open,
    id: Value,
    client: Modern,
    /// The ids that the acknowledgement granted.
    pub(crate) grants: Vec<Value>,
}

impl Subscription {
    /// Asks for these tasks and reads the acknowledgement, which must come first.
    pub(crate) async fn open(client: &Modern, id: Value, tasks: &[&str]) -> Result<Subscription> {
        let ask = Ask::new("subscriptions/listen", json!({"notifications": {"taskIds": tasks}})).id(id.clone());
        let (mut open, _) = client.open(&ask).await?;
        let Some(first) = open.next(client.line.patience).await? else {
            bail!("the subscription ended without a word")
        };
        client.line.judge(&first, Era::Modern, &id, open.status);
        if first.value["error"]["code"] == -32601 {
            return Err(not_run("needs `subscriptions/listen`, which the server does not have"));
        }
        let grants = acknowledged(&first, &id)?;
        Ok(Subscription { open, id, client: client.clone(), grants })
    }

    /// The same for tasks that exist, which must all be granted.
    pub(crate) async fn granted(client: &Modern, id: Value, tasks: &[&str]) -> Result<Subscription> {
        let subscription = Subscription::open(client, id, tasks).await?;
        let missing = tasks.iter().find(|task| !subscription.grants.contains(&json!(task)));
        missing.map_or(Ok(subscription), |task| bail!("the acknowledgement leaves out the task {task}"))
    }

    /// The next message of the subscription; `None` when it ended in good order.
    pub(crate) async fn next(&mut self) -> Result<Option<Message>> {
        loop {
            let Some(message) = self.open.next(self.client.line.patience).await? else {
                bail!("the subscription's stream was cut without a result")
            };
            self.client.line.judge(&message, Era::Modern, &self.id, self.open.status);
            if message.is_response() {
                ended(&message, &self.id)?;
                return Ok(None);
            }
            if message.method() != "notifications/cancelled" {
                return Ok(Some(message));
            }
        }
    }

    /// The text of a task's state that is already there, if one is.
    pub(crate) fn next_if_any(&mut self) -> Option<String> {
        std::iter::from_fn(|| self.open.waiting())
            .find(|message| message.method() == "notifications/tasks")
            .map(|it| it.text)
    }

    /// The next state of a task.
    pub(crate) async fn task(&mut self) -> Result<Value> {
        let Some(message) = self.next().await? else { bail!("the subscription ended") };
        task_of(&message, &self.id)
    }

    /// States of one task up to and with the first that is as wanted.
    pub(crate) async fn until(&mut self, task: &str, wanted: impl Fn(&Value) -> bool) -> Result<Vec<Value>> {
        let mut seen = vec![];
        loop {
            let view = self.task().await?;
            if view["taskId"] != task {
                continue;
            }
            let done = wanted(&view);
            let over = shape::ENDS.contains(&view["status"].as_str().unwrap_or_default());
            seen.push(view);
            if done {
                return Ok(seen);
            }
            ensure!(!over, "the task ended otherwise than expected: {}", json!(seen));
        }
    }
}

/// The first message of a subscription: what it grants.
pub(crate) fn acknowledged(message: &Message, id: &Value) -> Result<Vec<Value>> {
    let method = "notifications/subscriptions/acknowledged";
    ensure!(message.method() == method, "the first message is no acknowledgement: {}", short(&message.text));
    let params = &message.value["params"];
    ensure!(params["_meta"][ID] == *id, "the acknowledgement is not for {id}: {}", short(&message.text));
    Ok(params["notifications"]["taskIds"].as_array().cloned().unwrap_or_default())
}

/// The state of a task in a message of the subscription `id`.
pub(crate) fn task_of(message: &Message, id: &Value) -> Result<Value> {
    ensure!(message.method() == "notifications/tasks", "does not belong to the subscription: {}", short(&message.text));
    let mut view = message.value["params"].clone();
    ensure!(view["_meta"][ID] == *id, "the notification is not for {id}: {}", short(&message.text));
    view.as_object_mut().map(|members| members.remove("_meta"));
    ensure!(view.get("resultType").is_none(), "a notification with `resultType`: {}", short(&message.text));
    shape::task_view(&view).map_err(|error| anyhow::anyhow!("{error}: {}", short(&message.text)))?;
    Ok(view)
}

/// The end of a subscription: an empty result that names it.
pub(crate) fn ended(message: &Message, id: &Value) -> Result<()> {
    let result = &message.value["result"];
    ensure!(result["resultType"] == "complete", "the subscription did not end in good order: {}", short(&message.text));
    ensure!(result["_meta"][ID] == *id, "the end is not for {id}: {}", short(&message.text));
    let extra =
        result.as_object().into_iter().flatten().find(|(name, _)| !["resultType", "_meta"].contains(&name.as_str()));
    extra.map_or(Ok(()), |(name, _)| bail!("the end carries `{name}`"))
}

/// A task as `tasks/get` shows it, in the form of a notification.
pub(crate) fn as_notified(read: &Value) -> Value {
    let mut view = read.clone();
    if let Some(members) = view.as_object_mut() {
        members.remove("resultType");
        members.remove("_meta");
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: &Value) -> Message {
        Message::read(&value.to_string())
    }

    fn task() -> Value {
        json!({
            "jsonrpc": "2.0", "method": "notifications/tasks",
            "params": {
                "_meta": {ID: 7}, "taskId": "t", "status": "working", "createdAt": "2026-11-20T10:00:00Z",
                "lastUpdatedAt": "2026-11-20T10:00:00Z", "ttlMs": null,
            },
        })
    }

    #[test]
    fn a_faulty_subscription_is_found() {
        let id = json!(7);
        assert!(task_of(&message(&task()), &id).is_ok());
        let faults: &[fn(&mut Value)] = &[
            |task| task["method"] = json!("notifications/progress"),
            |task| task["params"]["_meta"][ID] = json!("7"),
            |task| task["params"]["_meta"] = json!({}),
            |task| task["params"]["resultType"] = json!("complete"),
            |task| task["params"]["status"] = json!("completed"),
            |task| task["params"]["ttlMs"] = json!("1 h"),
        ];
        for (number, fault) in faults.iter().enumerate() {
            let mut task = task();
            fault(&mut task);
            assert!(task_of(&message(&task), &id).is_err(), "fault {number}: {task}");
        }
    }

    #[test]
    fn a_faulty_beginning_or_end_is_found() {
        let ack = |meta: Value| {
            json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                   "params": {"_meta": meta, "notifications": {"taskIds": ["t"]}}})
        };
        assert_eq!(acknowledged(&message(&ack(json!({ID: 7}))), &json!(7)).expect("granted"), [json!("t")]);
        assert!(acknowledged(&message(&ack(json!({ID: "7"}))), &json!(7)).is_err());
        assert!(acknowledged(&message(&task()), &json!(7)).is_err());
        let end = |result: Value| json!({"jsonrpc": "2.0", "id": 7, "result": result});
        let cases = [
            (json!({"resultType": "complete", "_meta": {ID: 7}}), true),
            (json!({"resultType": "complete", "_meta": {ID: "7"}}), false),
            (json!({"resultType": "complete"}), false),
            (json!({"_meta": {ID: 7}}), false),
            (json!({"resultType": "complete", "_meta": {ID: 7}, "taskIds": []}), false),
        ];
        for (result, fits) in cases {
            assert_eq!(ended(&message(&end(result.clone())), &json!(7)).is_ok(), fits, "{result}");
        }
    }
}
