//! What legacy clients want to be told beside answers: changes of resources they subscribed to, the end of jobs of their
//! conversation, and what their tasks ask. Of a session over HTTP that is kept in the store; whoever speaks over stdio
//! says it anew with each connection.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_domain::{Fault, Job, JobId, Timestamp};
use longshore_engine::Engine;
use longshore_engine::ops::{Caller, Changed, Follower};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::hearings::Hearings;
use super::wishes::{self, Wishes};
use super::{Sink, lists, status};
use crate::wire::{Level, notification};

/// The logger that tells of jobs.
pub(super) const JOBS_LOGGER: &str = "longshore.jobs";
/// Sessions that are told anything; for one more the oldest gives way of the caller that has most.
const SESSIONS_MAX: usize = 1024;
/// What was read of a session is gone by for this long: one that was ended on another node is served no longer here.
const FRESH: Duration = Duration::from_secs(2);
/// Sessions that were looked up of late; with one more all are looked up anew.
const LOOKED_UP_MAX: usize = 4096;

/// All sessions that want to be told something, by scope. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Arc<str>, Session>,
    opened: u64,
    /// Sessions that were looked up, when, and whether they had ended.
    looked_up: HashMap<Arc<str>, (Instant, bool)>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    caller: Caller,
    sink: Sink,
    /// What it wants is known to nobody else: it is the session of one connection.
    of_connection: bool,
    wishes: Wishes,
    /// How often they were written.
    version: u64,
    follower: Option<AbortOnDropHandle<()>>,
    /// Learns what other nodes are told that it wants.
    heeder: Option<AbortOnDropHandle<()>>,
    /// Tells it when the list of its jobs changes.
    lister: Option<AbortOnDropHandle<()>>,
    hearings: Hearings,
}

impl Session {
    fn is_listening(&self) -> bool {
        self.sink.is_open() && self.wishes.are_of_jobs()
    }

    fn is_followed(&self) -> bool {
        self.follower.as_ref().is_some_and(|follower| !follower.is_finished())
    }

    fn tell(&self, job: &Job, has_ended: bool, now: Timestamp) {
        for (uri, _) in self.wishes.watched.iter().filter(|(_, watched)| **watched == Some(job.id)) {
            self.notify("notifications/resources/updated", &json!({ "uri": uri }));
        }
        let own = job.conversation.is_some() && job.conversation == self.caller.conversation;
        let Some(success) = job.outcome().filter(|_| own && has_ended).map(|outcome| outcome.is_success()) else {
            return;
        };
        let level = if success { Level::Info } else { Level::Warning };
        if self.wishes.level.is_some_and(|least| level >= least) {
            self.notify("notifications/message", &message(level, JOBS_LOGGER, &ended(job, now)));
        }
    }

    fn notify(&self, method: &str, params: &Value) {
        if let Ok(params) = to_raw_value(params) {
            self.sink.offer(notification(method, &params));
        }
    }
}

/// What a log message says of a job that ended.
pub(super) fn ended(job: &Job, now: Timestamp) -> Value {
    json!({ "message": format!("{}: {}", status::title(job), status::line(job, now)), "job": job.id })
}

/// The parameters of a log message.
pub(super) fn message(level: Level, logger: &str, data: &Value) -> Value {
    json!({ "level": level, "logger": logger, "data": data })
}

impl Sessions {
    /// Sends what the session of one connection wants to know to `sink`, until [`Self::close`].
    pub(crate) fn connect(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine, sink: Sink) {
        self.change(scope, caller, engine, None, |session| {
            session.of_connection = true;
            session.sink = sink;
        });
    }

    /// Sends what the session of that scope wants to know to `sink`, whichever node it tells; no change is missed once
    /// this returns.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn listen(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
        sink: Sink,
    ) -> Result<(), Fault> {
        let follower = engine.follow().await?;
        self.change(scope, caller, engine, Some(follower), |session| {
            session.sink = sink;
            let heeder = heed(self.clone(), Arc::clone(scope), caller.clone(), engine.clone());
            session.heeder = Some(AbortOnDropHandle::new(tokio::spawn(heeder)));
        });
        Ok(())
    }

    /// Tells the session of that scope when the list of its jobs changes, as long as it is read where it is told anything
    /// now; no change is missed once this returns.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn tell_lists(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine) -> Result<(), Fault> {
        let list = engine.follow_list(&caller.principal.name).await?;
        if let Some(session) = self.lock().open.get_mut(scope) {
            let telling = lists::tell(list, session.sink.clone());
            session.lister = Some(AbortOnDropHandle::new(tokio::spawn(telling)));
        }
        Ok(())
    }

    /// Looks what the session of that scope wants, unless that was looked up of late; returns whether it goes on.
    ///
    /// # Errors
    /// The store's own.
    pub(crate) async fn recall(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine) -> Result<bool, Fault> {
        let known = self.lock().looked_up.get(scope).copied();
        match known {
            Some((at, ended)) if ended || at.elapsed() < FRESH => Ok(!ended),
            _ => self.look_up(scope, caller, engine).await,
        }
    }

    async fn look_up(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine) -> Result<bool, Fault> {
        let follower = self.begin_to_follow(scope, engine).await?;
        let (version, wishes) = wishes::read(&**engine.store(), scope).await?;
        let goes_on = !wishes.ended;
        self.learn(scope, caller, engine, follower, version, wishes);
        Ok(goes_on)
    }

    /// Changes what the session of that scope wants; durable once this returns, and where the session listens no change
    /// is missed from then on.
    ///
    /// # Errors
    /// The store's own; nothing is changed then.
    pub(crate) async fn wish<T>(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
        change: impl Fn(&mut Wishes) -> T,
    ) -> Result<T, Fault> {
        let mut follower = self.begin_to_follow(scope, engine).await?;
        if self.lock().open.get(scope).is_some_and(|session| session.of_connection) {
            return Ok(self.change(scope, caller, engine, follower, |session| change(&mut session.wishes)));
        }
        loop {
            let (version, before) = wishes::read(&**engine.store(), scope).await?;
            let mut wishes = before.clone();
            let answer = change(&mut wishes);
            let changed = wishes != before;
            let now = engine.clock().now();
            if !changed || wishes::write(&**engine.store(), scope, version, &wishes, now).await? {
                self.learn(scope, caller, engine, follower.take(), version + u64::from(changed), wishes);
                return Ok(answer);
            }
        }
    }

    /// Begins to follow what a session that listens here may want from now on, unless that is followed already.
    async fn begin_to_follow(&self, scope: &Arc<str>, engine: &Engine) -> Result<Option<Follower>, Fault> {
        let begins = |session: &Session| session.sink.is_open() && !session.is_followed();
        let begins = self.lock().open.get(scope).is_some_and(begins);
        Ok(if begins { Some(engine.follow().await?) } else { None })
    }

    /// Notes what was read or written of a session, unless something newer is known.
    fn learn(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
        follower: Option<Follower>,
        version: u64,
        wishes: Wishes,
    ) {
        {
            let mut table = self.lock();
            if table.looked_up.len() >= LOOKED_UP_MAX {
                table.looked_up.clear();
            }
            table.looked_up.insert(Arc::clone(scope), (Instant::now(), wishes.ended));
            if wishes.ended || (version == 0 && !table.open.contains_key(scope)) {
                table.open.remove(scope);
                return;
            }
        }
        self.change(scope, caller, engine, follower, |session| {
            if version >= session.version {
                (session.version, session.wishes) = (version, wishes);
            }
        });
    }

    /// The level that the session set.
    pub(crate) fn level(&self, scope: &Arc<str>) -> Option<Level> {
        self.lock().open.get(scope).and_then(|session| session.wishes.level)
    }

    /// How the session of that scope hears what its tasks ask, and where it is told anything; nothing is done if it is
    /// told nothing at all.
    pub(crate) fn hear(&self, scope: &Arc<str>, change: impl FnOnce(&mut Hearings, &Sink)) {
        if let Some(session) = self.lock().open.get_mut(scope) {
            change(&mut session.hearings, &session.sink);
        }
    }

    /// Forgets a connection that was lost.
    pub(crate) fn close(&self, scope: &Arc<str>) {
        self.lock().open.remove(scope);
    }

    fn change<T>(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
        follower: Option<Follower>,
        change: impl FnOnce(&mut Session) -> T,
    ) -> T {
        let mut table = self.lock();
        table.make_room_for(scope);
        table.opened += 1;
        let number = table.opened;
        let session = table.open.entry(Arc::clone(scope)).or_insert_with(|| Session {
            number,
            caller: caller.clone(),
            sink: Sink::none(),
            of_connection: false,
            wishes: Wishes::default(),
            version: 0,
            follower: None,
            heeder: None,
            lister: None,
            hearings: Hearings::default(),
        });
        let changed = change(session);
        if session.is_listening() && !session.is_followed() {
            let following = follow(self.clone(), Arc::clone(scope), caller.clone(), engine.clone(), follower);
            session.follower = Some(AbortOnDropHandle::new(tokio::spawn(following)));
        }
        changed
    }

    /// Whether the session's follower is still wanted; if not, another one has to begin for it.
    fn is_follower_wanted(&self, scope: &Arc<str>) -> bool {
        let mut table = self.lock();
        let Some(session) = table.open.get_mut(scope) else { return false };
        if !session.is_listening() {
            session.follower = None;
        }
        session.is_listening()
    }

    fn wants(&self, scope: &Arc<str>, job: JobId) -> bool {
        self.lock().open.get(scope).is_some_and(|session| session.wishes.include(job))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room_for(&mut self, scope: &Arc<str>) {
        if self.open.len() < SESSIONS_MAX || self.open.contains_key(scope) {
            return;
        }
        let mut of_caller = HashMap::<&str, usize>::new();
        self.open.values().for_each(|session| *of_caller.entry(&session.caller.principal.name).or_default() += 1);
        let oldest = self.open.iter().min_by_key(|(_, session)| {
            let has = of_caller.get(&*session.caller.principal.name).copied().unwrap_or_default();
            (Reverse(has), session.number)
        });
        if let Some(oldest) = oldest.map(|(scope, _)| Arc::clone(scope)) {
            tracing::warn!("a session gives way: its client is told nothing more");
            self.open.remove(&oldest);
        }
    }
}

/// Learns what other nodes are told that a session wants, at most once in [`FRESH`], as long as it listens here.
async fn heed(sessions: Sessions, scope: Arc<str>, caller: Caller, engine: Engine) {
    let mut mark = 0;
    while let Ok(next) = engine.store().changed(mark).await {
        mark = next;
        match sessions.look_up(&scope, &caller, &engine).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => tracing::debug!(fault.code = %fault.code, "what a session wants could not be read"),
        }
        tokio::time::sleep(FRESH).await;
    }
}

/// Tells one session of every change that it wants to know, until nobody reads it any more.
async fn follow(sessions: Sessions, scope: Arc<str>, caller: Caller, engine: Engine, begun: Option<Follower>) {
    let followed: Result<(), Fault> = async {
        let mut follower = match begun {
            Some(follower) => follower,
            None => engine.follow().await?,
        };
        while sessions.is_follower_wanted(&scope) {
            for Changed { job, ended } in follower.changed(|job| sessions.wants(&scope, job)).await? {
                let Ok(job) = engine.find(&caller.principal, &job.to_string()).await else { continue };
                let now = engine.clock().now();
                if let Some(session) = sessions.lock().open.get(&scope) {
                    session.tell(&job, ended, now);
                }
            }
        }
        Ok(())
    }
    .await;
    if let Err(fault) = followed {
        tracing::warn!(fault.code = %fault.code, "a session is told nothing more until it asks anew");
    }
}
