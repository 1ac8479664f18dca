//! Streams to legacy clients, kept for a while: a client that loses one goes on where it was, for in that era a lost
//! connection gives nothing up. Source: MCP 2025-11-25, transports, resumability.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_domain::{JobId, Principal};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::server::rooms::Room;
use crate::wire::{Reply, RequestId};

/// Streams that are kept. For one more the oldest gives way that has ended, else the oldest of the session that has most.
const STREAMS_MAX: usize = 1024;
/// What is kept of one stream beside its newest message, in bytes: what is older is lost to those who come late.
const BYTES_MAX: usize = 256 * 1024;
/// A stream without a reader goes on for this long, and so does the request behind it.
const ABANDONED_AFTER: Duration = Duration::from_secs(120);

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One answer, and what belongs to it.
    Answer,
    /// What a session is told beside answers.
    Standing,
}

/// What ends a stream.
pub(crate) enum Source {
    /// The answer, which comes last, and what it answers.
    Answer(BoxFuture<'static, Option<Reply>>, Called),
    /// The future, or that nobody is left who could send anything. It has a place of its caller's until it ends.
    Standing(BoxFuture<'static, ()>, Room),
}

/// What a stream answers. Its places name it once its job is known, so that whoever does not keep the stream can answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Called {
    /// The request, if it is a single one.
    pub(crate) id: Option<RequestId>,
    /// The job that it waits for.
    pub(crate) job: Arc<OnceLock<JobId>>,
}

impl Called {
    /// What follows the number in a place of a session.
    fn suffix(&self, scope: &str) -> String {
        let Some((id, job)) = self.id.as_ref().zip(self.job.get()) else { return String::new() };
        format!(".{job}.{}.{}", URL_SAFE_NO_PAD.encode(id.as_json()), mark(scope))
    }
}

/// All streams that are kept. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<String, (u64, Arc<Log>, AbortOnDropHandle<()>)>,
    opened: u64,
}

/// One stream: its messages, numbered from one.
#[derive(Debug)]
pub(crate) struct Log {
    id: String,
    kind: Kind,
    scope: Arc<str>,
    called: Called,
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
    readers: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<(u64, Arc<str>)>,
    bytes: usize,
    newest: u64,
    ended: bool,
    room: Option<Room>,
}

/// A place in a stream, named by the id of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What the stream carries.
    pub(crate) kind: Kind,
    /// The call that is answered there, and the job that its answer waits for.
    call: Option<(RequestId, JobId)>,
    /// Tells its session from others.
    mark: String,
    stream: String,
    after: u64,
}

impl Place {
    /// The place that an event id names.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        let parts: Vec<&str> = id.split('.').collect();
        let (stream, after, call, mark) = match parts[..] {
            [stream, after] => (stream, after, None, ""),
            [stream, after, job, request, mark] => (stream, after, Some((read_id(request)?, job.parse().ok()?)), mark),
            _ => return None,
        };
        let kind = match stream.as_bytes().first()? {
            b'a' => Kind::Answer,
            b's' => Kind::Standing,
            _ => return None,
        };
        Some(Self { kind, call, mark: mark.to_owned(), stream: stream.to_owned(), after: after.parse().ok()? })
    }

    /// The call that is answered there, and the job that its answer waits for, if it is a call of that session.
    pub(crate) fn call_of(&self, scope: &str) -> Option<(RequestId, JobId)> {
        self.call.clone().filter(|_| self.mark == mark(scope))
    }
}

/// Keeps a client from mistaking its sessions for one another; whose the job is decides what it may see.
fn mark(scope: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(scope)[..6])
}

fn read_id(text: &str) -> Option<RequestId> {
    RequestId::from_raw(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?)
}

impl Streams {
    /// Begins a stream of what `notifications` bring; it ends as its source says, or when nothing more can come.
    pub(crate) fn begin(&self, scope: &Arc<str>, notifications: mpsc::Receiver<String>, source: Source) -> Reader {
        let (kind, called, end, room) = match source {
            Source::Answer(answer, called) => (Kind::Answer, called, answer, None),
            Source::Standing(until, room) => {
                (Kind::Standing, Called::default(), until.map(|()| None).boxed(), Some(room))
            }
        };
        let prefix = match kind {
            Kind::Answer => 'a',
            Kind::Standing => 's',
        };
        let log = Arc::new(Log {
            id: format!("{prefix}{:032x}", longshore_engine::clock::random()),
            kind,
            scope: Arc::clone(scope),
            called,
            kept: Mutex::new(Kept { room, ..Kept::default() }),
            changes: watch::Sender::new(0),
            readers: watch::Sender::new(0),
        });
        let reader = Reader::new(&log, 0);
        let driver = AbortOnDropHandle::new(tokio::spawn(drive(Arc::clone(&log), notifications, end)));
        let mut table = self.lock();
        table.make_room();
        table.opened += 1;
        let number = table.opened;
        table.open.insert(log.id.clone(), (number, log, driver));
        reader
    }

    /// Goes on at a place of a stream of the same session, if it is still kept.
    pub(crate) fn resume(&self, scope: &str, place: &Place) -> Option<Reader> {
        let table = self.lock();
        let (_, log, _) = table.open.get(&place.stream)?;
        (*log.scope == *scope).then(|| Reader::new(log, place.after))
    }

    /// Keeps a stream no longer.
    pub(crate) fn forget(&self, reader: &Reader) {
        self.lock().open.remove(&reader.log.id);
    }

    /// Ends the oldest stream that has a place of that caller's and that nobody reads, if there is one.
    pub(crate) fn give_way(&self, caller: &Principal) {
        let mut table = self.lock();
        let gives_way =
            |log: &Log| *log.readers.borrow() == 0 && log.lock().room.as_ref().is_some_and(|room| room.is_of(caller));
        let unread = table.open.values().filter(|(_, log, _)| gives_way(log));
        let oldest = unread.min_by_key(|(number, ..)| *number).map(|(_, log, _)| log.id.clone());
        if let Some((_, log, _)) = oldest.and_then(|id| table.open.remove(&id)) {
            log.end();
        }
    }

    /// Ends all streams of a session.
    pub(crate) fn end(&self, scope: &str) {
        self.lock().open.retain(|_, (_, log, _)| {
            let other = *log.scope != *scope;
            if !other {
                log.end();
            }
            other
        });
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ended streams give way first, and then nobody's for the sake of a session that has more.
    fn make_room(&mut self) {
        if self.open.len() < STREAMS_MAX {
            return;
        }
        let mut of_session = HashMap::<&str, usize>::new();
        self.open.values().for_each(|(_, log, _)| *of_session.entry(&log.scope).or_default() += 1);
        let oldest = self.open.values().min_by_key(|(number, log, _)| {
            let has = of_session.get(&*log.scope).copied().unwrap_or_default();
            (!log.lock().ended, Reverse(has), *number)
        });
        if let Some(id) = oldest.map(|(_, log, _)| log.id.clone())
            && let Some((_, log, _)) = self.open.remove(&id)
        {
            log.end();
        }
    }
}

/// Writes one stream.
async fn drive(log: Arc<Log>, mut notifications: mpsc::Receiver<String>, mut end: BoxFuture<'static, Option<Reply>>) {
    let mut open = true;
    while open || log.kind == Kind::Answer {
        tokio::select! {
            biased;
            notification = notifications.recv(), if open => match notification {
                Some(notification) => log.append(notification, false),
                None => open = false,
            },
            reply = &mut end => {
                while let Ok(notification) = notifications.try_recv() {
                    log.append(notification, false);
                }
                if let Some(reply) = reply {
                    log.append(reply.message, true);
                }
                break;
            }
            () = log.abandoned() => break,
        }
    }
    log.end();
}

impl Log {
    fn append(&self, message: String, last: bool) {
        let mut kept = self.lock();
        kept.newest += 1;
        kept.ended |= last;
        kept.bytes += message.len();
        let number = kept.newest;
        kept.messages.push_back((number, message.into()));
        while kept.bytes > BYTES_MAX && kept.messages.len() > 1 {
            kept.bytes -= kept.messages.pop_front().map_or(0, |(_, message)| message.len());
        }
        drop(kept);
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn end(&self) {
        let mut kept = self.lock();
        (kept.ended, kept.room) = (true, None);
        drop(kept);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Returns once nobody has read for long.
    async fn abandoned(&self) {
        let mut readers = self.readers.subscribe();
        loop {
            // The sender is ours.
            if readers.wait_for(|count| *count == 0).await.is_err() {
                return;
            }
            if tokio::time::timeout(ABANDONED_AFTER, readers.wait_for(|count| *count > 0)).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    log: Arc<Log>,
    at: u64,
}

/// What a stream turned out to be.
pub(crate) enum Opening {
    /// Nothing but its answer.
    Answer(Arc<str>),
    /// Nothing: the request was given up.
    Nothing,
    /// More than that, or nothing yet.
    Stream,
}

impl Reader {
    fn new(log: &Arc<Log>, at: u64) -> Self {
        log.readers.send_modify(|count| *count += 1);
        Self { log: Arc::clone(log), at }
    }

    /// What the stream is, as soon as that can be said.
    pub(crate) async fn opening(&self) -> Opening {
        let mut changes = self.log.changes.subscribe();
        loop {
            {
                let kept = self.log.lock();
                match (kept.ended, kept.newest, kept.messages.back()) {
                    (true, 0, _) => return Opening::Nothing,
                    (true, 1, Some((_, message))) => return Opening::Answer(Arc::clone(message)),
                    (_, 0, _) => {}
                    _ => return Opening::Stream,
                }
            }
            if changes.changed().await.is_err() {
                return Opening::Nothing;
            }
        }
    }

    /// The id of the event before the next one.
    pub(crate) fn place(&self) -> String {
        format!("{}.{}{}", self.log.id, self.at, self.log.called.suffix(&self.log.scope))
    }

    /// The next message; nothing after the last one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Arc<str>> {
        let mut changes = self.log.changes.subscribe();
        loop {
            {
                let kept = self.log.lock();
                if let Some((number, message)) = kept.messages.iter().find(|(number, _)| *number > self.at) {
                    self.at = *number;
                    return Some(Arc::clone(message));
                }
                if kept.ended {
                    return None;
                }
            }
            changes.changed().await.ok()?;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.readers.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rooms::Rooms;

    fn standing() -> Source {
        standing_of(&Rooms::new(1), "caller")
    }

    fn standing_of(rooms: &Rooms, caller: &str) -> Source {
        let room = rooms.enter(&Principal::agent(caller)).unwrap();
        Source::Standing(Box::pin(std::future::pending()), room)
    }

    async fn rest(mut reader: Reader) -> Vec<String> {
        let mut read = vec![];
        while let Some(message) = reader.next().await {
            read.push(format!("{} {message}", reader.place().split_once('.').unwrap().1));
        }
        read
    }

    fn place(reader: &Reader, after: u64) -> Place {
        Place::parse(&format!("{}.{after}", reader.log.id)).unwrap()
    }

    #[tokio::test]
    async fn a_lost_stream_goes_on_where_it_was_for_its_session_only() {
        let (streams, scope) = (Streams::default(), Arc::from("session"));
        let (sender, notifications) = mpsc::channel(8);
        let first = streams.begin(&scope, notifications, standing());
        for message in ["one", "two", "three"] {
            sender.send(message.to_owned()).await.unwrap();
        }
        let there = place(&first, 1);
        drop(sender);
        assert_eq!(rest(first).await, ["1 one", "2 two", "3 three"]);
        assert_eq!(rest(streams.resume("session", &there).unwrap()).await, ["2 two", "3 three"]);
        assert!(streams.resume("another", &there).is_none());
        streams.end("session");
        assert!(streams.resume("session", &there).is_none());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_the_newest_is_always_there() {
        let (streams, scope) = (Streams::default(), Arc::from("session"));
        let (sender, notifications) = mpsc::channel(8);
        let reader = streams.begin(&scope, notifications, standing());
        for _ in 0..4 {
            sender.send("x".repeat(BYTES_MAX / 2)).await.unwrap();
        }
        sender.send("y".repeat(2 * BYTES_MAX)).await.unwrap();
        drop(sender);
        while !reader.log.lock().ended {
            tokio::task::yield_now().await;
        }
        let read = rest(reader).await;
        assert_eq!(read.len(), 1);
        assert!(read[0].starts_with("5 y"));
        let readers: Vec<Reader> =
            (0..STREAMS_MAX + 5).map(|_| streams.begin(&scope, mpsc::channel(1).1, standing())).collect();
        assert_eq!(streams.lock().open.len(), STREAMS_MAX);
        drop(readers);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_ends_and_with_it_its_request() {
        let (streams, scope) = (Streams::default(), Arc::from("session"));
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let (_sender, notifications) = mpsc::channel(1);
        let answer = Box::pin(async move {
            std::future::pending::<()>().await;
            drop(alive);
            None
        });
        let reader = streams.begin(&scope, notifications, Source::Answer(answer, Called::default()));
        let there = place(&reader, 0);
        let waited = tokio::time::timeout(ABANDONED_AFTER * 2, ended.recv()).await;
        assert!(waited.is_err(), "it has a reader");
        drop(reader);
        let again = streams.resume("session", &there).unwrap();
        let waited = tokio::time::timeout(ABANDONED_AFTER * 2, ended.recv()).await;
        assert!(waited.is_err(), "it has one again");
        drop(again);
        assert_eq!(ended.recv().await, None);
    }

    #[test]
    fn event_ids_name_places() {
        assert_eq!(Place::parse("a0f.7").map(|place| (place.kind, place.after)), Some((Kind::Answer, 7)));
        assert_eq!(Place::parse("s0f.0").map(|place| (place.kind, place.after)), Some((Kind::Standing, 0)));
        let job = JobId::new(longshore_domain::Timestamp::from_millis(1), 1);
        let called = Called { id: read_id("IngiCg"), job: Arc::new(OnceLock::from(job)) };
        let place = Place::parse(&format!("a0f.7{}", called.suffix("session"))).unwrap();
        assert_eq!((place.call_of("session"), place.call_of("another")), (called.id.zip(Some(job)), None));
        for id in ["", ".", "a", "a.", "a.-1", "x0.1", "7", "a.1.2"] {
            assert_eq!(Place::parse(id), None, "{id}");
        }
    }

    #[tokio::test]
    async fn whoever_opens_many_ends_its_own_and_no_other() {
        let streams = Streams::default();
        let first = streams.begin(&"modest".into(), mpsc::channel(1).1, standing());
        let greedy = "greedy".into();
        let many: Vec<Reader> =
            (0..STREAMS_MAX + 5).map(|_| streams.begin(&greedy, mpsc::channel(1).1, standing())).collect();
        assert!(!first.log.lock().ended);
        assert!(many[0].log.lock().ended && !many[STREAMS_MAX].log.lock().ended);
    }

    #[tokio::test]
    async fn the_oldest_that_nobody_reads_gives_way_to_its_caller() {
        let (streams, rooms) = (Streams::default(), Rooms::new(3));
        let begin = |caller| streams.begin(&"session".into(), mpsc::channel(1).1, standing_of(&rooms, caller));
        let other = begin("other");
        let mine = [begin("mine"), begin("mine"), begin("mine")];
        let logs: Vec<Arc<Log>> = mine.iter().chain([&other]).map(|reader| Arc::clone(&reader.log)).collect();
        let ended = || logs.iter().map(|log| log.lock().ended).collect::<Vec<_>>();
        streams.give_way(&Principal::agent("mine"));
        assert_eq!(ended(), [false; 4], "all are read");
        let [first, second, third] = mine;
        drop((other, second));
        streams.give_way(&Principal::agent("mine"));
        assert_eq!(ended(), [false, true, false, false]);
        drop((third, first));
        streams.give_way(&Principal::agent("mine"));
        assert_eq!(ended(), [true, true, false, false]);
        assert!(rooms.enter(&Principal::agent("mine")).is_some());
    }
}
