//! Jobs that come again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_domain::job::StateName;
use longshore_domain::schedule::{Calendar, Overlap, Schedule, ScheduleState};
use longshore_domain::{EventSeq, FaultCode, Job, Principal};
use longshore_engine::Clock;
use longshore_engine::ops::{Caller, ListQuery, NewSchedule, Submit};

use super::kit::{Kit, LIMIT, Shared, code, owner, shell};

const EVERY_SECOND: &str = "* * * * * *";
const NEVER_SOON: &str = "0 0 29 2 *";
/// Prints the time that it was made for.
const TELL: &str = "printf %s $LONGSHORE_SCHEDULED_AT";

fn new(name: &str, cron: &str, line: impl Into<String>) -> NewSchedule {
    let calendar = Calendar { cron: cron.into(), time_zone: "UTC".into() };
    NewSchedule { name: name.into(), calendar, overlap: Overlap::Skip, job: shell(line) }
}

impl Kit {
    async fn schedule(&self, new: NewSchedule) -> Schedule {
        self.engine.add_schedule(&owner(), new).await.unwrap()
    }

    async fn seen(&self, name: &str) -> Schedule {
        self.engine.schedule(&owner(), name).await.unwrap()
    }

    async fn jobs(&self) -> Vec<Job> {
        let query = ListQuery { limit: 200, ..ListQuery::default() };
        self.engine.list(&owner(), query).await.unwrap().jobs
    }

    /// Returns once so many jobs have ended.
    async fn have_ended(&self, count: usize) -> Vec<Job> {
        let mut after = EventSeq(0);
        let mut ended = BTreeSet::new();
        while ended.len() < count {
            let (events, _) = self.engine.events(&owner(), None, after, LIMIT).await.unwrap();
            let Some(last) = events.last() else { panic!("only {ended:?}") };
            after = last.seq;
            ended.extend(events.iter().filter(|event| event.state == StateName::Finished).map(|event| event.job));
        }
        self.jobs().await.into_iter().filter(|job| ended.contains(&job.id)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_makes_a_job_at_each_of_its_times() {
    let kit = Kit::new().await;
    let made = kit.schedule(new("tick", EVERY_SECOND, TELL)).await;
    let mut told = BTreeSet::new();
    let jobs = kit.have_ended(3).await;
    for job in &jobs {
        assert_eq!(job.name.as_deref(), Some("tick"));
        let time = kit.printed(job).await;
        assert!(time > made.made_at.to_string() && time.ends_with(".000Z"), "{time}");
        told.insert(time);
    }
    assert_eq!(told.len(), jobs.len(), "{told:?}");
    let seen = kit.seen("tick").await;
    assert!(seen.last.is_some() && matches!(seen.state, ScheduleState::Active { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_make_one_job_for_each_time() {
    let shared = Shared::new();
    let (one, other) = (Kit::node(&shared, 1, |_| {}).await, Kit::node(&shared, 2, |_| {}).await);
    one.schedule(new("tick", EVERY_SECOND, TELL)).await;
    // So that it looks at the schedule too.
    other.schedule(new("tock", EVERY_SECOND, TELL)).await;
    let jobs = other.have_ended(6).await;
    let mut told = BTreeSet::new();
    for job in &jobs {
        told.insert((job.name.clone(), other.printed(job).await));
    }
    assert_eq!(told.len(), jobs.len(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_passed_over_while_the_job_before_goes_on() {
    let kit = Kit::new().await;
    let gate = kit.gate("gate");
    kit.schedule(new("slow", EVERY_SECOND, gate.wait())).await;
    kit.schedule(NewSchedule { overlap: Overlap::Allow, ..new("many", EVERY_SECOND, "true") }).await;
    kit.have_ended(3).await;
    let slow = kit.jobs().await.into_iter().filter(|job| job.name.as_deref() == Some("slow")).count();
    assert_eq!(slow, 1);
    let seen = kit.seen("slow").await;
    assert!(seen.skipped_at > seen.last.map(|last| last.due_at), "{seen:?}");
    gate.open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fell_due_while_nothing_ran_comes_once() {
    let mut kit = Kit::new().await;
    let first = kit.schedule(new("hourly", "@hourly", TELL)).await.state.next_at().unwrap();
    kit.engine.close(LIMIT).await;
    let hour = Duration::from_secs(3_600);
    kit.clock = Clock::moved_by_hand(first.plus(3 * hour + hour / 2));
    kit.restart(|_| {}).await;
    let jobs = kit.have_ended(1).await;
    assert_eq!(kit.printed(&jobs[0]).await, first.plus(3 * hour).to_string());
    let seen = kit.seen("hourly").await;
    assert_eq!((seen.state.next_at(), kit.jobs().await.len()), (Some(first.plus(4 * hour)), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_or_removed_schedule_makes_no_more_jobs() {
    let kit = Kit::new().await;
    let pause = async |name: &str, paused| kit.engine.pause_schedule(&owner(), name, paused).await;
    kit.schedule(new("paused", EVERY_SECOND, "true")).await;
    kit.schedule(new("removed", EVERY_SECOND, "true")).await;
    loop {
        // It may fire at the same time.
        match pause("paused", true).await {
            Ok(paused) => break assert_eq!(paused.state, ScheduleState::Paused),
            Err(fault) => assert_eq!(code(&fault), FaultCode::StateConflict),
        }
    }
    kit.engine.remove_schedule(&owner(), "removed").await.unwrap();
    let before = kit.jobs().await.len();
    kit.schedule(new("goes on", EVERY_SECOND, "true")).await;
    let jobs = kit.have_ended(before + 2).await;
    assert_eq!(jobs.iter().filter(|job| job.name.as_deref() == Some("goes on")).count(), 2);
    assert_eq!(pause("paused", true).await.unwrap().state, ScheduleState::Paused);
    assert!(matches!(pause("paused", false).await.unwrap().state, ScheduleState::Active { .. }));
    assert_eq!(code(&pause("removed", true).await.unwrap_err()), FaultCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_schedule_is_refused_and_makes_none() {
    let kit = Kit::new().await;
    let taken = kit.schedule(new("taken", NEVER_SOON, "true")).await;
    assert_eq!(kit.schedule(new("taken", NEVER_SOON, "true")).await, taken, "once more, it is the same");
    let zone = |zone: &str| Calendar { cron: NEVER_SOON.into(), time_zone: zone.into() };
    let nowhere = NewSchedule { calendar: zone("Nowhere"), ..new("a", NEVER_SOON, "true") };
    let missing = |cwd: &str| Submit { cwd: cwd.into(), ..shell("true") };
    for (new, expected) in [
        (new("taken", NEVER_SOON, "false"), FaultCode::StateConflict),
        (new("a", "* * *", "true"), FaultCode::InvalidArgument),
        (new("a", "0 0 30 2 *", "true"), FaultCode::InvalidArgument),
        (new("", NEVER_SOON, "true"), FaultCode::InvalidArgument),
        (nowhere, FaultCode::InvalidArgument),
        (NewSchedule { job: missing("/nowhere"), ..new("a", NEVER_SOON, "true") }, FaultCode::InvalidArgument),
    ] {
        let fault = kit.engine.add_schedule(&owner(), new).await.unwrap_err();
        assert_eq!(code(&fault), expected, "{fault:?}");
    }
    assert_eq!(kit.engine.schedules(&owner()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_sees_its_own_schedules_alone() {
    let kit = Kit::new().await;
    let agent = Caller { principal: Principal::agent("a"), ..owner() };
    let hidden = kit.schedule(new("nightly", NEVER_SOON, "true")).await;
    kit.engine.add_schedule(&agent, new("nightly", NEVER_SOON, "true")).await.unwrap();
    assert_eq!(kit.engine.schedules(&owner()).await.unwrap().len(), 2);
    let seen = kit.engine.schedules(&agent).await.unwrap();
    assert_eq!(seen.iter().map(|schedule| schedule.principal.name.as_str()).collect::<Vec<_>>(), ["a"]);
    let fault = kit.engine.remove_schedule(&agent, &hidden.id.to_string()).await.unwrap_err();
    assert_eq!(code(&fault), FaultCode::NotFound);
    let removed = kit.engine.remove_schedule(&owner(), &seen[0].id.to_string()).await.unwrap();
    assert_eq!(removed.principal.name, "a");
}
