//! Who sees what, lists, output by cursor, the history, estimates.

use std::time::Duration;

use longshore_domain::job::{OutcomeStatus, StateName};
use longshore_domain::{Conversation, EventSeq, FaultCode, Principal};
use longshore_engine::ops::{Caller, ListQuery, OutputCursor, OutputStart, Submit, WaitFor};

use super::kit::{Kit, code, owner, shell};

fn agent(name: &str, chat: &str) -> Caller {
    Caller { principal: Principal::agent(name), conversation: Some(Conversation::new(chat)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_job_looks_like_none() {
    let kit = Kit::new().await;
    let (mine, other) = (agent("mine", "a"), agent("other", "b"));
    let job = kit.engine.submit(&mine, shell("true")).await.unwrap().job;
    let name = job.id.to_string();
    let unknown = name.replace(&name[20..], &"0".repeat(name.len() - 20));
    kit.ended(&job).await;
    let faults = |name: String| {
        let (engine, other) = (kit.engine.clone(), other.clone());
        async move {
            let names = [name.clone()];
            vec![
                engine.show(&other, &name).await.unwrap_err(),
                engine.spec(&other, &name).await.unwrap_err(),
                engine.cancel(&other, &name, None).await.unwrap_err(),
                engine.retry(&other, &name).await.unwrap_err(),
                engine.remove(&other, &name).await.unwrap_err(),
                engine.pin(&other, &name, true).await.unwrap_err(),
                engine.wait(&other, &names, WaitFor::All, Duration::ZERO).await.unwrap_err(),
                engine.events(&other, Some(&name), EventSeq(0), Duration::ZERO).await.unwrap_err(),
                engine.submit(&other, Submit { after: vec![name.clone()], ..shell("true") }).await.unwrap_err(),
            ]
        }
    };
    let (foreign, none) = (faults(name.clone()).await, faults(unknown.clone()).await);
    for (foreign, none) in foreign.into_iter().zip(none) {
        assert_eq!(code(&foreign), FaultCode::JobNotFound);
        assert_eq!(foreign.to_string().replace(&name, "ID"), none.to_string().replace(&unknown, "ID"));
    }
    let number = kit.engine.show(&mine, &job.number.to_string()).await.unwrap_err();
    assert_eq!(code(&number), FaultCode::JobNotFound, "numbers can be guessed, so agents may not use them");
    assert!(kit.engine.show(&owner(), &format!("#{}", job.number)).await.is_ok());
    let all = kit.engine.events(&other, None, EventSeq(0), Duration::ZERO).await.unwrap_err();
    assert_eq!(code(&all), FaultCode::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_one_name_share_their_jobs_and_lists_keep_chats_apart() {
    let kit = Kit::new().await;
    let (one, two) = (agent("same", "one"), agent("same", "two"));
    let first = kit.engine.submit(&one, shell("echo one")).await.unwrap().job;
    let second = kit.engine.submit(&two, shell("echo two")).await.unwrap().job;
    assert_eq!(kit.printed(&first).await, "one\n");
    assert_eq!(kit.printed(&second).await, "two\n");
    assert!(kit.engine.show(&two, &first.id.to_string()).await.is_ok());
    let chat =
        |name: &str| ListQuery { conversation: Some(Conversation::new(name)), limit: 10, ..ListQuery::default() };
    let listed = kit.engine.list(&one, chat("one")).await.unwrap();
    assert_eq!(listed.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [first.id]);
    let all = kit.engine.list(&one, ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    assert_eq!(all.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id, first.id]);
    let stranger = kit.engine.list(&agent("stranger", "one"), chat("one")).await.unwrap();
    assert!(stranger.jobs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged_without_gaps() {
    let kit = Kit::new().await;
    let mut jobs = vec![];
    for exit in [0, 1, 0, 1, 0] {
        jobs.push(kit.submit(Submit { name: Some(format!("exit{exit}")), ..shell(format!("exit {exit}")) }).await);
    }
    for job in &jobs {
        kit.ended(job).await;
    }
    let mut seen = vec![];
    let mut cursor = None;
    loop {
        let page = kit.engine.list(&owner(), ListQuery { cursor, limit: 2, ..ListQuery::default() }).await.unwrap();
        seen.extend(page.jobs.iter().map(|job| job.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, jobs.iter().rev().map(|job| job.id).collect::<Vec<_>>());
    let count = |query: ListQuery| {
        let engine = kit.engine.clone();
        async move { engine.list(&owner(), ListQuery { limit: 50, ..query }).await.unwrap().jobs.len() }
    };
    assert_eq!(count(ListQuery { outcome: Some(OutcomeStatus::Failed), ..ListQuery::default() }).await, 2);
    assert_eq!(count(ListQuery { states: vec![StateName::Running], ..ListQuery::default() }).await, 0);
    assert_eq!(count(ListQuery { text: Some("EXIT0".into()), ..ListQuery::default() }).await, 3);
    for limit in [0, 201] {
        let fault = kit.engine.list(&owner(), ListQuery { limit, ..ListQuery::default() }).await.unwrap_err();
        assert_eq!(code(&fault), FaultCode::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_by_cursor_while_it_comes() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo one; {}; echo two; printf three", gate.wait()))).await;
    let first = kit.output(&job, OutputStart::Head).await.unwrap();
    assert_eq!((first.bytes.as_slice(), first.end), (b"one\n".as_slice(), false));
    let again = kit.output(&job, OutputStart::Head).await.unwrap();
    assert_eq!(again.bytes, first.bytes, "the same cursor gives the same bytes");
    gate.open().await;
    kit.ended(&job).await;
    let rest = kit.output(&job, OutputStart::Cursor(first.next)).await.unwrap();
    assert_eq!((rest.bytes.as_slice(), rest.end, rest.total), (b"two\nthree".as_slice(), true, 13));
    let tail = kit.output(&job, OutputStart::TailLines(1)).await.unwrap();
    assert_eq!(tail.bytes, b"three");
    let end = kit.output(&job, OutputStart::Cursor(rest.next)).await.unwrap();
    assert!(end.bytes.is_empty() && end.end);
    for stale in
        [OutputCursor { offset: 14, ..rest.next }, OutputCursor { attempt: first.next.attempt.next(), offset: 0 }]
    {
        let fault = kit.output(&job, OutputStart::Cursor(stale)).await.unwrap_err();
        assert_eq!(code(&fault), FaultCode::StaleCursor);
    }
    assert_eq!(code(&"nonsense".parse::<OutputCursor>().unwrap_err()), FaultCode::StaleCursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_leads_from_one_attempt_to_the_next() {
    let kit = Kit::new().await;
    let retry =
        longshore_domain::job::RetryPolicy { retries_max: 1, backoff: Duration::from_millis(5), ..Default::default() };
    let job = kit.submit(Submit { retry, ..shell("echo try $LONGSHORE_ATTEMPT; test $LONGSHORE_ATTEMPT = 2") }).await;
    kit.ended(&job).await;
    let first = OutputStart::Cursor("1.0".parse().unwrap());
    let page = kit.output(&job, first).await.unwrap();
    assert_eq!((page.bytes.as_slice(), page.end), (b"try 1\n".as_slice(), false));
    let page = kit.output(&job, OutputStart::Cursor(page.next)).await.unwrap();
    assert_eq!((page.bytes.as_slice(), page.end), (b"try 2\n".as_slice(), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_while_it_runs() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let job = kit.submit(shell(format!("echo '[3/4] linking'; {}", gate.wait()))).await;
    kit.speaks(&job).await;
    let name = job.id.to_string();
    let view = loop {
        let view = kit.engine.show(&owner(), &name).await.unwrap();
        if view.progress.is_some() && view.silent_for.is_some() {
            break view;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(view.progress.as_ref().unwrap().percent, 75.0);
    assert!(view.poll_after >= Duration::from_secs(1) && view.output_bytes > Some(0));
    gate.open().await;
    kit.ended(&job).await;
    assert_eq!(kit.engine.show(&owner(), &name).await.unwrap().poll_after, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread")]
async fn like_jobs_give_an_estimate() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    let marker = kit.path("marker");
    let line = format!("test -e {marker} && {}; true", gate.wait());
    for _ in 0..3 {
        let job = kit.submit(shell(line.clone())).await;
        assert!(kit.engine.show(&owner(), &job.id.to_string()).await.unwrap().estimate.is_none());
        kit.ended(&job).await;
    }
    std::fs::write(&marker, "").unwrap();
    let job = kit.submit(shell(line)).await;
    let estimate = kit.engine.show(&owner(), &job.id.to_string()).await.unwrap().estimate.unwrap();
    assert_eq!(estimate.samples, 3);
    gate.open().await;
    kit.ended(&job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_all_in_order_and_can_be_followed() {
    let kit = Kit::new().await;
    let start = kit.engine.newest_event().await.unwrap();
    let job = kit.submit(shell("true")).await;
    kit.ended(&job).await;
    let (events, next) =
        kit.engine.events(&owner(), Some(&job.id.to_string()), EventSeq(0), Duration::ZERO).await.unwrap();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["submitted", "claimed", "started", "ended"]);
    assert!(events.is_sorted_by(|a, b| a.seq < b.seq) && events[0].seq > start);
    let beyond = kit.engine.events(&owner(), None, EventSeq(next.0 + 1000), super::kit::LIMIT).await.unwrap_err();
    assert_eq!(code(&beyond), FaultCode::StaleCursor);
    let engine = kit.engine.clone();
    let follower = tokio::spawn(async move { engine.events(&owner(), None, next, super::kit::LIMIT).await.unwrap() });
    let second = kit.submit(shell("true")).await;
    let (events, _) = follower.await.unwrap();
    assert_eq!(events[0].job, second.id);
    kit.ended(&second).await;
}
