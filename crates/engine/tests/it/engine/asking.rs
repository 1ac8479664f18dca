//! Jobs that ask: who may answer, what stands, and what becomes of questions.

use std::time::Duration;

use longshore_domain::job::{
    Decision, FailReason, FixtureEnd, FixtureSpec, FixtureStep, JobSpec, Outcome, OutcomeStatus, Question,
    QuestionKind, QuestionSpec, RetryPolicy, StateName,
};
use longshore_domain::{EventSeq, Fault, FaultCode, Job, Principal};
use longshore_engine::ops::{Answered, Answering, Caller, OpenQuestions, SubmitFixture};
use serde_json::{Value, json};

use super::kit::{Kit, LIMIT, code, owner, shell};

fn agent(name: &str) -> Caller {
    Caller { principal: Principal::agent(name), conversation: None }
}

pub(super) fn question(key: &str) -> QuestionSpec {
    QuestionSpec {
        key: key.into(),
        kind: QuestionKind::Text,
        prompt: format!("Which {key}?"),
        schema: None,
        deadline: None,
    }
}

pub(super) fn ask(keys: &[&str]) -> FixtureStep {
    FixtureStep::Ask(keys.iter().map(|key| question(key)).collect())
}

pub(super) fn script(steps: Vec<FixtureStep>, end: &str) -> FixtureSpec {
    FixtureSpec { steps, end: FixtureEnd::Text(end.into()), deadline: None }
}

pub(super) fn accepted(value: impl Into<Value>) -> Answering {
    decided(Decision::Accepted(value.into()))
}

fn decided(decision: Decision) -> Answering {
    Answering { decision, channel: "cli", reason: Some("because".into()) }
}

fn everything() -> OpenQuestions {
    OpenQuestions { cursor: None, limit: 100 }
}

impl Kit {
    pub(super) async fn play(&self, spec: FixtureSpec) -> Job {
        self.engine.submit_fixture(&owner(), SubmitFixture::new(spec)).await.unwrap().job
    }

    /// The open questions of a job, once it has as many.
    pub(super) async fn asked(&self, job: &Job, count: usize) -> Vec<Question> {
        let name = job.id.to_string();
        let mut after = EventSeq(0);
        loop {
            let questions = self.engine.questions(&owner(), &name).await.unwrap();
            let open: Vec<_> = questions.into_iter().filter(Question::is_open).collect();
            if open.len() == count {
                return open;
            }
            let (events, next) = self.engine.events(&owner(), Some(&name), after, LIMIT).await.unwrap();
            assert!(!events.is_empty(), "nothing more happens, and {open:?} are open");
            after = next;
        }
    }

    pub(super) async fn answer(&self, question: &Question, answering: Answering) -> Result<Answered, Fault> {
        let (job, question) = (question.job.to_string(), question.id.to_string());
        self.engine.answer(&owner(), &job, &question, answering).await
    }

    async fn result(&self, job: &Job) -> FixtureEnd {
        let name = job.id.to_string();
        let JobSpec::Fixture(spec) = self.engine.spec(&owner(), &name).await.unwrap() else { panic!("no fixture") };
        spec.result(&self.engine.questions(&owner(), &name).await.unwrap())
    }

    async fn open(&self, caller: &Caller) -> Vec<Question> {
        self.engine.open_questions(caller, everything()).await.unwrap().questions
    }
}

fn outcome(job: &Job) -> &Outcome {
    job.outcome().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fixtures_are_refused_unless_settings_allow_them() {
    let mut kit = Kit::with(|settings| settings.fixtures = false).await;
    let request = || SubmitFixture::new(script(vec![], "done"));
    let fault = kit.engine.submit_fixture(&owner(), request()).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::InvalidArgument, "{fault}");
    kit.restart(|settings| settings.fixtures = true).await;
    let failed = FixtureSpec { end: FixtureEnd::ProtocolError { code: 1, message: "no".into() }, ..script(vec![], "") };
    let job = kit.ended(&kit.play(failed).await).await;
    kit.restart(|settings| settings.fixtures = false).await;
    let fault = kit.engine.retry(&owner(), &job.id.to_string()).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::InvalidArgument, "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_comes_to_the_end_that_it_names() {
    let kit = Kit::new().await;
    let error = FixtureEnd::ProtocolError { code: -32603, message: "no".into() };
    let cases = [
        (FixtureEnd::Text("done".into()), OutcomeStatus::Succeeded, None),
        (FixtureEnd::ToolError("bad".into()), OutcomeStatus::Succeeded, None),
        (error, OutcomeStatus::Failed, Some(FailReason::Upstream)),
    ];
    for (end, status, reason) in cases {
        let steps = vec![FixtureStep::Sleep(Duration::from_millis(1))];
        let job = kit.ended(&kit.play(FixtureSpec { steps, end: end.clone(), deadline: None }).await).await;
        assert_eq!((outcome(&job).status, outcome(&job).reason), (status, reason));
        let reported = outcome(&job).report.as_ref().and_then(|report| report.end.clone());
        assert_eq!((reported, kit.result(&job).await), (Some(end.reported()), end));
        assert!(job.title.starts_with("fixture sleep 0.0s, "), "{}", job.title);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_one_script() {
    let kit = Kit::new().await;
    let keyed = |end| SubmitFixture { key: Some("once".into()), ..SubmitFixture::new(script(vec![], end)) };
    let first = kit.engine.submit_fixture(&owner(), keyed("a")).await.unwrap();
    let again = kit.engine.submit_fixture(&owner(), keyed("a")).await.unwrap();
    assert_eq!((again.job.id, again.existing), (first.job.id, true));
    let other = kit.engine.submit_fixture(&owner(), keyed("b")).await.unwrap_err();
    assert_eq!(code(&other), FaultCode::IdempotencyConflict);
    assert!(other.why.unwrap().ends_with("another script"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_asks_and_goes_on_with_the_answers() {
    let kit = Kit::new().await;
    let job = kit.play(script(vec![ask(&["name", "size"]), ask(&["colour"])], "{name} {size} {colour}")).await;
    let open = kit.asked(&job, 2).await;
    assert_eq!(open.iter().map(|question| question.key.as_str()).collect::<Vec<_>>(), ["name", "size"]);
    assert_eq!(kit.open(&owner()).await, open);
    let part = kit.answer(&open[1], decided(Decision::Declined)).await.unwrap();
    assert_eq!((part.job.state.name(), part.job.state.open_questions()), (StateName::Asking, &[open[0].id][..]));
    let given = part.question.answer.unwrap();
    assert_eq!(
        (given.decider, given.channel.as_str(), given.reason.as_deref()),
        (owner().principal, "cli", Some("because"))
    );
    assert_eq!(kit.open(&owner()).await, open[..1]);
    kit.answer(&open[0], accepted("ann")).await.unwrap();
    let next = kit.asked(&job, 1).await;
    assert_eq!(next[0].key, "colour");
    kit.answer(&next[0], accepted("red")).await.unwrap();
    let job = kit.ended(&job).await;
    assert!(outcome(&job).is_success());
    assert_eq!(kit.result(&job).await, FixtureEnd::Text("ann declined red".into()));
    assert_eq!(kit.open(&owner()).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_answers_at_once_both_count() {
    let kit = Kit::new().await;
    for round in 0..10 {
        let job = kit.play(script(vec![ask(&["a", "b"])], "{a}{b}")).await;
        let open = kit.asked(&job, 2).await;
        let (one, two) =
            tokio::join!(kit.answer(&open[0], accepted("1")), kit.answer(&open[1], accepted(round.to_string())));
        one.unwrap();
        two.unwrap();
        kit.ended(&job).await;
        assert_eq!(kit.result(&job).await, FixtureEnd::Text(format!("1{round}")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_stands_and_may_be_repeated() {
    let kit = Kit::new().await;
    let job = kit.play(script(vec![ask(&["a", "b"])], "{a}")).await;
    let open = kit.asked(&job, 2).await;
    let first = kit.answer(&open[0], accepted("one")).await.unwrap();
    let again = kit.answer(&open[0], accepted("one")).await.unwrap();
    assert_eq!(again.question, first.question);
    let other = kit.answer(&open[0], accepted("two")).await.unwrap_err();
    assert_eq!(code(&other), FaultCode::StateConflict);
    assert!(other.why.as_ref().unwrap().contains("the first answer stands"), "{other:?}");
    kit.answer(&open[1], accepted("two")).await.unwrap();
    kit.ended(&job).await;
    let after_the_end = kit.answer(&open[0], accepted("one")).await.unwrap();
    assert_eq!((after_the_end.question, after_the_end.job.is_finished()), (first.question, true));
    let late = kit.answer(&open[0], accepted("two")).await.unwrap_err();
    assert_eq!(code(&late), FaultCode::JobFinished);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_a_job_knows_no_question_of_it() {
    let kit = Kit::new().await;
    let mine = agent("mine");
    let spec = script(vec![ask(&["a"])], "{a}");
    let job = kit.engine.submit_fixture(&mine, SubmitFixture::new(spec)).await.unwrap().job;
    let open = kit.asked(&job, 1).await;
    let other = kit.play(script(vec![ask(&["b"])], "")).await;
    let (name, question) = (job.id.to_string(), open[0].id.to_string());
    for fault in [
        kit.engine.questions(&agent("other"), &name).await.map(drop),
        kit.engine.answer(&agent("other"), &name, &question, accepted("x")).await.map(drop),
    ] {
        assert_eq!(code(&fault.unwrap_err()), FaultCode::JobNotFound);
    }
    let foreign = kit.asked(&other, 1).await;
    for unknown in [foreign[0].id.to_string(), question.replace(&question[20..], "0000"), "q_".into()] {
        let fault = kit.engine.answer(&mine, &name, &unknown, accepted("x")).await.unwrap_err();
        assert_eq!(code(&fault), FaultCode::NotFound);
    }
    assert_eq!(kit.open(&agent("other")).await, []);
    assert_eq!(kit.open(&mine).await, open);
    assert_eq!(kit.open(&owner()).await.len(), 2);
    let page = kit.engine.open_questions(&owner(), OpenQuestions { cursor: None, limit: 1 }).await.unwrap();
    assert_eq!((page.questions, page.next), (open.clone(), Some(open[0].id)));
    let page = kit.engine.open_questions(&owner(), OpenQuestions { cursor: page.next, limit: 1 }).await.unwrap();
    assert_eq!((page.questions, page.next), (foreign, None));
    let fault = kit.engine.open_questions(&owner(), OpenQuestions { cursor: None, limit: 0 }).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::InvalidArgument);
    kit.engine.answer(&mine, &name, &question, accepted("x")).await.unwrap();
    assert!(outcome(&kit.ended(&job).await).is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_persons_decide_approvals() {
    let kit = Kit::new().await;
    let approval = QuestionSpec { kind: QuestionKind::Approval, ..question("sure") };
    let spec = script(vec![FixtureStep::Ask(vec![approval])], "{sure}");
    // The owner's own agent sees the job, and may still not decide.
    let job = kit.play(spec).await;
    let open = kit.asked(&job, 1).await;
    let own = agent(Principal::OWNER);
    for decision in [Decision::Accepted(json!(true)), Decision::Declined, Decision::Dismissed] {
        let (name, question) = (job.id.to_string(), open[0].id.to_string());
        let fault = kit.engine.answer(&own, &name, &question, decided(decision)).await.unwrap_err();
        assert_eq!(code(&fault), FaultCode::Forbidden);
    }
    kit.answer(&open[0], accepted(true)).await.unwrap();
    kit.ended(&job).await;
    assert_eq!(kit.result(&job).await, FixtureEnd::Text("true".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_fit_changes_nothing() {
    let kit = Kit::new().await;
    let schema = json!({ "type": "string", "enum": ["red", "green"] });
    let choice = QuestionSpec { kind: QuestionKind::Choice, schema: Some(schema), ..question("colour") };
    let job = kit.play(script(vec![FixtureStep::Ask(vec![choice])], "{colour}")).await;
    let open = kit.asked(&job, 1).await;
    let fault = kit.answer(&open[0], accepted("blue")).await.unwrap_err();
    assert_eq!(
        (code(&fault), fault.message.as_str()),
        (FaultCode::InvalidArgument, "`answer`: must be one of `red`, `green`")
    );
    let long = kit.answer(&open[0], accepted("x".repeat(100_000))).await.unwrap_err();
    assert_eq!(code(&long), FaultCode::TooLarge);
    assert_eq!(kit.asked(&job, 1).await, open);
    kit.answer(&open[0], accepted("green")).await.unwrap();
    kit.ended(&job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_job_closes_its_questions() {
    let kit = Kit::new().await;
    // Often: the script must not take a question that the cancelling closed for one that ran out.
    for _ in 0..50 {
        let job = kit.play(script(vec![ask(&["a"])], "{a}")).await;
        let open = kit.asked(&job, 1).await;
        kit.engine.cancel(&owner(), &job.id.to_string(), Some("enough".into())).await.unwrap();
        assert_eq!(kit.open(&owner()).await, []);
        let ended = kit.ended(&job).await;
        assert_eq!(
            (outcome(&ended).status, outcome(&ended).message.as_deref()),
            (OutcomeStatus::Cancelled, Some("enough"))
        );
        let late = kit.answer(&open[0], accepted("x")).await.unwrap_err();
        assert_eq!(code(&late), FaultCode::JobFinished);
        assert!(late.why.unwrap().contains("the attempt that asked was over"));
    }
    let sleeps = kit.play(script(vec![FixtureStep::Sleep(Duration::from_secs(1_000_000_000))], "")).await;
    kit.engine.cancel(&owner(), &sleeps.id.to_string(), None).await.unwrap();
    assert_eq!(outcome(&kit.ended(&sleeps).await).status, OutcomeStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_runs_out_at_its_deadline() {
    let kit = Kit::new().await;
    let hasty = QuestionSpec { deadline: Some(Duration::from_millis(20)), ..question("a") };
    let job = kit.play(script(vec![FixtureStep::Ask(vec![hasty, question("b")])], "{a}")).await;
    let ended = kit.ended(&job).await;
    let found = outcome(&ended);
    assert_eq!((found.status, found.reason), (OutcomeStatus::Failed, Some(FailReason::Unanswered)));
    assert_eq!(found.message.as_deref(), Some("nobody answered `a` in time"));
    let questions = kit.engine.questions(&owner(), &job.id.to_string()).await.unwrap();
    assert!(questions.iter().all(|question| !question.is_open() && question.answer.is_none()));
    let late = kit.answer(&questions[0], accepted("x")).await.unwrap_err();
    assert!(late.why.unwrap().contains("before its deadline"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_a_deadline_of_its_own() {
    let kit = Kit::new().await;
    let deadline = Some(Duration::from_millis(20));
    let job = kit.play(FixtureSpec { deadline, ..script(vec![ask(&["a"])], "{a}") }).await;
    let ended = kit.ended(&job).await;
    assert_eq!(outcome(&ended).reason, Some(FailReason::Deadline));
    assert_eq!(kit.open(&owner()).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_attempt_asks_under_new_names() {
    let kit = Kit::new().await;
    let end = FixtureEnd::ProtocolError { code: 1, message: "no".into() };
    let spec = FixtureSpec { end, ..script(vec![ask(&["a"])], "") };
    let retry = RetryPolicy { retries_max: 1, backoff: Duration::from_millis(1), ..RetryPolicy::default() };
    let request = SubmitFixture { retry, ..SubmitFixture::new(spec) };
    let job = kit.engine.submit_fixture(&owner(), request).await.unwrap().job;
    let first = kit.asked(&job, 1).await.remove(0);
    kit.answer(&first, accepted("1")).await.unwrap();
    let second = loop {
        let open = kit.asked(&job, 1).await.remove(0);
        if open.id != first.id {
            break open;
        }
    };
    assert_eq!((first.attempt.0, second.attempt.0, &first.key), (1, 2, &second.key));
    kit.answer(&second, accepted("2")).await.unwrap();
    assert_eq!(kit.ended(&job).await.attempt.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_wait_through_a_restart() {
    let mut kit = Kit::new().await;
    let job = kit.play(script(vec![ask(&["a", "b"]), FixtureStep::Sleep(Duration::from_millis(5))], "{a}{b}")).await;
    let open = kit.asked(&job, 2).await;
    kit.answer(&open[0], accepted("before ")).await.unwrap();
    // A restarted machine makes no difference either: nothing of a script lives outside of the store.
    for boot in ["this boot", "another boot"] {
        kit.restart(|settings| settings.node.boot = boot.into()).await;
        assert_eq!(kit.open(&owner()).await, open[1..]);
        let found = kit.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
        assert_eq!((found.state.name(), found.attempt.0), (StateName::Asking, 1));
    }
    kit.answer(&open[1], accepted("after")).await.unwrap();
    let ended = kit.ended(&job).await;
    assert_eq!((ended.attempt.0, outcome(&ended).status), (1, OutcomeStatus::Succeeded));
    assert_eq!(kit.result(&job).await, FixtureEnd::Text("before after".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_the_daemon_is_down_is_found_after_it() {
    let mut kit = Kit::new().await;
    let hasty = QuestionSpec { deadline: Some(Duration::from_millis(300)), ..question("a") };
    let runs_out = kit.play(script(vec![FixtureStep::Ask(vec![hasty])], "{a}")).await;
    let cancelled = kit.play(script(vec![ask(&["b"])], "{b}")).await;
    let sleeps = kit.play(script(vec![FixtureStep::Sleep(Duration::from_millis(100))], "slept")).await;
    kit.asked(&cancelled, 1).await;
    kit.engine.cancel(&owner(), &cancelled.id.to_string(), None).await.unwrap();
    kit.restart(|_| {}).await;
    assert_eq!(outcome(&kit.ended(&runs_out).await).reason, Some(FailReason::Unanswered));
    assert_eq!(outcome(&kit.ended(&cancelled).await).status, OutcomeStatus::Cancelled);
    let slept = kit.ended(&sleeps).await;
    assert_eq!((slept.attempt.0, outcome(&slept).status), (1, OutcomeStatus::Succeeded));
    // Slots and queues are as they were.
    assert!(outcome(&kit.ended(&kit.submit(shell("true")).await).await).is_success());
}
