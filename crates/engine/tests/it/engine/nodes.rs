//! Several engines on one database: what one commits, the others see and act on.

use longshore_domain::EventSeq;
use longshore_domain::Job;
use longshore_domain::job::{Event, FailReason, OutcomeStatus, StateName};
use longshore_engine::ops::{Briefing, Caller, Submit};
use longshore_testkit::postgres::Server;

use super::asking::{accepted, ask, script};
use super::kit::{Kit, LIMIT, owner, shell};
use super::recovery::processes_of;

/// One that runs commands, and one that has no room for any.
async fn pair() -> (Kit, Kit) {
    let database = Server::shared().database();
    (Kit::node(&database, 1, |_| {}).await, Kit::node(&database, 2, |settings| settings.capacity = 0).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_accepts_another_runs_and_its_end_is_waited_for_on_both() {
    let (runs, other) = pair().await;
    let gate = runs.gate("gate");
    let job = other.submit(shell(format!("echo begun; {}; exit 7", gate.wait()))).await;
    assert_eq!(runs.speaks(&job).await, "begun\n");
    gate.open().await;
    for kit in [&runs, &other] {
        assert_eq!(kit.ended(&job).await.outcome().unwrap().report.as_ref().unwrap().exit_code, Some(7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_on_one_node_stops_the_command_on_another() {
    let (runs, other) = pair().await;
    let job = runs.submit(shell("echo begun; sleep 1000")).await;
    runs.speaks(&job).await;
    let stopping = other.engine.cancel(&owner(), &job.id.to_string(), None).await.unwrap();
    assert_eq!(stopping.state.name(), StateName::Stopping);
    assert_eq!(other.ended(&job).await.outcome().unwrap().status, OutcomeStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_was_not_heard_stops_the_command_once_its_node_is_back() {
    let (mut runs, other) = pair().await;
    let job = runs.submit(shell("echo begun; sleep 1000")).await;
    runs.speaks(&job).await;
    runs.engine.close(LIMIT).await;
    other.engine.cancel(&owner(), &job.id.to_string(), None).await.unwrap();
    runs.restart(|_| {}).await;
    assert_eq!(other.ended(&job).await.outcome().unwrap().status, OutcomeStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_on_one_node_asks_is_answered_on_another() {
    let (runs, other) = pair().await;
    let job = runs.play(script(vec![ask(&["colour"])], "done")).await;
    let asked = other.asked(&job, 1).await;
    other.answer(&asked[0], accepted("green")).await.unwrap();
    assert!(other.ended(&job).await.outcome().unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_followed_on_any_node_and_gone_on_with_on_another() {
    let (runs, other) = pair().await;
    let before = other.engine.newest_event().await.unwrap();
    let mut follower = other.engine.follow().await.unwrap();
    let job = runs.submit(shell("true")).await;
    while !follower.changed(|id| id == job.id).await.unwrap()[0].ended {}
    let mut kinds = vec![];
    let mut after = before;
    for kit in [&other, &runs, &other].into_iter().cycle() {
        let (mut events, _) = kit.engine.events(&owner(), None, after, LIMIT).await.unwrap();
        // One each, so that each goes on where another one was.
        let event = events.remove(0);
        assert!(event.seq > after);
        after = EventSeq(event.seq.0);
        kinds.push(event.kind.as_str());
        if event.state == StateName::Finished {
            break;
        }
    }
    assert_eq!(kinds, ["submitted", "claimed", "started", "ended"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_for_one_another_or_for_a_time_go_on_whoever_runs_them() {
    let (runs, other) = pair().await;
    let first = other.submit(shell("true")).await;
    let second = other.submit(Submit { after: vec![first.id.to_string()], ..shell("true") }).await;
    let soon = other.engine.clock().now().plus(std::time::Duration::from_millis(50));
    let third = other.submit(Submit { not_before: Some(soon), ..shell("true") }).await;
    for job in [first, second, third] {
        assert!(runs.ended(&job).await.outcome().unwrap().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_to_its_chat_once_whatever_node_it_asks() {
    let (runs, other) = pair().await;
    let chat = Caller { conversation: Some(longshore_domain::Conversation::new("chat")), ..owner() };
    let job = runs.engine.submit(&chat, shell("true")).await.unwrap().job;
    other.ended(&job).await;
    let told = other.engine.brief(&chat, Briefing::default()).await.unwrap();
    assert!(told.text().contains(&job.number.to_string()), "{told:?}");
    assert!(runs.engine.brief(&chat, Briefing::default()).await.unwrap().is_empty());
}

/// Has a node say that an attempt of another one is lost, as if its machine had burnt down.
async fn give_up(kit: &Kit, job: &Job) {
    let event = Event::Lost { token: job.attempt, message: "its node is gone".into(), report: None };
    kit.engine.store().record(job.id, event, None, kit.engine.clock().now()).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_others_gave_up_is_stopped_where_it_runs() {
    let (mut runs, other) = pair().await;
    for is_down in [false, true] {
        let job = runs.submit(shell("trap '' TERM; echo begun; while :; do sleep 1000; done")).await;
        runs.speaks(&job).await;
        let job = runs.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
        if is_down {
            runs.engine.close(LIMIT).await;
        }
        give_up(&other, &job).await;
        if is_down {
            runs.restart(|_| {}).await;
        }
        while !processes_of(&job.id.to_string()).is_empty() || runs.has_traces() {
            tokio::task::yield_now().await;
        }
        assert_eq!(other.ended(&job).await.outcome().unwrap().reason, Some(FailReason::Lost));
    }
}
