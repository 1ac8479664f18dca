//! What chats are told of their jobs.

use longshore_domain::job::{FixtureEnd, FixtureSpec, FixtureStep, QuestionKind, QuestionSpec};
use longshore_domain::{Conversation, EventSeq, Job, Principal};
use longshore_engine::ops::{Brief, Briefing, Caller, Submit, SubmitFixture, TOKENS_MAX, tokens};

use super::kit::{Kit, LIMIT, shell};

fn chat(owner: &str, name: &str) -> Caller {
    Caller { principal: Principal::agent(owner), conversation: Some(Conversation::new(name)) }
}

fn ids(jobs: &[&Job]) -> Vec<longshore_domain::JobId> {
    jobs.iter().map(|job| job.id).collect()
}

fn ended(brief: &Brief) -> Vec<longshore_domain::JobId> {
    brief.ended.lines.iter().map(|line| line.job).collect()
}

impl Kit {
    async fn submit_in(&self, caller: &Caller, request: Submit) -> Job {
        self.engine.submit(caller, request).await.unwrap().job
    }

    async fn ran_in(&self, caller: &Caller, line: &str) -> Job {
        let job = self.submit_in(caller, shell(line)).await;
        self.ended(&job).await
    }

    async fn brief(&self, caller: &Caller) -> Brief {
        let brief = self.engine.brief(caller, Briefing::default()).await.unwrap();
        assert!(tokens(&brief.text()) <= TOKENS_MAX, "{}", brief.text());
        brief
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_is_told_once_also_after_a_restart() {
    let mut kit = Kit::new().await;
    let here = chat("owner", "a");
    assert!(kit.brief(&here).await.is_empty());
    let good = kit.ran_in(&here, "true").await;
    let bad = kit.ran_in(&here, "exit 3").await;
    let peek = Briefing { peek: true, ..Briefing::default() };
    assert_eq!(ended(&kit.engine.brief(&here, peek).await.unwrap()), ids(&[&bad, &good]));
    kit.restart(|_| {}).await;
    let brief = kit.brief(&here).await;
    assert_eq!(ended(&brief), ids(&[&bad, &good]));
    assert!(brief.ended.lines[0].text.starts_with("failed (exit code 3) after "), "{brief:?}");
    assert!(brief.ended.lines[1].text.ends_with("s: true"), "{brief:?}");
    kit.restart(|_| {}).await;
    assert!(kit.brief(&here).await.is_empty());
    let many = 20;
    for _ in 0..many {
        kit.ran_in(&here, "true").await;
    }
    let brief = kit.brief(&here).await;
    assert!(brief.ended.lines.len() >= 3, "{}", brief.text());
    assert_eq!(brief.ended.lines.len() as u64 + brief.ended.more, many);
    assert!(kit.brief(&here).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_and_principals_hear_of_their_own_jobs_only() {
    let kit = Kit::new().await;
    let chats = [chat("ann", "a"), chat("ann", "b"), chat("bob", "a")];
    let mut jobs = vec![];
    for chat in &chats {
        jobs.push(kit.ran_in(chat, "true").await);
    }
    let nowhere = Caller { conversation: None, ..chats[0].clone() };
    kit.ran_in(&nowhere, "true").await;
    assert!(kit.brief(&nowhere).await.is_empty());
    for (chat, job) in chats.iter().zip(&jobs) {
        assert_eq!(ended(&kit.brief(chat).await), ids(&[job]));
        assert!(kit.brief(chat).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chat_has_seen_is_not_told_and_what_others_saw_is() {
    let mut kit = Kit::new().await;
    let here = chat("ann", "a");
    let seen = kit.ran_in(&here, "true").await;
    let (elsewhere, other) = (chat("ann", "b"), chat("bob", "a"));
    kit.engine.saw(&elsewhere, &seen);
    kit.engine.saw(&other, &seen);
    let peek = Briefing { peek: true, ..Briefing::default() };
    assert_eq!(ended(&kit.engine.brief(&here, peek).await.unwrap()), ids(&[&seen]));
    kit.engine.saw(&here, &seen);
    assert!(kit.brief(&here).await.is_empty());
    let new = kit.ran_in(&here, "true").await;
    assert_eq!(ended(&kit.brief(&here).await), ids(&[&new]));
    // Folded into the mark by the announcement, and so still known by the next process.
    kit.restart(|_| {}).await;
    assert!(kit.brief(&here).await.is_empty());
    for _ in 0..40 {
        let job = kit.ran_in(&here, "true").await;
        kit.engine.saw(&here, &job);
    }
    assert!(kit.brief(&here).await.is_empty());
    kit.restart(|_| {}).await;
    assert!(kit.brief(&here).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_takers_are_told_each_end_once() {
    let kit = Kit::new().await;
    let here = chat("ann", "a");
    let job = kit.ran_in(&here, "true").await;
    let takers = (0..16).map(|_| {
        let (engine, here) = (kit.engine.clone(), here.clone());
        tokio::spawn(async move { engine.brief(&here, Briefing::default()).await.unwrap() })
    });
    let takers: Vec<_> = takers.collect();
    let mut told = vec![];
    for taker in takers {
        told.extend(ended(&taker.await.unwrap()));
    }
    assert_eq!(told, ids(&[&job]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_and_what_waits_is_told_with_its_reason() {
    let kit = Kit::new().await;
    let here = chat("ann", "a");
    for _ in 0..3 {
        let job = kit.ran_in(&here, "true").await;
        kit.engine.saw(&here, &job);
    }
    let gate = kit.gate("gate");
    let running = kit.submit_in(&here, shell(format!("echo 40%; {}", gate.wait()))).await;
    kit.speaks(&running).await;
    let after = Submit { after: vec![running.id.to_string()], name: Some("later".into()), ..shell("true") };
    let after = kit.submit_in(&here, after).await;
    let brief = kit.brief(&here).await;
    assert!(brief.ended.is_empty());
    assert_eq!((brief.running.lines[0].job, brief.running.more), (running.id, 0));
    let text = &brief.running.lines[0].text;
    assert!(text.starts_with("running for ") && text.contains(": echo 40%"), "{text}");
    assert_eq!((brief.waiting.lines[0].job, &*brief.waiting.lines[0].text), (after.id, "waits for another job: later"));
    let except = Briefing { except: vec![running.id, after.id], ..Briefing::default() };
    assert!(kit.engine.brief(&here, except).await.unwrap().is_empty());
    let ends = Briefing { ends_only: true, ..Briefing::default() };
    assert!(kit.engine.brief(&here, ends).await.unwrap().is_empty());
    gate.open().await;
    kit.ended(&after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_told_first() {
    let kit = Kit::new().await;
    let here = chat("ann", "a");
    let question = QuestionSpec {
        key: "go".into(),
        kind: QuestionKind::Approval,
        prompt: "Deploy\nnow?".into(),
        schema: None,
        deadline: None,
    };
    let spec = FixtureSpec {
        steps: vec![FixtureStep::Ask(vec![question])],
        end: FixtureEnd::Text("done".into()),
        deadline: None,
    };
    let job = kit.engine.submit_fixture(&here, SubmitFixture::new(spec)).await.unwrap().job;
    let later = Submit { after: vec![job.id.to_string()], ..shell("true") };
    kit.submit_in(&here, later).await;
    let mut after = EventSeq(0);
    while kit.engine.questions(&here, &job.id.to_string()).await.unwrap().is_empty() {
        after = kit.engine.events(&here, Some(&job.id.to_string()), after, LIMIT).await.unwrap().1;
    }
    let brief = kit.brief(&here).await;
    assert_eq!(brief.waiting.lines[0].job, job.id);
    assert_eq!(
        brief.waiting.lines[0].text,
        "asks a person \"Deploy now?\" (approval: only a person may decide, you may not)"
    );
    assert_eq!(brief.waiting.lines.len(), 2);
}
