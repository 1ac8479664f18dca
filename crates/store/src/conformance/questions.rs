//! What jobs ask: written with the state that waits for it, answered once, closed with the attempt.

use std::sync::Arc;
use std::time::Duration;

use longshore_domain::access::Principal;
use longshore_domain::id::QuestionId;
use longshore_domain::job::{
    Answer, AttemptReport, Decision, Effect, Event, EventKind, JobState, NewQuestion, Question, QuestionKind,
    QuestionSpec, Refusal, RetryPolicy, StateName,
};
use longshore_domain::store::{NewJob, QuestionFilter, StoreError};
use serde_json::json;

use super::scene::{BEGIN, MANY, Place, Scene, answer, answered, cancel, ended, lost, report, started};

async fn open(scene: &Scene, filter: QuestionFilter, limit: usize) -> Vec<QuestionId> {
    let open = scene.store.open_questions(filter, limit).await.expect("read");
    assert!(open.iter().all(Question::is_open));
    open.iter().map(|question| question.id).collect()
}

async fn all_open(scene: &Scene) -> Vec<QuestionId> {
    open(scene, QuestionFilter::default(), MANY).await
}

pub async fn a_question_is_kept_word_for_word_with_the_state_that_waits_for_it(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    let schema =
        json!({ "type": "object", "properties": { "z": { "type": "number", "maximum": 0.1 } }, "a": "\u{7f}" });
    let plain = scene.question("branch", Some(Duration::from_secs(60)));
    let spec = QuestionSpec { kind: QuestionKind::Form, schema: Some(schema.clone()), ..plain.spec };
    let new = NewQuestion { id: plain.id, spec: spec.clone() };
    let at = scene.now();
    let asked = Event::Asked { token: job.attempt, questions: vec![new.clone()] };
    let change = scene.store.record(job.id, asked, None, at).await.0.expect("accepted");
    let expected = Question::new(new, job.id, job.attempt, at);
    let due = at.plus(Duration::from_secs(60));
    assert_eq!(change.effects, [Effect::Ask(Box::new(expected.clone())), Effect::Timer(due)]);
    assert!(matches!(&change.job.state, JobState::Asking { open, .. } if *open == [expected.id]));
    assert_eq!(scene.read(job.id).await, change.job);
    let texts = |questions: Vec<Question>| questions.iter().map(|q| serde_json::to_string(q).expect("JSON")).collect();
    let (first, second): (Vec<_>, Vec<_>) = (texts(scene.questions(&job).await), texts(scene.questions(&job).await));
    assert_eq!(first, second);
    assert_eq!(scene.questions(&job).await, std::slice::from_ref(&expected));
    assert_eq!(expected.schema, Some(schema));
    assert_eq!(scene.store.open_questions(QuestionFilter::default(), 9).await.expect("read"), [expected]);
    let last = scene.history(job.id).await.pop().expect("a line");
    assert_eq!((last.kind, last.detail), (EventKind::Asked, Some(plain.id.to_string())));
}

pub async fn several_questions_are_answered_one_by_one(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, questions) = scene.asking(scene.job(), &["a", "b", "c"]).await;
    assert_eq!(questions.iter().map(|question| question.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let declined = Answer { decision: Decision::Declined, decider: Principal::agent("x"), ..answer("") };
    let given = [(1, answer("two")), (0, declined), (2, answer("three"))];
    for (done, (at, answer)) in given.iter().enumerate() {
        let event = Event::Answered { question: questions[*at].id, answer: answer.clone() };
        let now = scene.now();
        let change = scene.store.record(job.id, event, None, now).await.0.expect("accepted");
        let close = Effect::Close { question: questions[*at].id, answer: Some(Box::new(answer.clone())) };
        assert_eq!(change.effects, [close]);
        let expected = if done < 2 { StateName::Asking } else { StateName::Running };
        assert_eq!((change.job.state.name(), scene.read(job.id).await), (expected, change.job.clone()));
        assert_eq!(all_open(&scene).await, change.job.state.open_questions());
        let found = scene.questions(&job).await.remove(*at);
        assert_eq!(found, Question { answer: Some(answer.clone()), closed_at: Some(now), ..questions[*at].clone() });
    }
    assert!(scene.happen(job.id, ended(&job, 0)).await.is_finished());
}

pub async fn the_first_of_many_answers_stands(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, questions) = scene.asking(scene.job(), &["branch", "other"]).await;
    let calls: Vec<_> = (0..8)
        .map(|number| {
            let (store, id, now) = (Arc::clone(&scene.store), job.id, scene.now());
            let event = answered(questions[0].id, &number.to_string());
            tokio::spawn(async move { (number, store.record(id, event, None, now).await.0) })
        })
        .collect();
    let mut winners = vec![];
    for call in calls {
        match call.await.expect("answered") {
            (number, Ok(_)) => winners.push(number),
            (_, Err(refused)) => assert!(matches!(refused, StoreError::Refused(Refusal::OtherQuestion))),
        }
    }
    assert_eq!(winners.len(), 1);
    let found = scene.questions(&job).await.remove(0);
    assert_eq!(found.answer, Some(answer(&winners[0].to_string())));
    assert_eq!(scene.history(job.id).await.iter().filter(|line| line.kind == EventKind::Answered).count(), 1);
}

pub async fn concurrent_answers_to_several_questions_all_count(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let keys: Vec<_> = (0..8).map(|number| format!("k{number}")).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let (job, questions) = scene.asking(scene.job(), &keys).await;
    let calls: Vec<_> = questions
        .iter()
        .map(|question| {
            let (store, id, now) = (Arc::clone(&scene.store), job.id, scene.now());
            let event = answered(question.id, &question.key);
            tokio::spawn(async move { store.record(id, event, None, now).await.0 })
        })
        .collect();
    for call in calls {
        call.await.expect("answered").expect("accepted");
    }
    assert_eq!(scene.read(job.id).await.state.name(), StateName::Running);
    for question in scene.questions(&job).await {
        assert_eq!(question.answer, Some(answer(&question.key)));
    }
}

pub async fn what_the_job_does_not_wait_for_takes_no_answer(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, questions) = scene.asking(scene.job(), &["a", "b"]).await;
    let (other, foreign) = scene.asking(scene.job(), &["a"]).await;
    let (done, closed) = scene.asking(scene.job(), &["a"]).await;
    let done = scene.happen(done.id, ended(&done, 0)).await;
    let job = scene.happen(job.id, answered(questions[0].id, "first")).await;
    let unknown = QuestionId::new(BEGIN, u128::MAX);
    let records = async || {
        let mut records = vec![];
        for job in [&job, &other, &done] {
            records.push((scene.read(job.id).await, scene.questions(job).await, scene.history(job.id).await));
        }
        records
    };
    let before = records().await;
    for (to, question) in [(&job, questions[0].id), (&job, foreign[0].id), (&job, unknown), (&done, closed[0].id)] {
        for event in [answered(question, "late"), Event::Unanswered { question }] {
            let expected = if to.is_finished() { Refusal::Finished } else { Refusal::OtherQuestion };
            let refused = scene.record(to.id, event).await;
            assert!(matches!(refused, Err(StoreError::Refused(refusal)) if refusal == expected));
        }
    }
    assert_eq!(records().await, before);
}

pub async fn a_name_or_key_that_was_used_is_refused(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, questions) = scene.asking(scene.job(), &["a", "b"]).await;
    let (other, _) = scene.asking(scene.job(), &["c"]).await;
    let job = scene.happen(job.id, answered(questions[0].id, "yes")).await;
    let fresh = |key| scene.question(key, None);
    let renamed = |key, id| NewQuestion { id, ..scene.question(key, None) };
    let before = (scene.read(job.id).await, scene.questions(&job).await, scene.history(job.id).await);
    for (to, question) in [
        (&job, renamed("x", questions[1].id)),
        (&job, renamed("x", questions[0].id)),
        (&job, fresh("a")),
        (&job, fresh("b")),
        (&other, renamed("x", questions[0].id)),
    ] {
        let asked = Event::Asked { token: to.attempt, questions: vec![fresh("y"), question] };
        let refused = scene.record(to.id, asked).await;
        assert!(matches!(refused, Err(StoreError::Refused(Refusal::Already))));
    }
    let after = (scene.read(job.id).await, scene.questions(&job).await, scene.history(job.id).await);
    assert_eq!((after, scene.questions(&other).await.len()), (before, 1));
    let more = Event::Asked { token: job.attempt, questions: vec![fresh("d")] };
    assert_eq!(scene.happen(job.id, more).await.state.open_questions().len(), 2);
}

pub async fn questions_are_closed_when_their_attempt_is_over(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let retry = || NewJob { retry: RetryPolicy::times(1), ..scene.job() };
    for new in [scene.job(), retry()] {
        for pick in 0..4 {
            let (job, questions) = scene.asking(new_like(&scene, &new), &["a", "b"]).await;
            let job = scene.happen(job.id, answered(questions[0].id, "kept")).await;
            let event = match pick {
                0 => cancel(),
                1 => ended(&job, 3),
                2 => lost(job.attempt),
                _ => Event::DeadlinePassed { token: job.attempt },
            };
            let now = scene.now();
            let change = scene.store.record(job.id, event, None, now).await.0.expect("accepted");
            assert!(change.effects.contains(&Effect::Close { question: questions[1].id, answer: None }));
            assert_eq!(all_open(&scene).await, []);
            let found = scene.questions(&job).await;
            assert_eq!(found[0].answer, Some(answer("kept")));
            assert_eq!(found[1], Question { closed_at: Some(now), ..questions[1].clone() });
            let late = scene.record(job.id, answered(questions[1].id, "late")).await;
            assert!(matches!(late, Err(StoreError::Refused(Refusal::Finished | Refusal::OtherQuestion))));
            if change.job.state.lease().is_some() {
                let stopped = AttemptReport { stopped: true, ..report(1) };
                scene.happen(job.id, Event::Ended { token: job.attempt, report: stopped }).await;
            }
            assert_eq!(scene.questions(&job).await, found);
        }
    }
}

fn new_like(scene: &Scene, job: &NewJob) -> NewJob {
    NewJob { retry: job.retry.clone(), ..scene.job() }
}

pub async fn a_later_attempt_asks_anew(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, first) = scene.asking(NewJob { retry: RetryPolicy::times(1), ..scene.job() }, &["a"]).await;
    scene.happen(job.id, lost(job.attempt)).await;
    scene.pass(Duration::from_secs(3600));
    scene.store.promote_due(scene.now(), MANY).await.expect("done");
    let second = scene.take(1).await.remove(0).job;
    let second = scene.happen(second.id, started(&second)).await;
    let question = scene.question("a", None);
    let asked = Event::Asked { token: second.attempt, questions: vec![question.clone()] };
    scene.happen(job.id, asked).await;
    let superseded = scene.record(job.id, answered(first[0].id, "late")).await;
    assert!(matches!(superseded, Err(StoreError::Refused(Refusal::OtherQuestion))));
    scene.happen(job.id, answered(question.id, "now")).await;
    let found = scene.questions(&job).await;
    let facts: Vec<_> = found.iter().map(|q| (q.attempt.0, q.key.as_str(), q.answer.is_some())).collect();
    assert_eq!(facts, [(1, "a", false), (2, "a", true)]);
}

pub async fn questions_run_out_at_their_deadlines(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.running(scene.job()).await;
    let lengths = [30, 10, 20].map(|seconds| Some(Duration::from_secs(seconds)));
    let questions: Vec<_> =
        (0..4).map(|at| scene.question(&format!("k{at}"), lengths.get(at).copied().flatten())).collect();
    let ids: Vec<_> = questions.iter().map(|question| question.id).collect();
    let asked_at = scene.now();
    let event = Event::Asked { token: job.attempt, questions };
    scene.store.record(job.id, event, None, asked_at).await.0.expect("accepted");
    let after = |seconds| asked_at.plus(Duration::from_secs(seconds));
    let next = async || scene.store.next_question_deadline(asked_at).await.expect("read");
    assert_eq!(next().await, Some(Duration::from_secs(10)));
    let early = asked_at.plus(Duration::from_millis(9_999));
    assert_eq!(scene.store.expire_questions(early, MANY).await.expect("done"), []);
    scene.happen(job.id, answered(ids[1], "in time")).await;
    let due = scene.store.next_due(asked_at).await.expect("read");
    assert_eq!((next().await, due), (Some(Duration::from_secs(20)), None));
    assert_eq!(scene.store.next_question_deadline(after(40)).await.expect("read"), Some(Duration::ZERO));
    for expected in [ids[2], ids[0]] {
        let changes = scene.store.expire_questions(after(40), 1).await.expect("done");
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].effects, [Effect::Close { question: expected, answer: None }]);
        let last = scene.history(job.id).await.pop().expect("a line");
        assert_eq!((last.kind, last.detail), (EventKind::Unanswered, Some(expected.to_string())));
    }
    assert_eq!((next().await, all_open(&scene).await), (None, vec![ids[3]]));
    assert_eq!(scene.store.expire_questions(after(9000), MANY).await.expect("done"), []);
    let answers: Vec<_> = scene.questions(&job).await.into_iter().map(|question| question.answer).collect();
    assert_eq!(answers, [None, Some(answer("in time")), None, None]);
}

pub async fn open_questions_are_paged_in_the_order_of_asking(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let mut all = vec![];
    for owner in ["ann", "bob", "ann"] {
        let new = NewJob { principal: Principal::agent(owner), ..scene.job() };
        let (_, questions) = scene.asking(new, &["a", "b"]).await;
        all.extend(questions.iter().map(|question| (owner, question.id)));
    }
    let ids = |owner: Option<&str>| -> Vec<_> {
        all.iter().filter(|(of, _)| owner.is_none_or(|owner| owner == *of)).map(|(_, id)| *id).collect()
    };
    for owner in [None, Some("ann"), Some("bob"), Some("eve")] {
        let mut filter = QuestionFilter { owner: owner.map(str::to_owned), after: None };
        let mut found: Vec<QuestionId> = vec![];
        loop {
            let page = open(&scene, filter.clone(), 3).await;
            found.extend(&page);
            match page.last() {
                Some(last) => filter.after = Some(*last),
                None => break,
            }
        }
        assert_eq!(found, ids(owner));
    }
    let forgotten = QuestionFilter { after: Some(QuestionId::new(BEGIN, u128::MAX)), ..QuestionFilter::default() };
    assert_eq!(open(&scene, forgotten, MANY).await, ids(None));
}

pub async fn everything_asked_is_there_after_opening_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (job, questions) = scene.asking(scene.job(), &["a", "b"]).await;
    let job = scene.happen(job.id, answered(questions[0].id, "kept")).await;
    let before = (scene.questions(&job).await, all_open(&scene).await);
    let scene = scene.reopened(place).await;
    assert_eq!(scene.read(job.id).await, job);
    assert_eq!((scene.questions(&job).await, all_open(&scene).await), before);
    let again = scene.record(job.id, answered(questions[0].id, "other")).await;
    assert!(matches!(again, Err(StoreError::Refused(Refusal::OtherQuestion))));
    assert_eq!(scene.happen(job.id, answered(questions[1].id, "late")).await.state.name(), StateName::Running);
}

pub async fn questions_go_with_their_job(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let (old, _) = scene.asking(scene.job(), &["a"]).await;
    let (kept, questions) = scene.asking(scene.job(), &["a"]).await;
    let old = scene.happen(old.id, ended(&old, 0)).await;
    assert_eq!(scene.questions(&old).await.len(), 1);
    assert_eq!(scene.store.remove(vec![old.id, kept.id]).await.expect("removed"), [old.id]);
    assert_eq!(scene.questions(&old).await, []);
    assert_eq!(scene.questions(&kept).await, questions);
}
