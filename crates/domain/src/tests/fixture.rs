//! Scripts: how they are written, which are refused, and what they give.

use std::time::Duration;

use serde_json::{Value, json};

use super::machine::{answer, report};
use crate::id::{AttemptNumber, JobId, QuestionId};
use crate::job::{
    Answer, AttemptReport, Decision, FailReason, FixtureEnd, FixtureSpec, FixtureStep, JobSpec, NewQuestion,
    OutcomeStatus, Question, QuestionKind, QuestionSpec,
};
use crate::time::Timestamp;

fn text(key: &str) -> QuestionSpec {
    QuestionSpec { key: key.into(), kind: QuestionKind::Text, prompt: "?".into(), schema: None, deadline: None }
}

fn script(steps: Vec<FixtureStep>, end: &str) -> FixtureSpec {
    FixtureSpec { steps, end: FixtureEnd::Text(end.into()), deadline: None }
}

fn answered(key: &str, attempt: u32, decision: Option<Decision>) -> Question {
    let at = Timestamp::from_millis(0);
    let new = NewQuestion { id: QuestionId::new(at, 1), spec: text(key) };
    let answer = decision.map(|decision| Answer { decision, ..answer(Value::Null) });
    Question { closed_at: Some(at), answer, ..Question::new(new, JobId::new(at, 1), AttemptNumber(attempt), at) }
}

#[test]
fn a_script_is_written_in_few_words() {
    let written = json!({
        "kind": "fixture",
        "steps": [{ "sleep_ms": 1500 }, { "ask": [
            { "key": "branch", "kind": "text", "prompt": "Which branch?" },
            { "key": "sure", "kind": "approval", "prompt": "Sure?", "deadline_ms": 60_000 },
        ] }],
        "end": { "text": "on {branch}" },
        "deadline_ms": 90_000,
    });
    let spec: JobSpec = serde_json::from_value(written.clone()).expect("a script");
    assert_eq!(serde_json::to_value(&spec).expect("JSON"), written);
    assert_eq!(spec.title(), "fixture sleep 1.5s, ask branch+sure, text");
    let JobSpec::Fixture(script) = &spec else { panic!("{spec:?}") };
    assert_eq!(script.check(), Ok(()));
    let other = JobSpec::Fixture(FixtureSpec { deadline: None, ..script.clone() });
    assert_ne!(spec.likeness(), other.likeness());
    for end in [json!({ "tool_error": "no" }), json!({ "protocol_error": { "code": -32603, "message": "no" } })] {
        let end: FixtureEnd = serde_json::from_value(end).expect("an end");
        assert_eq!(script.check(), FixtureSpec { end, ..script.clone() }.check());
    }
}

#[test]
fn scripts_that_cannot_be_played_are_refused() {
    let ask = |keys: &[&str]| FixtureStep::Ask(keys.iter().map(|key| text(key)).collect());
    let many: Vec<_> = (0..17).map(|number| format!("k{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long = FixtureEnd::ProtocolError { code: 1, message: "x".repeat(1001) };
    let cases = [
        (script(vec![FixtureStep::Sleep(Duration::ZERO); 101], ""), "steps", true),
        (script(vec![], &"x".repeat(1 << 20)), "fixture", true),
        (script(vec![ask(&[])], ""), "ask", false),
        (script(vec![ask(&many)], ""), "ask", false),
        (script(vec![ask(&["a"]), ask(&["b", "a"])], ""), "key", false),
        (script(vec![ask(&["not good"])], ""), "key", false),
        (FixtureSpec { end: long, ..script(vec![], "") }, "message", true),
        (FixtureSpec { deadline: Some(Duration::ZERO), ..script(vec![], "") }, "deadline_ms", false),
    ];
    for (spec, argument, too_large) in cases {
        let problem = spec.check().expect_err(argument);
        assert_eq!((problem.argument, problem.too_large), (argument, too_large), "{problem}");
    }
}

#[test]
fn a_result_holds_the_answers() {
    let accepted = |value: Value| Some(Decision::Accepted(value));
    let questions = [
        answered("a", 1, accepted(json!("of an earlier attempt"))),
        answered("gone", 1, accepted(json!("of an earlier attempt"))),
        answered("a", 2, accepted(json!("{b}"))),
        answered("b", 2, accepted(json!({ "n": 1 }))),
        answered("c", 2, Some(Decision::Declined)),
        answered("d", 2, Some(Decision::Dismissed)),
        answered("e", 2, None),
    ];
    let cases = [
        ("plain", "plain"),
        ("{a}{b}", "{b}{\"n\":1}"),
        ("{c} {d} {e} {gone}", "declined dismissed {e} {gone}"),
        ("{ {a} {{c}} {", "{ {b} {declined} {"),
        ("}{é{c", "}{é{c"),
    ];
    for (end, expected) in cases {
        assert_eq!(script(vec![], end).result(&questions), FixtureEnd::Text(expected.into()));
        let end = FixtureEnd::ToolError(end.into());
        let spec = FixtureSpec { end, ..script(vec![], "") };
        assert_eq!(spec.result(&questions), FixtureEnd::ToolError(expected.into()));
    }
    let end = FixtureEnd::ProtocolError { code: 7, message: "on {c}".into() };
    let spec = FixtureSpec { end, ..script(vec![], "") };
    assert_eq!(spec.result(&questions), FixtureEnd::ProtocolError { code: 7, message: "on declined".into() });
    assert_eq!(script(vec![], "{a}").result(&[]), FixtureEnd::Text("{a}".into()));
}

#[test]
fn ends_are_told_apart_in_the_outcome() {
    let error = FixtureEnd::ProtocolError { code: -32603, message: "no".into() };
    let cases = [
        (FixtureEnd::Text("x".into()), OutcomeStatus::Succeeded, None, None),
        (FixtureEnd::ToolError("x".into()), OutcomeStatus::Succeeded, None, Some("the tool reported an error")),
        (error, OutcomeStatus::Failed, Some(FailReason::Upstream), Some("ended with error -32603: no")),
    ];
    for (end, status, reason, message) in cases {
        let report = AttemptReport { exit_code: None, end: Some(end.reported()), ..report(0) };
        assert_eq!(report.verdict(), (status, reason, message.map(str::to_owned)));
        let late = AttemptReport { deadline_passed: true, ..report };
        assert_eq!(late.verdict().1, Some(FailReason::Deadline));
    }
}
