//! Which questions can be asked, and which answers fit.

use std::time::Duration;

use serde_json::{Value, json};

use super::machine::answer;
use crate::id::{AttemptNumber, JobId, QuestionId};
use crate::job::{Answer, Decision, NewQuestion, Question, QuestionKind, QuestionSpec};
use crate::time::Timestamp;

use QuestionKind::{Approval, Choice, Form, Text};

fn spec(kind: QuestionKind, schema: Option<Value>) -> QuestionSpec {
    QuestionSpec { key: "branch".into(), kind, prompt: "Which branch?".into(), schema, deadline: None }
}

fn question(kind: QuestionKind, schema: Option<Value>) -> Question {
    let at = Timestamp::from_millis(0);
    let new = NewQuestion { id: QuestionId::new(at, 1), spec: spec(kind, schema) };
    Question::new(new, JobId::new(at, 1), AttemptNumber(1), at)
}

fn form(fields: Value, required: Value) -> Option<Value> {
    Some(json!({ "type": "object", "properties": fields, "required": required }))
}

fn colours() -> Option<Value> {
    Some(json!({ "type": "string", "title": "Colour", "enum": ["red", "green"] }))
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let text = || spec(Text, None);
    let field = |field: Value| spec(Form, form(json!({ "f": field }), json!([])));
    let cases = [
        (QuestionSpec { key: String::new(), ..text() }, "key", false),
        (QuestionSpec { key: "a b".into(), ..text() }, "key", false),
        (QuestionSpec { key: "k".repeat(65), ..text() }, "key", false),
        (QuestionSpec { prompt: " \n".into(), ..text() }, "prompt", false),
        (QuestionSpec { prompt: "é".repeat(4001), ..text() }, "prompt", true),
        (QuestionSpec { deadline: Some(Duration::ZERO), ..text() }, "deadline_ms", false),
        (spec(Text, colours()), "schema", false),
        (spec(Approval, colours()), "schema", false),
        (spec(Choice, None), "schema", false),
        (spec(Choice, Some(json!({ "type": "string" }))), "schema", false),
        (spec(Choice, Some(json!({ "type": "string", "enum": [] }))), "schema", false),
        (spec(Choice, Some(json!({ "type": "string", "enum": ["a", "a"] }))), "schema", false),
        (spec(Choice, Some(json!({ "type": "string", "enum": ["x".repeat(20_000)] }))), "schema", true),
        (spec(Form, None), "schema", false),
        (spec(Form, form(json!({}), json!([]))), "schema", false),
        (spec(Form, form(json!({ "a": { "type": "boolean" } }), json!(["b"]))), "schema", false),
        (field(json!({ "type": "object" })), "schema", false),
        (field(json!({ "type": "string", "format": "email" })), "schema", false),
        (field(json!({ "type": "string", "minimum": 1 })), "schema", false),
        (field(json!({ "type": "string", "minLength": 3, "maxLength": 2 })), "schema", false),
        (field(json!({ "type": "number", "enum": ["1"] })), "schema", false),
        (field(json!({ "type": "integer", "default": 1.5 })), "schema", false),
        (field(json!({ "type": "integer", "minimum": 3, "maximum": 2 })), "schema", false),
    ];
    for (spec, argument, too_large) in cases {
        let problem = spec.check().expect_err(argument);
        assert_eq!((problem.argument, problem.too_large), (argument, too_large), "{problem}");
    }
    let full =
        json!({ "type": "number", "title": "T", "description": "D", "minimum": 0, "maximum": 2.5, "default": 1 });
    for good in [text(), spec(Approval, None), spec(Choice, colours()), field(full)] {
        assert_eq!(good.check(), Ok(()));
    }
}

#[test]
fn answers_are_held_against_their_question() {
    let fields = json!({
        "name": { "type": "string", "minLength": 2, "maxLength": 4 },
        "colour": { "type": "string", "enum": ["red", "green"] },
        "count": { "type": "integer", "minimum": 1, "maximum": 9 },
        "share": { "type": "number", "maximum": 0.5 },
        "sure": { "type": "boolean" },
    });
    let form = || question(Form, form(fields.clone(), json!(["name"])));
    let cases = [
        (question(Approval, None), json!(true), None),
        (question(Approval, None), json!("yes"), Some("must be true or false")),
        (question(Text, None), json!("main"), None),
        (question(Text, None), json!("  "), Some("must be a text that is not blank")),
        (question(Text, None), json!(7), Some("must be a text that is not blank")),
        (question(Choice, colours()), json!("red"), None),
        (question(Choice, colours()), json!("blue"), Some("must be one of `red`, `green`")),
        (question(Choice, colours()), json!(["red"]), Some("must be a string")),
        (form(), json!({ "name": "née" }), None),
        (form(), json!({ "name": "ab", "colour": "red", "count": 9, "share": -1.5, "sure": false }), None),
        (form(), json!({ "name": "ab", "count": 2.0 }), None),
        (form(), json!(["name"]), Some("must be an object of the form's fields")),
        (form(), json!({ "sure": true }), Some("field `name` is missing")),
        (form(), json!({ "name": "a" }), Some("field `name` has 1 characters; at least 2 are needed")),
        (form(), json!({ "name": "abcde" }), Some("field `name` has 5 characters; at most 4 fit")),
        (form(), json!({ "name": null }), Some("field `name` must be a string")),
        (form(), json!({ "name": "ab", "colour": "Red" }), Some("field `colour` must be one of `red`, `green`")),
        (form(), json!({ "name": "ab", "count": 0 }), Some("field `count` must be at least 1")),
        (form(), json!({ "name": "ab", "count": 10 }), Some("field `count` must be at most 9")),
        (form(), json!({ "name": "ab", "count": 1.5 }), Some("field `count` must be a whole number")),
        (form(), json!({ "name": "ab", "share": "0" }), Some("field `share` must be a number")),
        (form(), json!({ "name": "ab", "sure": 1 }), Some("field `sure` must be true or false")),
    ];
    for (question, value, wrong) in cases {
        let found = question.check(&Decision::Accepted(value.clone())).err().map(|problem| problem.problem);
        assert_eq!(found.as_deref(), wrong, "{value}");
        assert_eq!(question.check(&Decision::Declined), Ok(()));
        assert_eq!(question.check(&Decision::Dismissed), Ok(()));
    }
    let unknown = form().check(&Decision::Accepted(json!({ "name": "ab", "size": 1 }))).expect_err("no such field");
    assert!(unknown.problem.starts_with("the form has no field `size`, only `colour`, "), "{unknown}");
    let long = question(Text, None).check(&Decision::Accepted(json!("x".repeat(70_000)))).expect_err("too long");
    assert!(long.too_large);
}

#[test]
fn answers_are_written_with_their_decision_beside_the_rest() {
    let decider = json!({ "class": "person", "name": "owner" });
    let cases = [
        (Decision::Accepted(json!({ "n": 1 })), json!({ "decision": "accepted", "value": { "n": 1 } })),
        (Decision::Declined, json!({ "decision": "declined" })),
        (Decision::Dismissed, json!({ "decision": "dismissed" })),
    ];
    for (decision, mut written) in cases {
        written["decider"] = decider.clone();
        written["channel"] = "cli".into();
        let answer = Answer { decision, ..answer(Value::Null) };
        assert_eq!(serde_json::to_value(&answer).expect("JSON"), written);
        assert_eq!(serde_json::from_value::<Answer>(written).expect("an answer"), answer);
    }
}
