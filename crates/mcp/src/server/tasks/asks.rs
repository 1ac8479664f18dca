//! What a job asks, as forms of the protocol, and the answers back. A question keeps its name and its words for as long
//! as it is open, so that the same form is shown at every reading.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use longshore_domain::job::{Decision, Question, QuestionKind};
use longshore_domain::{Fault, FaultCode, Job};
use longshore_engine::ops::Answering;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::view::waits_for_a_person;
use crate::server::call::Call;
use crate::server::resources;
use crate::wire::{Ask, AskKind, ErrorCode, RpcError};

/// Names the task that a message belongs to.
pub(super) const RELATED: &str = "io.modelcontextprotocol/related-task";
/// A job is looked at after this long even without news.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// A job that changes as often between two reads is shown without its questions, until it is looked at again.
const TRIES_MAX: usize = 5;
/// A client whose answers to a question have the wrong shape as often does not understand it.
const ASKED_MAX: usize = 5;
/// See [`elsewhere`].
const ELSEWHERE: &str = "waits for the answer of a person, which this client cannot take: give it on another way";
/// Field of a form that was made for a question of a single value.
const VALUE: &str = "value";

/// The job with its open questions that this caller can be asked, oldest first. They belong together: where the job has
/// changed meanwhile it is read again.
///
/// # Errors
/// The store's own.
pub(super) async fn open(call: &Call, mut job: Job) -> Result<(Job, Vec<Question>), RpcError> {
    if !call.capabilities.allow(AskKind::Form) {
        return Ok((job, vec![]));
    }
    for _ in 0..TRIES_MAX {
        if !waits_for_a_person(&job) {
            break;
        }
        let all = call.engine().questions(&call.caller, &job.id.to_string()).await;
        let mut questions = all.map_err(|fault| resources::failed(&fault))?;
        questions.retain(Question::is_open);
        if are_of(&job, &questions) {
            questions.retain(may_decide);
            return Ok((job, questions));
        }
        let found = call.engine().find(&call.caller.principal, &job.id.to_string()).await;
        job = found.map_err(|fault| resources::failed(&fault))?;
    }
    Ok((job, vec![]))
}

/// Whether the job waits for just these.
fn are_of(job: &Job, open: &[Question]) -> bool {
    let waited_for = job.state.open_questions();
    waited_for.len() == open.len() && open.iter().all(|question| waited_for.contains(&question.id))
}

/// Whoever speaks the protocol is a model's client, and approvals are for persons.
fn may_decide(question: &Question) -> bool {
    question.kind != QuestionKind::Approval
}

/// What is said of a job whose questions this caller cannot be asked.
pub(super) fn elsewhere(job: &Job) -> Option<&'static str> {
    waits_for_a_person(job).then_some(ELSEWHERE)
}

/// The question as a form.
pub(super) fn form(question: &Question) -> Ask {
    let schema = match (question.kind, &question.schema) {
        (QuestionKind::Form, Some(schema)) => schema.clone(),
        (_, Some(field)) => single(field),
        (_, None) => single(&json!({ "type": "string", "minLength": 1 })),
    };
    Ask::form(&question.prompt, &schema)
}

fn single(field: &Value) -> Value {
    json!({ "type": "object", "properties": { VALUE: field }, "required": [VALUE] })
}

/// The forms of all open questions by their names, which are never used again.
pub(super) fn requests(questions: &[Question]) -> Map<String, Value> {
    questions.iter().map(|question| (question.id.to_string(), form(question).to_json())).collect()
}

/// An answer as clients give it. Source: MCP 2026-07-28, elicitation.
#[derive(Deserialize)]
struct Elicited<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(default)]
    content: Option<Value>,
}

/// What was decided.
///
/// # Errors
/// What is wrong with the answer's shape.
pub(super) fn decision(question: &Question, answer: &RawValue) -> Result<Decision, String> {
    let expected = "must be {\"action\":\"accept\",\"content\":{…}}, or have the action `decline` or `cancel`";
    let elicited: Elicited<'_> = serde_json::from_str(answer.get()).map_err(|_| expected.to_owned())?;
    match (&*elicited.action, elicited.content) {
        ("accept", Some(content @ Value::Object(_))) if question.kind == QuestionKind::Form => {
            Ok(Decision::Accepted(content))
        }
        ("accept", Some(Value::Object(mut content))) => match content.remove(VALUE) {
            Some(value) => Ok(Decision::Accepted(value)),
            None => Err(format!("has no `{VALUE}` in its content")),
        },
        ("accept", _) => Err("has the action `accept` and no content".into()),
        ("decline", _) => Ok(Decision::Declined),
        ("cancel", _) => Ok(Decision::Dismissed),
        _ => Err(expected.into()),
    }
}

/// Asks the client of a legacy request one question, until it or anybody else has answered. An answer of the wrong shape
/// has it asked anew, and told what was wrong, [`ASKED_MAX`] times in all. Whether it is worth asking this client that
/// again: not if it answered with an error, or never in the right shape. The question stays open then.
///
/// # Errors
/// The store's own; internal if the job was removed.
pub(super) async fn ask(call: &Call, job: &Job, question: &Question) -> Result<bool, RpcError> {
    let mut form = form(question);
    form.params["_meta"] = json!({ RELATED: { "taskId": job.id } });
    for _ in 0..ASKED_MAX {
        let answer = tokio::select! {
            answer = call.ask(&form) => answer,
            closed = closed(call, job, question) => return closed.map(|()| true),
        };
        let Ok(answer) = answer else { break };
        match checked(question, &answer) {
            Ok(decision) => return give(call, job, question, decision).await.map(|()| true),
            Err(problem) => form.params["message"] = json!(format!("{}\n\nThe answer {problem}.", question.prompt)),
        }
    }
    tracing::debug!(job.id = %job.id, "a client cannot answer a question");
    Ok(false)
}

/// What was decided, if the question allows it.
///
/// # Errors
/// What is wrong with the answer.
fn checked(question: &Question, answer: &RawValue) -> Result<Decision, String> {
    let decision = decision(question, answer)?;
    question.check(&decision).map_err(|problem| problem.problem)?;
    Ok(decision)
}

/// Returns once the question is not open any more.
async fn closed(call: &Call, job: &Job, question: &Question) -> Result<(), RpcError> {
    let mut job = job.clone();
    while job.state.open_questions().contains(&question.id) {
        let changed = call.engine().wait_change(&job, LOOK_EVERY).await;
        job = changed.map_err(|fault| resources::failed(&fault))?;
    }
    Ok(())
}

/// Takes the answers that came with `tasks/update`. Those to what is not asked of this caller are ignored; of the others
/// either all have the right shape or none is taken.
///
/// # Errors
/// Invalid params that names the answers of wrong shape; their questions stay open.
pub(super) async fn take(call: &Call, job: &Job) -> Result<(), RpcError> {
    let answers = sent(call)?;
    if answers.is_empty() {
        return Ok(());
    }
    let found = call.engine().questions(&call.caller, &job.id.to_string()).await;
    let questions = found.map_err(|fault| resources::failed(&fault))?;
    let mut decided = vec![];
    for question in questions.iter().filter(|question| question.is_open() && may_decide(question)) {
        let Some(answer) = answers.get(question.id.to_string().as_str()) else { continue };
        let invalid = |problem: String| invalid(question, &problem);
        decided.push((question, checked(question, answer).map_err(invalid)?));
    }
    for (question, decision) in decided {
        give(call, job, question, decision).await?;
    }
    Ok(())
}

/// Gives one answer. That somebody else was faster is no fault of the caller.
///
/// # Errors
/// What the engine refuses of an open question.
pub(super) async fn give(call: &Call, job: &Job, question: &Question, decision: Decision) -> Result<(), RpcError> {
    let answering = Answering { decision, channel: "mcp", reason: None };
    let (job, question) = (job.id.to_string(), question.id.to_string());
    match call.engine().answer(&call.caller, &job, &question, answering).await {
        Ok(_) => Ok(()),
        Err(Fault { code: FaultCode::StateConflict | FaultCode::JobFinished | FaultCode::NotFound, .. }) => Ok(()),
        Err(fault) => Err(super::refused(&fault)),
    }
}

fn invalid(question: &Question, problem: &str) -> RpcError {
    let message =
        format!("the answer to `{}` {problem}; no answer was taken, correct it and send all again", question.id);
    RpcError::new(ErrorCode::InvalidParams, message)
}

type Answers<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn sent(call: &Call) -> Result<Answers<'_>, RpcError> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, rename = "inputResponses")]
        input_responses: Answers<'a>,
    }
    let message = "`inputResponses` must be an object of answers by the keys of `inputRequests`";
    let params: Params<'_> = serde_json::from_str(call.params.as_deref().map_or("{}", RawValue::get))
        .map_err(|_| RpcError::new(ErrorCode::InvalidParams, message))?;
    Ok(params.input_responses)
}

#[cfg(test)]
mod tests {
    use longshore_domain::{AttemptNumber, JobId, QuestionId, Timestamp};
    use serde_json::value::to_raw_value;

    use super::*;

    fn question(kind: QuestionKind, schema: Option<Value>) -> Question {
        let at = Timestamp::from_millis(1_795_000_000_000);
        Question {
            id: QuestionId::new(at, 1),
            job: JobId::new(at, 1),
            attempt: AttemptNumber(1),
            key: "k".into(),
            kind,
            prompt: "Which one?".into(),
            schema,
            asked_at: at,
            deadline_at: None,
            closed_at: None,
            answer: None,
        }
    }

    #[test]
    fn every_kind_of_question_is_a_flat_form_with_its_words() {
        let options = json!({ "type": "string", "enum": ["a", "b"] });
        let form_schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
        let table = [
            (QuestionKind::Choice, Some(options.clone()), json!({ "value": options })),
            (QuestionKind::Text, None, json!({ "value": { "type": "string", "minLength": 1 } })),
            (QuestionKind::Form, Some(form_schema.clone()), form_schema["properties"].clone()),
        ];
        for (kind, schema, fields) in table {
            let asked = question(kind, schema);
            let requests = requests(std::slice::from_ref(&asked));
            let request = &requests[&asked.id.to_string()];
            assert_eq!(request["method"], "elicitation/create");
            assert_eq!(request["params"]["message"], "Which one?");
            assert_eq!(request["params"]["requestedSchema"]["type"], "object");
            assert_eq!(request["params"]["requestedSchema"]["properties"], fields);
        }
    }

    #[test]
    fn answers_are_read_as_their_question_needs_them() {
        let text = question(QuestionKind::Text, None);
        let form = question(QuestionKind::Form, Some(json!({})));
        let accepted = |value: Value| Ok(Decision::Accepted(value));
        let table = [
            (&text, json!({ "action": "accept", "content": { "value": "x" } }), accepted(json!("x"))),
            (&form, json!({ "action": "accept", "content": { "n": 1 } }), accepted(json!({ "n": 1 }))),
            (&text, json!({ "action": "decline" }), Ok(Decision::Declined)),
            (&text, json!({ "action": "cancel", "content": {} }), Ok(Decision::Dismissed)),
            (&text, json!({ "action": "accept", "content": { "other": "x" } }), Err(())),
            (&text, json!({ "action": "accept", "content": "x" }), Err(())),
            (&form, json!({ "action": "accept" }), Err(())),
            (&form, json!({ "action": "agree", "content": {} }), Err(())),
            (&form, json!({ "content": {} }), Err(())),
            (&form, json!("accept"), Err(())),
        ];
        for (question, answer, expected) in table {
            let found = decision(question, &to_raw_value(&answer).unwrap()).map_err(drop);
            assert_eq!(found, expected, "{answer}");
        }
    }
}
