//! Several engines on one database: what one commits, the others see and act on.

use std::time::{Duration, Instant};

use longshore_domain::job::{Event, FailReason, OutcomeStatus, RetryPolicy, StateName};
use longshore_domain::store::{Claim, Store};
use longshore_domain::{EventSeq, FaultCode, Job, When};
use longshore_engine::ops::{Briefing, Caller, JobView, OutputStart, Submit};
use longshore_engine::{Clock, Settings};
use longshore_store::{PostgresOptions, PostgresStore};

use super::asking::{accepted, ask, script};
use super::kit::{Kit, LIMIT, Shared, code, owner, shell};
use super::recovery::processes_of;

/// One that runs commands, and one that has no room for any.
async fn pair() -> (Kit, Kit) {
    let shared = Shared::new();
    (Kit::node(&shared, 1, |_| {}).await, Kit::node(&shared, 2, |settings| settings.node.capacity = 0).await)
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
    let soon = When::In { length: Duration::from_millis(50) };
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

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_a_node_could_not_store_before_it_stopped_keeps_its_lease_and_is_stored_by_the_next() {
    let (mut runs, other) = pair().await;
    let gate = runs.gate("gate");
    let job = runs.submit(shell(format!("echo begun; {}; exit 7", gate.wait()))).await;
    runs.speaks(&job).await;
    let alter = |what: &str| other.shared.as_ref().unwrap().sql(&format!("ALTER TABLE longshore.standing {what}"));
    alter("ADD CONSTRAINT no_end CHECK (state <> 'finished')");
    gate.open().await;
    // The shim was heard, and nobody has stored what it said.
    let record = runs.settings.run_dir.join(format!("{}.1.exit", job.number));
    while !record.exists() {
        tokio::task::yield_now().await;
    }
    runs.engine.close(LIMIT).await;
    let left = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    let until = left.state.lease().unwrap().until;
    assert!(until.since(other.engine.clock().now()) > runs.settings.lease * 2, "{:?}", left.state);
    alter("DROP CONSTRAINT no_end");
    runs.restart(|_| {}).await;
    let ended = other.ended(&job).await;
    assert_eq!((ended.attempt.0, ended.outcome().unwrap().report.as_ref().unwrap().exit_code), (1, Some(7)));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_and_followed_on_any_node_while_its_own_is_there() {
    let (mut runs, other) = pair().await;
    let shared = other.shared.clone().unwrap();
    let gate = runs.gate("gate");
    let job = runs.submit(shell(format!("echo one; {}; echo two; printf three", gate.wait()))).await;
    assert_eq!(other.speaks(&job).await, "one\n");
    gate.open().await;
    assert_eq!(other.printed(&job).await, "one\ntwo\nthree");
    assert_eq!(other.output(&job, OutputStart::TailLines(1)).await.unwrap().bytes, b"three");
    runs.restart(|_| {}).await;
    assert_eq!(other.printed(&job).await, "one\ntwo\nthree");
    shared.peers.silence(&runs);
    let fault = other.output(&job, OutputStart::Head).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::NodeUnreachable);
    assert_eq!(runs.printed(&job).await, "one\ntwo\nthree");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_has_printed_is_seen_on_any_node_while_its_own_is_there() {
    let (runs, other) = pair().await;
    let gate = runs.gate("gate");
    let job = runs.submit(shell(format!("echo 40%; {}", gate.wait()))).await;
    assert_eq!(other.speaks(&job).await, "40%\n");
    let look = async |kit: &Kit| kit.engine.show(&owner(), &job.id.to_string()).await.unwrap();
    // The start is on record after the command has begun.
    let is_known = |view: &JobView| view.progress.is_some() && view.silent_for.is_some();
    while !is_known(&look(&runs).await) {}
    let seen = look(&other).await;
    assert!(is_known(&seen), "{seen:?}");
    assert_eq!((seen.output_bytes, seen.progress.unwrap().text), (Some(4), "40%".into()));
    assert_eq!(other.engine.node_of(&seen.job).await.unwrap(), Some("node-1".into()));
    assert_eq!(other.engine.view(seen.job).await.unwrap().output_bytes, None, "a list asks nobody");
    other.shared.as_ref().unwrap().peers.silence(&runs);
    let unseen = look(&other).await;
    assert_eq!((unseen.output_bytes, unseen.progress, unseen.silent_for), (None, None, None));
    assert!(unseen.elapsed.is_some());
    gate.open().await;
    let ended = other.ended(&job).await;
    assert_eq!(look(&other).await.output_bytes, Some(4));
    assert_eq!(other.engine.node_of(&ended).await.unwrap(), Some("node-1".into()));
}

/// Short, so that tests need not wait long for it to run out.
const LEASE: Duration = Duration::from_secs(1);

/// Has a node vanish with all that it knows; what it started goes on.
async fn kill(kit: &Kit) {
    kit.engine.store().close().await;
    kit.engine.close(LIMIT).await;
    kit.shared.as_ref().unwrap().peers.silence(kit);
}

/// One that is about to fall silent, and one that sees to what it leaves.
async fn rescued() -> (Kit, Kit) {
    let shared = Shared::new();
    let dying = Kit::node(&shared, 1, |settings| settings.lease = LEASE).await;
    (dying, Kit::node(&shared, 2, |settings| (settings.node.capacity, settings.lease) = (0, LEASE)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_ran_is_lost_and_stopped_when_it_comes_back() {
    let (mut dying, other) = rescued().await;
    let job = dying.submit(shell("echo begun; sleep 1000")).await;
    dying.speaks(&job).await;
    kill(&dying).await;
    let ended = other.ended(&job).await;
    let outcome = ended.outcome().unwrap();
    assert_eq!(outcome.reason, Some(FailReason::Lost));
    assert!(outcome.message.as_ref().unwrap().contains("nobody is at home"), "{outcome:?}");
    assert!(!processes_of(&job.id.to_string()).is_empty(), "its shim needs nobody");
    dying.restart(|_| {}).await;
    while !processes_of(&job.id.to_string()).is_empty() || dying.has_traces() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_begins_leaves_the_others_a_lease_to_begin_too() {
    let shared = Shared::new();
    let mut first = Kit::node(&shared, 1, |settings| settings.lease = LEASE).await;
    let job = first.submit(shell("echo begun; exec sleep 1000")).await;
    first.speaks(&job).await;
    kill(&first).await;
    let looks = PostgresStore::open(PostgresOptions::new(&shared.database)).await.unwrap();
    while looks.expired(first.engine.clock().now(), 1).await.unwrap().is_empty() {}
    let begun = Instant::now();
    let settings = |settings: &mut Settings| (settings.node.capacity, settings.lease) = (0, LEASE);
    let second = Kit::node(&shared, 2, settings).await;
    assert_eq!(second.ended(&job).await.outcome().unwrap().reason, Some(FailReason::Lost));
    assert!(begun.elapsed() >= LEASE, "its node had no time to come back");
    first.restart(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stopped_node_runs_is_kept_for_its_return() {
    let (mut stopped, other) = rescued().await;
    let gate = stopped.gate("gate");
    let job = stopped.submit(shell(format!("echo begun; {}; exit 7", gate.wait()))).await;
    stopped.speaks(&job).await;
    stopped.engine.close(LIMIT).await;
    stopped.shared.as_ref().unwrap().peers.silence(&stopped);
    let kept = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    assert!(kept.state.lease().unwrap().until > other.engine.clock().now().plus(100 * LEASE), "{kept:?}");
    gate.open().await;
    stopped.restart(|_| {}).await;
    assert_eq!(other.ended(&job).await.outcome().unwrap().report.as_ref().unwrap().exit_code, Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_ran_runs_again_elsewhere_if_it_may() {
    let (dying, mut other) = rescued().await;
    let retry = RetryPolicy { retries_max: 1, backoff: Duration::from_millis(5), ..RetryPolicy::default() };
    let job = dying.submit(Submit { retry, ..shell("echo begun; test $LONGSHORE_ATTEMPT = 2 || sleep 1000") }).await;
    dying.speaks(&job).await;
    other.restart(|settings| settings.node.capacity = 1).await;
    kill(&dying).await;
    let ended = other.ended(&job).await;
    assert!(ended.outcome().unwrap().is_success(), "{:?}", ended.outcome());
    assert_eq!(ended.attempt.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_from_the_store_alone_keeps_its_attempts() {
    let (dying, other) = rescued().await;
    let gate = dying.gate("gate");
    let job = dying.submit(shell(format!("echo begun; {}", gate.wait()))).await;
    dying.speaks(&job).await;
    // It renews nothing from now on.
    dying.engine.store().close().await;
    let until = |job: &Job| job.state.lease().unwrap().until;
    let before = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    let mut now = before.clone();
    while until(&now) < until(&before).plus(2 * LEASE) {
        now = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    }
    assert_eq!((now.state.name(), now.attempt.0), (StateName::Running, 1));
    gate.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_answers_but_cannot_say_is_waited_for_one_more_lease() {
    let (dying, other) = rescued().await;
    let job = dying.submit(shell("echo begun; exec sleep 1000")).await;
    dying.speaks(&job).await;
    let peers = &dying.shared.as_ref().unwrap().peers;
    peers.puzzle(&dying);
    dying.engine.store().close().await;
    let before = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    let until = before.state.lease().unwrap().until;
    let outcome = other.ended(&job).await.outcome().unwrap().clone();
    assert_eq!(outcome.reason, Some(FailReason::Lost));
    assert!(outcome.message.as_ref().unwrap().contains("a puzzle"), "{outcome:?}");
    let ended = other.engine.find(&owner().principal, &job.id.to_string()).await.unwrap();
    assert!(ended.finished_at().unwrap() >= until.plus(LEASE), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_its_node_never_heard_of_is_given_back() {
    let (unaware, other) = rescued().await;
    let shared = other.shared.clone().unwrap();
    // Its engine does not know: the answer to the claim was lost on the way.
    let third = Kit::node(&shared, 3, |settings| (settings.node.capacity, settings.lease) = (0, LEASE)).await;
    unaware.engine.close(LIMIT).await;
    let job = other.submit(shell("exit 7")).await;
    let (store, now) = (third.engine.store(), third.engine.clock().now());
    let nonces = longshore_engine::clock::new_nonces(1);
    let (holder, labels) = (third.settings.node.id, third.settings.node.labels.clone());
    let claim = Claim { holder, labels, boot: "this boot".into(), lease: LEASE, nonces };
    assert_eq!(store.claim(claim, now).await.unwrap()[0].job.id, job.id);
    let mut unaware = unaware;
    unaware.restart(|_| {}).await;
    let ended = unaware.ended(&job).await;
    assert_eq!(ended.outcome().unwrap().report.as_ref().unwrap().exit_code, Some(7));
    assert_eq!(ended.attempt.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_clocks_differ_have_the_stores_in_common() {
    let (mut one, other) = pair().await;
    one.engine.close(LIMIT).await;
    one.clock = Clock::moved_by_hand(Clock::system().now().plus(Duration::from_secs(3_600)));
    one.restart(|_| {}).await;
    let ahead = one.engine.clock().now().since(other.engine.clock().now());
    assert!(ahead > Duration::from_secs(3_000), "{ahead:?}");
    let [one, other] = [&one, &other].map(|kit| kit.engine.clock().in_common());
    let apart = one.since(other).max(other.since(one));
    assert!(apart < LIMIT, "{apart:?}");
}
