//! The port's verbs, each handed to the writers or done over a connection of the pool.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
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

use super::batch::{Answer, Ask, Done, Request};
use super::{Doors, PostgresStore, announced, documents, list, nodes, queries, questions, record, retention};
use crate::draft::{Draft, same_body, unpack};

#[async_trait]
impl Store for PostgresStore {
    async fn submit(
        &self,
        job: NewJob,
        room: Option<Claim>,
        now: Timestamp,
    ) -> Result<(Submitted, Vec<ClaimedJob>), StoreError> {
        let draft = Draft::new(job)
            .map_err(|error| StoreError::Failed { operation: "submit a job", source: Box::new(error) })?;
        let answer = self.ask(Ask::Submit(Box::new(draft)), room, now).await?;
        match answer.done {
            Done::Submitted(submitted) => Ok((submitted?, unpack(answer.taken))),
            _ => Err(StoreError::Closed),
        }
    }

    async fn claim(&self, room: Claim, now: Timestamp) -> Result<Vec<ClaimedJob>, StoreError> {
        Ok(unpack(self.ask(Ask::Claim, Some(room), now).await?.taken))
    }

    async fn record(
        &self,
        job: JobId,
        event: Event,
        room: Option<Claim>,
        now: Timestamp,
    ) -> (Result<Change, StoreError>, Vec<ClaimedJob>) {
        match self.ask(Ask::Record { job, event: Box::new(event) }, room, now).await {
            Ok(Answer { done: Done::Recorded(change), taken }) => (change, unpack(taken)),
            Ok(_) => (Err(StoreError::Closed), vec![]),
            Err(error) => (Err(error), vec![]),
        }
    }

    async fn renew(&self, holder: NodeId, lease: Duration, now: Timestamp) -> Result<Vec<HeldAttempt>, StoreError> {
        let upkeep = self.doors()?.upkeep;
        upkeep.transact("renew leases", |node, turn| record::renew(node, turn, holder, lease, now).boxed()).await
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        let said = pool.node.clock.said(now);
        pool.read("list expired leases", |session| queries::expired(session, said, limit).boxed()).await
    }

    async fn next_expiry(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        self.until("read the next expiry", queries::next_expiry_sql(), now).await
    }

    async fn promote_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        pool.transact("queue due jobs", |node, turn| record::promote_due(node, turn, now, limit).boxed()).await
    }

    async fn next_due(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        self.until("read the next due job", queries::next_due_sql(), now).await
    }

    async fn settle(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        let pool = self.doors()?.pool;
        let mut told = vec![];
        while told.len() < limit {
            let room = rows_max(limit - told.len());
            let round =
                pool.transact("tell dependents", |node, turn| record::settle(node, turn, now, room).boxed()).await;
            match round {
                Ok(round) if round.nobody => break,
                Ok(round) => told.extend(round.changes),
                // What was told before is durable, and the rest can still be told later.
                Err(error) if !told.is_empty() => {
                    tracing::warn!(%error, "dependents are told later");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(told)
    }

    async fn expire_questions(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        pool.transact("let questions run out", |node, turn| questions::expire(node, turn, now, limit).boxed()).await
    }

    async fn next_question_deadline(&self, now: Timestamp) -> Result<Option<Duration>, StoreError> {
        self.until("read the next deadline of a question", queries::next_deadline_sql(), now).await
    }

    async fn questions(&self, job: JobId) -> Result<Vec<Question>, StoreError> {
        let pool = self.doors()?.pool;
        pool.read("read the questions of a job", |session| questions::of_job(session, job).boxed()).await
    }

    async fn open_questions(&self, filter: QuestionFilter, limit: usize) -> Result<Vec<Question>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        let filter = &filter;
        pool.read("list open questions", move |session| {
            let filter = filter.clone();
            async move { questions::open(session, &filter, limit).await }.boxed()
        })
        .await
    }

    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.doors()?.pool.read("read a job", |session| queries::job(session, id).boxed()).await
    }

    async fn job_by_number(&self, number: JobNumber) -> Result<Option<Job>, StoreError> {
        self.doors()?.pool.read("read a job", |session| queries::job_by_number(session, number).boxed()).await
    }

    async fn job_by_key(&self, principal: &Principal, key: &IdempotencyKey) -> Result<Option<Job>, StoreError> {
        let pool = self.doors()?.pool;
        let keyed = pool.read("read a key", |session| {
            let (principal, key) = (principal.clone(), key.clone());
            async move { queries::keyed(session, &principal, &key).await }.boxed()
        });
        same_body(keyed.await?)
    }

    async fn spec(&self, id: JobId) -> Result<Option<JobSpec>, StoreError> {
        self.doors()?.pool.read("read a spec", |session| queries::spec(session, id).boxed()).await
    }

    async fn jobs(&self, filter: JobFilter, limit: usize) -> Result<Vec<Job>, StoreError> {
        let pool = self.doors()?.pool;
        let filter = &filter;
        pool.read("list jobs", move |session| {
            let filter = filter.clone();
            async move { list::jobs(session, &filter, limit).await }.boxed()
        })
        .await
    }

    async fn announce(&self, notice: Notice) -> Result<Unannounced, StoreError> {
        let pool = self.doors()?.pool;
        let (notice, peek) = (&notice, notice.peek);
        let found = pool
            .read("read unannounced ends", move |session| {
                let notice = notice.clone();
                async move { announced::read(session, &notice).await }.boxed()
            })
            .await?;
        // Mostly there is nothing new, and nothing to write.
        if peek || found.newest.is_none() {
            return Ok(found.ends);
        }
        pool.transact("announce ends", move |node, turn| {
            let notice = notice.clone();
            async move { announced::announce(node, turn, &notice).await }.boxed()
        })
        .await
    }

    async fn live_jobs(&self) -> Result<Vec<Job>, StoreError> {
        self.doors()?.pool.read("list live jobs", |session| queries::live_jobs(session).boxed()).await
    }

    async fn position(&self, id: JobId) -> Result<Option<Position>, StoreError> {
        self.doors()?.pool.read("read a position", |session| queries::position(session, id).boxed()).await
    }

    async fn events(&self, after: EventSeq, job: Option<JobId>, limit: usize) -> Result<Vec<EventRecord>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        pool.read("read events", |session| queries::events(session, after, job, limit).boxed()).await
    }

    async fn last_event(&self) -> Result<EventSeq, StoreError> {
        self.doors()?.pool.read("read the newest event", |session| queries::last_event(session).boxed()).await
    }

    async fn samples(&self, likeness: u64) -> Result<Vec<Duration>, StoreError> {
        self.doors()?.pool.read("read samples", |session| queries::samples(session, likeness).boxed()).await
    }

    async fn forget_samples(&self, age: Duration, limit: usize, now: Timestamp) -> Result<usize, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        pool.transact("forget durations", |node, turn| retention::forget_samples(node, turn, age, limit, now).boxed())
            .await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.doors()?.pool.read("count jobs", |session| queries::counts(session).boxed()).await
    }

    async fn queues(&self) -> Result<Vec<Queue>, StoreError> {
        self.doors()?.pool.read("list queues", |session| queries::queues(session).boxed()).await
    }

    async fn set_queue(&self, queue: Queue) -> Result<(), StoreError> {
        let pool = self.doors()?.pool;
        let queue = &queue;
        pool.transact("set a queue", move |node, turn| {
            let queue = queue.clone();
            async move { record::set_queue(node, turn, &queue).await }.boxed()
        })
        .await
    }

    async fn pin(&self, id: JobId, pinned: bool) -> Result<Job, StoreError> {
        let pool = self.doors()?.pool;
        pool.transact("pin a job", |node, turn| retention::pin(node, turn, id, pinned).boxed()).await?
    }

    async fn old_jobs(&self, query: OldJobs, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError> {
        let (pool, limit) = (self.doors()?.pool, rows_max(limit));
        let said = pool.node.clock.said(now);
        pool.read("list old jobs", |session| queries::ended(session, query, said, limit).boxed()).await
    }

    async fn output_expired(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError> {
        let pool = self.doors()?.pool;
        let jobs = &jobs;
        pool.transact("note removed output", move |node, turn| {
            let jobs = jobs.clone();
            async move { retention::output_expired(node, turn, &jobs).await }.boxed()
        })
        .await
    }

    async fn remove(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError> {
        let pool = self.doors()?.pool;
        let jobs = &jobs;
        pool.transact("remove jobs", move |node, turn| {
            let jobs = jobs.clone();
            async move { retention::remove(node, turn, &jobs).await }.boxed()
        })
        .await
    }

    async fn join(&self, new: NewNode, lease: Duration, now: Timestamp) -> Result<NodeRecord, StoreError> {
        let (pool, new) = (self.doors()?.pool, &new);
        pool.transact("enter a node", move |node, turn| {
            let new = new.clone();
            async move { nodes::join(node, turn, &new, lease, now).await }.boxed()
        })
        .await?
    }

    async fn beat(
        &self,
        id: NodeId,
        incarnation: String,
        lease: Duration,
        now: Timestamp,
    ) -> Result<NodeRecord, StoreError> {
        let (upkeep, incarnation) = (self.doors()?.upkeep, &incarnation);
        upkeep
            .transact("note that a node is there", move |node, turn| {
                let incarnation = incarnation.clone();
                async move { nodes::beat(node, turn, id, &incarnation, lease, now).await }.boxed()
            })
            .await?
    }

    async fn leave(&self, id: NodeId, incarnation: String) -> Result<(), StoreError> {
        let (pool, incarnation) = (self.doors()?.pool, &incarnation);
        pool.transact("strike a node off", move |node, turn| {
            let incarnation = incarnation.clone();
            async move { nodes::leave(node, turn, id, &incarnation).await }.boxed()
        })
        .await
    }

    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeRecord>, StoreError> {
        let pool = self.doors()?.pool;
        let said = pool.node.clock.said(now);
        pool.read("list nodes", |session| nodes::all(session, said).boxed()).await
    }

    async fn set_draining(&self, id: NodeId, draining: bool) -> Result<(), StoreError> {
        let pool = self.doors()?.pool;
        pool.transact("have a node drain", |node, turn| nodes::set_draining(node, turn, id, draining).boxed()).await?
    }

    async fn secret(&self, name: String, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let (pool, name) = (self.doors()?.pool, &name);
        pool.transact("read a secret", move |node, turn| {
            let name = name.clone();
            async move { nodes::secret(node, turn, &name, &fresh).await }.boxed()
        })
        .await
    }

    async fn document(&self, name: String) -> Result<Option<Document>, StoreError> {
        let (pool, name) = (self.doors()?.pool, &name);
        pool.read("read a document", move |session| {
            let name = name.clone();
            async move { documents::read(session, &name).await }.boxed()
        })
        .await
    }

    async fn write_document(&self, new: NewDocument, now: Timestamp) -> Result<bool, StoreError> {
        let (pool, new) = (self.doors()?.pool, &new);
        pool.transact("write a document", move |node, turn| {
            let new = new.clone();
            async move { documents::write(node, turn, &new, now).await }.boxed()
        })
        .await
    }

    async fn changed(&self, seen: u64) -> Result<u64, StoreError> {
        self.doors()?;
        let mut mark = self.mark.clone();
        let moved = mark.wait_for(|mark| *mark != seen).await;
        moved.map(|mark| *mark).map_err(|_| StoreError::Closed)
    }

    async fn facts(&self) -> Result<StoreFacts, StoreError> {
        let pool = self.doors()?.pool;
        let node = &pool.node;
        pool.read("describe the store", move |session| {
            let node = std::sync::Arc::clone(node);
            async move { queries::facts(session, &node.connector).await }.boxed()
        })
        .await
    }

    async fn close(&self) {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Doors { writers, pool, upkeep, _alive }) = doors {
            drop((writers, _alive));
            pool.shut().await;
            upkeep.shut().await;
        }
        let mut ended = self.ended.clone();
        // Nothing is ever sent: it only ends.
        drop(ended.changed().await);
    }
}

impl PostgresStore {
    async fn ask(&self, ask: Ask, room: Option<Claim>, now: Timestamp) -> Result<Answer, StoreError> {
        // The writers end with the last of these handles: none is kept while waiting.
        let writers = self.doors()?.writers;
        writers.call(Request { ask, room, now }).await
    }

    /// How long it is until the instant that `sql` reads, beside the clock.
    pub(super) async fn until(
        &self,
        operation: &'static str,
        sql: String,
        now: Timestamp,
    ) -> Result<Option<Duration>, StoreError> {
        let pool = self.doors()?.pool;
        let (sql, said) = (&sql, pool.node.clock.said(now));
        pool.read(operation, move |session| {
            let sql = sql.clone();
            async move { queries::until(session, &sql, said).await }.boxed()
        })
        .await
    }
}

pub(super) fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
