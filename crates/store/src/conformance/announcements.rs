//! Ends, and the chats that are told of them.

use std::sync::Arc;

use longshore_domain::access::{Conversation, Principal};
use longshore_domain::id::JobId;
use longshore_domain::job::Job;
use longshore_domain::store::{NewJob, Notice, Unannounced};

use super::scene::{MANY, Place, Scene, cancel};

fn notice(owner: &str, chat: &str) -> Notice {
    Notice { owner: owner.into(), conversation: Conversation::new(chat), except: vec![], limit: MANY, peek: false }
}

fn ids(ends: &Unannounced) -> Vec<JobId> {
    ends.jobs.iter().map(|job| job.id).collect()
}

impl Scene {
    fn job_in(&self, owner: &str, chat: &str) -> NewJob {
        NewJob { principal: Principal::agent(owner), conversation: Some(Conversation::new(chat)), ..self.job() }
    }

    async fn ended_in(&self, owner: &str, chat: &str) -> Job {
        self.ran(self.job_in(owner, chat), 0).await
    }

    async fn announce(&self, notice: Notice) -> Unannounced {
        self.store.announce(notice).await.expect("the store answers")
    }
}

pub async fn each_end_is_announced_once_newest_first(place: &dyn Place) {
    let scene = Scene::new(place).await;
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
    let early = scene.running(scene.job_in("ann", "a")).await;
    let first = scene.ended_in("ann", "a").await;
    let second = scene.ended_in("ann", "a").await;
    let cut = scene.announce(Notice { limit: 1, peek: true, ..notice("ann", "a") }).await;
    assert_eq!(cut, Unannounced { jobs: vec![second.clone()], count: 2 });
    let told = scene.announce(notice("ann", "a")).await;
    assert_eq!(told, Unannounced { jobs: vec![second, first], count: 2 });
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
    let early = scene.happen(early.id, super::scene::ended(&early, 3)).await;
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced { jobs: vec![early], count: 1 });
}

pub async fn a_peek_announces_nothing(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let job = scene.ended_in("ann", "a").await;
    let peek = Notice { peek: true, ..notice("ann", "a") };
    for _ in 0..2 {
        assert_eq!(ids(&scene.announce(peek.clone()).await), [job.id]);
    }
    assert_eq!(ids(&scene.announce(notice("ann", "a")).await), [job.id]);
    assert_eq!(scene.announce(peek).await, Unannounced::default());
}

pub async fn what_a_chat_knows_is_left_out_and_not_told_later(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let known = scene.ended_in("ann", "a").await;
    let except = vec![known.id];
    let all_known = Notice { except: except.clone(), ..notice("ann", "a") };
    assert_eq!(scene.announce(Notice { peek: true, ..all_known.clone() }).await, Unannounced::default());
    let new = scene.ended_in("ann", "a").await;
    assert_eq!(scene.announce(all_known.clone()).await, Unannounced { jobs: vec![new], count: 1 });
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
    let known = scene.ended_in("ann", "a").await;
    let all_known = Notice { except: vec![known.id], ..all_known };
    assert_eq!(scene.announce(all_known).await, Unannounced::default());
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
}

pub async fn chats_and_principals_are_told_apart(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let of = [("ann", "a"), ("ann", "b"), ("bob", "a")];
    let mut jobs = vec![];
    for (owner, chat) in of {
        jobs.push(scene.ended_in(owner, chat).await.id);
    }
    scene.ran(scene.job(), 0).await;
    for ((owner, chat), job) in of.into_iter().zip(jobs) {
        assert_eq!(ids(&scene.announce(notice(owner, chat)).await), [job], "{owner} {chat}");
        assert_eq!(scene.announce(notice(owner, chat)).await, Unannounced::default());
    }
}

pub async fn concurrent_takers_are_told_each_end_once(place: &dyn Place) {
    const TAKERS: usize = 8;
    let scene = Arc::new(Scene::new(place).await);
    let takers = (0..TAKERS).map(|_| {
        let scene = Arc::clone(&scene);
        tokio::spawn(async move {
            let mut told = vec![];
            for _ in 0..20 {
                told.extend(ids(&scene.announce(notice("ann", "a")).await));
                tokio::task::yield_now().await;
            }
            told
        })
    });
    let takers: Vec<_> = takers.collect();
    let mut ended = vec![];
    for _ in 0..30 {
        ended.push(scene.ended_in("ann", "a").await.id);
    }
    let mut told = vec![];
    for taker in takers {
        told.extend(taker.await.expect("no panic"));
    }
    told.extend(ids(&scene.announce(notice("ann", "a")).await));
    told.sort_unstable();
    ended.sort_unstable();
    assert_eq!(told, ended);
}

pub async fn ends_of_every_kind_are_announced(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let failed = scene.ran(scene.job_in("ann", "a"), 3).await;
    let cancelled = scene.accept(scene.job_in("ann", "a")).await;
    scene.happen(cancelled.id, cancel()).await;
    let blocked = scene.accept(NewJob { after: vec![failed.id], ..scene.job_in("ann", "a") }).await;
    assert!(blocked.is_finished());
    assert_eq!(ids(&scene.announce(notice("ann", "a")).await), [blocked.id, cancelled.id, failed.id]);
}

pub async fn what_was_announced_is_known_after_opening_again(place: &dyn Place) {
    let scene = Scene::new(place).await;
    scene.ended_in("ann", "a").await;
    scene.announce(notice("ann", "a")).await;
    let new = scene.ended_in("ann", "a").await;
    let scene = scene.reopened(place).await;
    assert_eq!(ids(&scene.announce(notice("ann", "a")).await), [new.id]);
    let scene = scene.reopened(place).await;
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
}

pub async fn a_chat_whose_jobs_were_removed_begins_anew(place: &dyn Place) {
    let scene = Scene::new(place).await;
    let old = scene.ended_in("ann", "a").await;
    scene.ended_in("bob", "a").await;
    scene.announce(notice("ann", "a")).await;
    scene.announce(notice("bob", "a")).await;
    assert_eq!(scene.store.remove(vec![old.id]).await.expect("removed"), [old.id]);
    assert_eq!(scene.announce(notice("ann", "a")).await, Unannounced::default());
    assert_eq!(scene.announce(notice("bob", "a")).await, Unannounced::default());
    let new = scene.ended_in("ann", "a").await;
    assert_eq!(ids(&scene.announce(notice("ann", "a")).await), [new.id]);
}
