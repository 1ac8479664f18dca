//! Lists, filters, pages and counts.

use std::time::Duration;

use longshore_domain::access::{Conversation, Principal};
use longshore_domain::id::JobNumber;
use longshore_domain::job::{OutcomeStatus, StateName};
use longshore_domain::store::{JobFilter, NewJob};

use super::scene::{BEGIN, MANY, Place, Scene, cancel, queue, spec};

/// Jobs of many sorts, in many states.
async fn mixed(scene: &Scene) {
    let later = Some(BEGIN.plus(Duration::from_secs(600)));
    for round in 0..4 {
        let principal = [Principal::owner(), Principal::agent("a"), Principal::agent("b")][round % 3].clone();
        let conversation = (round % 2 == 0).then(|| Conversation::new("chat"));
        let base = || NewJob { principal: principal.clone(), conversation: conversation.clone(), ..scene.job() };
        scene.ran(NewJob { name: Some("Größe".into()), ..base() }, 0).await;
        scene.ran(NewJob { spec: spec(&["cargo", "Test"]), ..base() }, 1).await;
        let cancelled = scene.accept(NewJob { queue: queue("side"), ..base() }).await;
        scene.happen(cancelled.id, cancel()).await;
        scene.running(NewJob { queue: queue("side"), ..base() }).await;
        scene.accept(NewJob { not_before: later.map(Into::into), ..base() }).await;
    }
    for _ in 0..3 {
        scene.accept(NewJob { queue: queue("side"), ..scene.job() }).await;
        scene.accept(scene.job()).await;
    }
}

/// What a reader of the filter's documentation expects, from the list of everything.
fn lets_through(filter: &JobFilter, job: &longshore_domain::Job) -> bool {
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    let has = |text: &String| {
        job.title.to_lowercase().contains(text)
            || job.name.as_ref().is_some_and(|name| name.to_lowercase().contains(text))
    };
    filter.owner.as_ref().is_none_or(|owner| job.principal.name == *owner)
        && filter.conversation.as_ref().is_none_or(|chat| job.conversation.as_ref() == Some(chat))
        && (filter.states.is_empty() || filter.states.contains(&job.state.name()))
        && filter.outcome.is_none_or(|status| job.outcome().is_some_and(|outcome| outcome.status == status))
        && filter.queue.as_ref().is_none_or(|queue| job.queue == *queue)
        && text.as_ref().is_none_or(has)
        && filter.before.is_none_or(|before| job.number < before)
}

fn filters() -> Vec<JobFilter> {
    let owners = [None, Some("a".to_owned()), Some("owner".to_owned()), Some("nobody".to_owned())];
    let chats = [None, Some(Conversation::new("chat"))];
    let states = [
        vec![],
        vec![StateName::Queued],
        vec![StateName::Running, StateName::Waiting, StateName::Queued, StateName::Running],
        vec![StateName::Finished],
        vec![StateName::Finished, StateName::Running],
    ];
    let outcomes = [None, Some(OutcomeStatus::Succeeded), Some(OutcomeStatus::Failed), Some(OutcomeStatus::Skipped)];
    let queues = [None, Some(queue("side"))];
    let texts = [
        None,
        Some("GRÖSSE".to_owned()),
        Some("gröSSE".to_owned()),
        Some("größE".to_owned()),
        Some("go te".to_owned()),
    ];
    let befores = [None, Some(JobNumber(9))];
    let mut filters = vec![JobFilter::default()];
    filters = with(&filters, &owners, |filter, owner| filter.owner = owner);
    filters = with(&filters, &chats, |filter, chat| filter.conversation = chat);
    filters = with(&filters, &states, |filter, states| filter.states = states);
    filters = with(&filters, &outcomes, |filter, outcome| filter.outcome = outcome);
    filters = with(&filters, &queues, |filter, queue| filter.queue = queue);
    filters = with(&filters, &texts, |filter, text| filter.text = text);
    with(&filters, &befores, |filter, before| filter.before = before)
}

/// Each filter with each value.
fn with<T: Clone>(filters: &[JobFilter], values: &[T], set: impl Fn(&mut JobFilter, T)) -> Vec<JobFilter> {
    let each = |filter: &JobFilter| {
        let filter = filter.clone();
        let set = &set;
        values
            .iter()
            .map(move |value| {
                let mut filter = filter.clone();
                set(&mut filter, value.clone());
                filter
            })
            .collect::<Vec<_>>()
    };
    filters.iter().flat_map(each).collect()
}

pub async fn filters_let_through_what_they_say(place: &dyn Place) {
    let scene = Scene::new(place).await;
    mixed(&scene).await;
    let all = scene.store.jobs(JobFilter::default(), MANY).await.expect("read");
    assert_eq!(all.len(), 26);
    assert!(all.windows(2).all(|pair| pair[0].number > pair[1].number), "newest first");
    for filter in filters() {
        let expected: Vec<_> = all.iter().filter(|job| lets_through(&filter, job)).cloned().collect();
        let limited = &expected[..expected.len().min(3)];
        assert_eq!(scene.store.jobs(filter.clone(), MANY).await.expect("read"), expected, "{filter:?}");
        assert_eq!(scene.store.jobs(filter.clone(), 3).await.expect("read"), limited, "{filter:?}");
    }
}

pub async fn pages_have_no_gaps_or_repeats_while_jobs_arrive(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let jobs = scene.accept_many(23).await;
    let filter = JobFilter { states: vec![StateName::Queued, StateName::Running], ..JobFilter::default() };
    let mut read = vec![];
    let mut before = None;
    loop {
        let page = scene.store.jobs(JobFilter { before, ..filter.clone() }, 5).await.expect("read");
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        read.extend(page);
        scene.accept_many(3).await;
    }
    assert_eq!(read.into_iter().rev().collect::<Vec<_>>(), jobs);
    assert_eq!(scene.store.jobs(filter, 0).await.expect("read"), []);
}

pub async fn counts_are_exact(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(scene.store.counts().await.expect("read"), Default::default());
    mixed(&scene).await;
    let counts = scene.store.counts().await.expect("read");
    let expected = [(StateName::Waiting, 4), (StateName::Queued, 6), (StateName::Running, 4)];
    assert_eq!(counts.unfinished, expected.into());
    assert_eq!(counts.finished, 12);
}
