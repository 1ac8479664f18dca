//! The port's verbs, each handed to the writer or to a reader.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::access::Principal;
use longshore_domain::id::{EventSeq, JobId, JobNumber, NodeId};
use longshore_domain::job::{Event, EventRecord, Job, JobSpec, Question};
use longshore_domain::node::{NewNode, NodeRecord};
use longshore_domain::position::Position;
use longshore_domain::store::{
    Change, Claim, ClaimedJob, Counts, Document, HeldAttempt, IdempotencyKey, JobFilter, NewDocument, NewJob, Notice,
    OldJobs, QuestionFilter, Queue, Store, StoreError, StoreFacts, Submitted, Unannounced,
};
use longshore_domain::time::Timestamp;

use super::claim::claim;
use super::submit::submit;
use super::{SqliteStore, announced, desk, documents, list, migrations, nodes, queries, questions, record, retention};
use crate::draft::{Draft, same_body, unpack};

/// What [`Store::changed`] gives.
const ONLY_MARK: u64 = 1;

#[async_trait]
impl Store for SqliteStore {
    async fn submit(
        &self,
        job: NewJob,
        room: Option<Claim>,
        now: Timestamp,
    ) -> Result<(Submitted, Vec<ClaimedJob>), StoreError> {
        const OPERATION: &str = "submit a job";
        let draft =
            Draft::new(job).map_err(|error| StoreError::Failed { operation: OPERATION, source: Box::new(error) })?;
        let work = move |desk: &mut desk::Desk<'_>| {
            let submitted = match submit(desk, draft, now)? {
                Ok(submitted) => submitted,
                Err(refused) => return Ok(Err(refused)),
            };
            let taken = room.map(|room| claim(desk, room, now)).transpose()?;
            Ok(Ok((submitted, taken.unwrap_or_default())))
        };
        let (submitted, taken) = self.doors()?.writer.call(OPERATION, work).await??;
        Ok((submitted, unpack(taken)))
    }

    async fn claim(&self, room: Claim, now: Timestamp) -> Result<Vec<ClaimedJob>, StoreError> {
        let taken = self.doors()?.writer.call("claim jobs", move |desk| claim(desk, room, now)).await?;
        Ok(unpack(taken))
    }

    async fn record(
        &self,
        job: JobId,
        event: Event,
        room: Option<Claim>,
        now: Timestamp,
    ) -> (Result<Change, StoreError>, Vec<ClaimedJob>) {
        let work = move |desk: &mut desk::Desk<'_>| {
            let change = record::record(desk, job, event, now)?;
            let taken = room.map(|room| claim(desk, room, now)).transpose()?;
            Ok((change, taken.unwrap_or_default()))
        };
        let doors = match self.doors() {
            Ok(doors) => doors,
            Err(closed) => return (Err(closed), vec![]),
        };
        match doors.writer.call("record an event", work).await {
            Ok((change, taken)) => (change, unpack(taken)),
            Err(error) => (Err(error), vec![]),
        }
    }

    async fn renew(&self, holder: NodeId, lease: Duration, now: Timestamp) -> Result<Vec<HeldAttempt>, StoreError> {
        self.doors()?.writer.call("renew leases", move |desk| record::renew(desk, holder, lease, now)).await
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError> {
        let query = move |connection: &mut rusqlite::Connection| queries::expired(connection, now, limit);
        self.doors()?.readers.call("list expired leases", query).await
    }

    async fn next_expiry(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let next = self.doors()?.readers.call("read the next expiry", |reader| queries::next_expiry(reader)).await?;
        Ok(next.map(|at| at.since(now)))
    }

    async fn promote_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.doors()?.writer.call("queue due jobs", move |desk| record::promote_due(desk, now, limit)).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let next = self.doors()?.readers.row("read the next due job", queries::next_due).await?;
        Ok(next.map(|at| at.since(now)))
    }

    async fn settle(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.doors()?.writer.call("tell dependents", move |desk| record::settle(desk, now, limit)).await
    }

    async fn expire_questions(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.doors()?.writer.call("let questions run out", move |desk| questions::expire(desk, now, limit)).await
    }

    async fn next_question_deadline(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        let next = self.doors()?.readers.row("read the next deadline of a question", questions::next_deadline).await?;
        Ok(next.map(|at| at.since(now)))
    }

    async fn questions(&self, job: JobId) -> Result<Vec<Question>, StoreError> {
        self.doors()?.readers.row("read the questions of a job", |connection| questions::of_job(connection, job)).await
    }

    async fn open_questions(&self, filter: QuestionFilter, limit: usize) -> Result<Vec<Question>, StoreError> {
        let query = move |connection: &mut rusqlite::Connection| questions::open(connection, &filter, limit);
        self.doors()?.readers.call("list open questions", query).await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let read = |connection: &rusqlite::Connection, id: &JobId| desk::read_by_id(connection, *id);
        self.doors()?.readers.shelved(|shelves| &shelves.jobs, id, "read a job", read).await
    }

    async fn job_by_number(&self, number: JobNumber) -> Result<Option<Job>, StoreError> {
        self.doors()?.readers.row("read a job", |connection| desk::read_by_number(connection, number)).await
    }

    async fn job_by_key(&self, principal: &Principal, key: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        let look_up = |connection: &rusqlite::Connection| queries::keyed(connection, principal, key);
        same_body(self.doors()?.readers.row("read a key", look_up).await?)
    }

    async fn spec(&self, id: JobId) -> Result<Option<JobSpec>, StoreError> {
        self.doors()?.readers.row("read a spec", |connection| queries::spec(connection, id)).await
    }

    async fn jobs(&self, filter: JobFilter, limit: usize) -> Result<Vec<Job>, StoreError> {
        self.doors()?.readers.call("list jobs", move |connection| list::jobs(connection, &filter, limit)).await
    }

    async fn announce(&self, notice: Notice) -> Result<Unannounced, StoreError> {
        let doors = self.doors()?;
        match notice.peek {
            true => doors.readers.call("read unannounced ends", move |reader| announced::read(reader, &notice)).await,
            false => doors.writer.call("announce ends", move |desk| announced::announce(desk, &notice)).await,
        }
    }

    async fn live_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.doors()?.readers.call("list live jobs", |connection| queries::live_jobs(connection)).await
    }

    async fn position(&self, id: JobId) -> Result<Option<Position>, StoreError> {
        let read = |connection: &rusqlite::Connection, id: &JobId| queries::position(connection, *id);
        self.doors()?.readers.hint(|shelves| &shelves.positions, id, "read a position", read)
    }

    async fn events(&self, after: EventSeq, job: Option<JobId>, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let query = move |connection: &mut rusqlite::Connection| queries::events(connection, after, job, limit);
        self.doors()?.readers.call("read events", query).await
    }

    async fn last_event(&self) -> Result<EventSeq, StoreError> {
        self.doors()?.readers.row("read the newest event", queries::last_event).await
    }

    async fn samples(&self, likeness: u64) -> Result<Vec<Duration>, StoreError> {
        let read = |connection: &rusqlite::Connection, likeness: &u64| queries::samples(connection, *likeness);
        self.doors()?.readers.hint(|shelves| &shelves.samples, likeness, "read samples", read)
    }

    async fn forget_samples(&self, age: Duration, limit: usize, now: Timestamp) -> Result<usize, StoreError> {
        let work = move |desk: &mut desk::Desk<'_>| retention::forget_samples(desk, age, limit, now);
        self.doors()?.writer.call("forget durations", work).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.doors()?.readers.call("count jobs", queries::counts).await
    }

    async fn queues(&self) -> Result<Vec<Queue>, StoreError> {
        self.doors()?.readers.call("list queues", |connection| queries::queues(connection)).await
    }

    async fn set_queue(&self, queue: Queue) -> Result<(), StoreError> {
        self.doors()?.writer.call("set a queue", move |desk| record::set_queue(desk, queue)).await
    }

    async fn pin(&self, id: JobId, pinned: bool) -> Result<Job, StoreError> {
        self.doors()?.writer.call("pin a job", move |desk| retention::pin(desk, id, pinned)).await?
    }

    async fn old_jobs(&self, query: OldJobs, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError> {
        let query = move |connection: &mut rusqlite::Connection| queries::old_jobs(connection, query, now, limit);
        self.doors()?.readers.call("list old jobs", query).await
    }

    async fn output_expired(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError> {
        let work = move |desk: &mut desk::Desk<'_>| retention::output_expired(desk, &jobs);
        self.doors()?.writer.call("note removed output", work).await
    }

    async fn remove(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError> {
        self.doors()?.writer.call("remove jobs", move |desk| retention::remove(desk, &jobs)).await
    }

    async fn join(&self, new: NewNode, lease: Duration, now: Timestamp) -> Result<NodeRecord, StoreError> {
        self.doors()?.writer.call("enter a node", move |desk| nodes::join(desk, &new, lease, now)).await?
    }

    async fn beat(
        &self,
        node: NodeId,
        incarnation: String,
        lease: Duration,
        now: Timestamp,
    ) -> Result<NodeRecord, StoreError> {
        let work = move |desk: &mut desk::Desk<'_>| nodes::beat(desk, node, &incarnation, lease, now);
        self.doors()?.writer.call("note that a node is there", work).await?
    }

    async fn leave(&self, node: NodeId, incarnation: String) -> Result<(), StoreError> {
        self.doors()?.writer.call("strike a node off", move |desk| nodes::leave(desk, node, &incarnation)).await
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeRecord>, StoreError> {
        self.doors()?.readers.call("list nodes", move |connection| nodes::all(connection, now)).await
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError> {
        let work = move |desk: &mut desk::Desk<'_>| nodes::set_draining(desk, node, draining);
        self.doors()?.writer.call("have a node drain", work).await?
    }

    async fn secret(&self, name: String, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.doors()?.writer.call("read a secret", move |desk| nodes::secret(desk, &name, &fresh)).await
    }

    async fn document(&self, name: String) -> Result<Option<Document>, StoreError> {
        self.doors()?.readers.row("read a document", move |connection| documents::read(connection, &name)).await
    }

    async fn write_document(&self, new: NewDocument, now: Timestamp) -> Result<bool, StoreError> {
        self.doors()?.writer.call("write a document", move |desk| documents::write(desk, &new, now)).await
    }

    async fn changed(&self, seen: u64) -> Result<u64, StoreError> {
        self.doors()?;
        if seen != ONLY_MARK {
            return Ok(ONLY_MARK);
        }
        // The file has one owner: until the store is shut nobody else changes anything.
        drop(self.ended.clone().wait_for(|ended| *ended).await);
        Err(StoreError::Closed)
    }

    async fn facts(&self) -> Result<StoreFacts, StoreError> {
        self.doors()?;
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let size = |path: &std::path::Path| std::fs::metadata(path).ok().map(|metadata| metadata.len());
        Ok(StoreFacts {
            engine: format!("SQLite {}", rusqlite::version()),
            location: self.path.display().to_string(),
            schema: migrations::SCHEMA_NEWEST,
            durability: format!("wal, durability={}", self.durability.as_str()),
            bytes: size(&self.path).map(|bytes| bytes + size(log.as_ref()).unwrap_or(0)),
        })
    }

    async fn close(&self) {
        drop(self.doors.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        // The other end only goes away after it has told.
        drop(ended.wait_for(|ended| *ended).await);
    }
}
