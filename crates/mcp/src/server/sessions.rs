//! What legacy clients want to be told beside answers: changes of resources they subscribed to, the end of jobs of their
//! conversation, and what their tasks ask. Known only while this process lives; a client that connects anew says it anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_domain::{Job, JobId, Timestamp};
use longshore_engine::Engine;
use longshore_engine::ops::{Caller, Changed};
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use super::hearings::Hearings;
use super::{Sink, status};
use crate::wire::{Level, notification};

/// The logger that tells of jobs.
pub(super) const JOBS_LOGGER: &str = "longshore.jobs";
/// Sessions that are told anything; the oldest gives way to one more.
const SESSIONS_MAX: usize = 1024;
/// Resources that one session can watch.
const WATCHED_MAX: usize = 1000;
/// Ended sessions that are remembered; their clients know it anyhow.
const ENDED_MAX: usize = 4096;

/// All sessions that want to be told something, by scope. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Arc<str>, Session>,
    opened: u64,
    ended: VecDeque<[u8; 32]>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    caller: Caller,
    sink: Sink,
    level: Option<Level>,
    /// Resources by their address; those that never change have no job.
    watched: HashMap<String, Option<JobId>>,
    follower: Option<AbortOnDropHandle<()>>,
    hearings: Hearings,
}

impl Session {
    fn wants(&self, job: JobId) -> bool {
        self.level.is_some() || self.watched.values().any(|watched| *watched == Some(job))
    }

    fn is_listening(&self) -> bool {
        self.sink.is_open() && (self.level.is_some() || self.watched.values().any(Option::is_some))
    }

    fn tell(&self, job: &Job, has_ended: bool, now: Timestamp) {
        for (uri, _) in self.watched.iter().filter(|(_, watched)| **watched == Some(job.id)) {
            self.notify("notifications/resources/updated", &json!({ "uri": uri }));
        }
        let own = job.conversation.is_some() && job.conversation == self.caller.conversation;
        let Some(success) = job.outcome().filter(|_| own && has_ended).map(|outcome| outcome.is_success()) else {
            return;
        };
        let level = if success { Level::Info } else { Level::Warning };
        if self.level.is_some_and(|least| level >= least) {
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
    /// Sends what the session of that scope wants to know to `sink` from now on.
    pub(crate) fn listen(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine, sink: Sink) {
        self.change(scope, caller, engine, |session| session.sink = sink);
    }

    /// Watches a resource; returns whether there is room for it.
    pub(crate) fn watch(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
        uri: String,
        job: Option<JobId>,
    ) -> bool {
        self.change(scope, caller, engine, |session| {
            let room = session.watched.len() < WATCHED_MAX || session.watched.contains_key(&uri);
            if room {
                session.watched.insert(uri, job);
            }
            room
        })
    }

    /// Watches a resource no more.
    pub(crate) fn unwatch(&self, scope: &Arc<str>, uri: &str) {
        if let Some(session) = self.lock().open.get_mut(scope) {
            session.watched.remove(uri);
        }
    }

    /// Tells of what is at least that grave.
    pub(crate) fn set_level(&self, scope: &Arc<str>, caller: &Caller, engine: &Engine, level: Level) {
        self.change(scope, caller, engine, |session| session.level = Some(level));
    }

    /// The level that the session set.
    pub(crate) fn level(&self, scope: &Arc<str>) -> Option<Level> {
        self.lock().open.get(scope).and_then(|session| session.level)
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

    /// Ends a session for good, as far as this process can remember.
    pub(crate) fn end(&self, scope: &Arc<str>) {
        let mut table = self.lock();
        table.open.remove(scope);
        if table.ended.len() >= ENDED_MAX {
            table.ended.pop_front();
        }
        table.ended.push_back(digest(scope));
    }

    /// Whether the session was ended.
    pub(crate) fn has_ended(&self, scope: &str) -> bool {
        let table = self.lock();
        !table.ended.is_empty() && table.ended.contains(&digest(scope))
    }

    fn change<T>(
        &self,
        scope: &Arc<str>,
        caller: &Caller,
        engine: &Engine,
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
            level: None,
            watched: HashMap::new(),
            follower: None,
            hearings: Hearings::default(),
        });
        let changed = change(session);
        let followed = session.follower.as_ref().is_some_and(|follower| !follower.is_finished());
        if session.is_listening() && !followed {
            let follower = follow(self.clone(), Arc::clone(scope), caller.clone(), engine.clone());
            session.follower = Some(AbortOnDropHandle::new(tokio::spawn(follower)));
        }
        changed
    }

    fn is_listening(&self, scope: &Arc<str>) -> bool {
        self.lock().open.get(scope).is_some_and(Session::is_listening)
    }

    fn wants(&self, scope: &Arc<str>, job: JobId) -> bool {
        self.lock().open.get(scope).is_some_and(|session| session.wants(job))
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
        let oldest = self.open.iter().min_by_key(|(_, session)| session.number).map(|(scope, _)| Arc::clone(scope));
        if let Some(oldest) = oldest {
            tracing::warn!("the oldest session gives way: its client is told nothing more");
            self.open.remove(&oldest);
        }
    }
}

fn digest(scope: &str) -> [u8; 32] {
    Sha256::digest(scope).into()
}

/// Tells one session of every change that it wants to know, until nobody reads it any more.
async fn follow(sessions: Sessions, scope: Arc<str>, caller: Caller, engine: Engine) {
    let followed: Result<(), longshore_domain::Fault> = async {
        let mut follower = engine.follow().await?;
        while sessions.is_listening(&scope) {
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
