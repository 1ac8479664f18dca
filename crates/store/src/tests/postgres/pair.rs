//! The suite once more, over two nodes that take turns on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longshore_domain::access::Principal;
use longshore_domain::artifact::{Artifact, Digest};
use longshore_domain::id::{EventSeq, JobId, JobNumber, NodeId, ScheduleId};
use longshore_domain::job::{Event, EventRecord, Job, JobSpec, Question};
use longshore_domain::node::{NewNode, NodeRecord};
use longshore_domain::position::Position;
use longshore_domain::schedule::Schedule;
use longshore_domain::store::{
    Ages, ArtifactRecords, Change, Claim, ClaimedJob, Counts, Document, Fire, Fired, HeldAttempt, IdempotencyKey,
    JobFilter, Keep, NewDocument, NewJob, Notice, OldJobs, QuestionFilter, Queue, ScheduleRecords, Store, StoreError,
    StoreFacts, Submitted, Unannounced,
};
use longshore_domain::time::Timestamp;

use super::Schema;
use crate::PostgresStore;
use crate::conformance::Place;

crate::conformance!(Pair(Schema::new()));

struct Pair(Schema);

#[async_trait]
impl Place for Pair {
    async fn open(&self) -> Arc<dyn Store> {
        let nodes = [self.0.store().await, self.0.store().await];
        Arc::new(Turns { nodes, next: AtomicUsize::new(0) })
    }

    fn another(&self) -> Box<dyn Place> {
        Box::new(Self(Schema::new()))
    }
}

/// Two nodes of which each verb takes the next.
struct Turns {
    nodes: [PostgresStore; 2],
    next: AtomicUsize,
}

impl Turns {
    fn node(&self) -> &PostgresStore {
        &self.nodes[self.next.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

type Answer<T> = Result<T, StoreError>;

#[async_trait]
impl ArtifactRecords for Turns {
    async fn artifacts(&self, job: JobId) -> Answer<Vec<Artifact>> {
        self.node().artifacts(job).await
    }

    async fn newest_collection(&self) -> Answer<u64> {
        self.node().newest_collection().await
    }

    async fn keep(&self, job: JobId, keep: Keep) -> Answer<Vec<Digest>> {
        self.node().keep(job, keep).await
    }

    async fn unneeded(&self, objects: Vec<Digest>, ages: Ages, now: Timestamp) -> Answer<Vec<Digest>> {
        self.node().unneeded(objects, ages, now).await
    }

    async fn collect(&self, objects: Vec<Digest>, now: Timestamp) -> Answer<Vec<Digest>> {
        self.node().collect(objects, now).await
    }

    async fn collected(&self, objects: Vec<Digest>, now: Timestamp) -> Answer<()> {
        self.node().collected(objects, now).await
    }

    async fn take_over_collections(&self, age: Duration, limit: usize, now: Timestamp) -> Answer<Vec<Digest>> {
        self.node().take_over_collections(age, limit, now).await
    }
}

#[async_trait]
impl ScheduleRecords for Turns {
    async fn schedules(&self) -> Answer<Vec<Schedule>> {
        self.node().schedules().await
    }

    async fn write_schedule(&self, schedule: Schedule) -> Answer<bool> {
        self.node().write_schedule(schedule).await
    }

    async fn remove_schedule(&self, id: ScheduleId) -> Answer<bool> {
        self.node().remove_schedule(id).await
    }

    async fn due_schedules(&self, now: Timestamp, limit: usize) -> Answer<Vec<Schedule>> {
        self.node().due_schedules(now, limit).await
    }

    async fn next_firing(&self, now: Timestamp) -> Answer<Option<Duration>> {
        self.node().next_firing(now).await
    }

    async fn fire(&self, fire: Fire, now: Timestamp) -> Answer<Fired> {
        self.node().fire(fire, now).await
    }

    async fn present(&self, now: Timestamp) -> Answer<Timestamp> {
        self.node().present(now).await
    }
}

#[async_trait]
impl Store for Turns {
    async fn submit(&self, job: NewJob, claim: Option<Claim>, now: Timestamp) -> Answer<(Submitted, Vec<ClaimedJob>)> {
        self.node().submit(job, claim, now).await
    }

    async fn claim(&self, claim: Claim, now: Timestamp) -> Answer<Vec<ClaimedJob>> {
        self.node().claim(claim, now).await
    }

    async fn record(
        &self,
        job: JobId,
        event: Event,
        claim: Option<Claim>,
        now: Timestamp,
    ) -> (Answer<Change>, Vec<ClaimedJob>) {
        self.node().record(job, event, claim, now).await
    }

    async fn renew(&self, holder: NodeId, lease: Duration, now: Timestamp) -> Answer<Vec<HeldAttempt>> {
        self.node().renew(holder, lease, now).await
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Answer<Vec<Job>> {
        self.node().expired(now, limit).await
    }

    async fn next_expiry(&self, now: Timestamp) -> Answer<Option<Duration>> {
        self.node().next_expiry(now).await
    }

    async fn promote_due(&self, now: Timestamp, limit: usize) -> Answer<Vec<Change>> {
        self.node().promote_due(now, limit).await
    }

    async fn next_due(&self, now: Timestamp) -> Answer<Option<Duration>> {
        self.node().next_due(now).await
    }

    async fn settle(&self, now: Timestamp, limit: usize) -> Answer<Vec<Change>> {
        self.node().settle(now, limit).await
    }

    async fn expire_questions(&self, now: Timestamp, limit: usize) -> Answer<Vec<Change>> {
        self.node().expire_questions(now, limit).await
    }

    async fn next_question_deadline(&self, now: Timestamp) -> Answer<Option<Duration>> {
        self.node().next_question_deadline(now).await
    }

    async fn questions(&self, job: JobId) -> Answer<Vec<Question>> {
        self.node().questions(job).await
    }

    async fn open_questions(&self, filter: QuestionFilter, limit: usize) -> Answer<Vec<Question>> {
        self.node().open_questions(filter, limit).await
    }

    async fn job(&self, id: JobId) -> Answer<Option<Job>> {
        self.node().job(id).await
    }

    async fn job_by_number(&self, number: JobNumber) -> Answer<Option<Job>> {
        self.node().job_by_number(number).await
    }

    async fn job_by_key(&self, principal: &Principal, key: &IdempotencyKey) -> Answer<Option<Job>> {
        self.node().job_by_key(principal, key).await
    }

    async fn spec(&self, id: JobId) -> Answer<Option<JobSpec>> {
        self.node().spec(id).await
    }

    async fn jobs(&self, filter: JobFilter, limit: usize) -> Answer<Vec<Job>> {
        self.node().jobs(filter, limit).await
    }

    async fn announce(&self, notice: Notice) -> Answer<Unannounced> {
        self.node().announce(notice).await
    }

    async fn live_jobs(&self) -> Answer<Vec<Job>> {
        self.node().live_jobs().await
    }

    async fn position(&self, id: JobId) -> Answer<Option<Position>> {
        self.node().position(id).await
    }

    async fn events(&self, after: EventSeq, job: Option<JobId>, limit: usize) -> Answer<Vec<EventRecord>> {
        self.node().events(after, job, limit).await
    }

    async fn last_event(&self) -> Answer<EventSeq> {
        self.node().last_event().await
    }

    async fn samples(&self, likeness: u64) -> Answer<Vec<Duration>> {
        self.node().samples(likeness).await
    }

    async fn forget_samples(&self, age: Duration, limit: usize, now: Timestamp) -> Answer<usize> {
        self.node().forget_samples(age, limit, now).await
    }

    async fn counts(&self) -> Answer<Counts> {
        self.node().counts().await
    }

    async fn queues(&self) -> Answer<Vec<Queue>> {
        self.node().queues().await
    }

    async fn set_queue(&self, queue: Queue) -> Answer<()> {
        self.node().set_queue(queue).await
    }

    async fn pin(&self, id: JobId, pinned: bool) -> Answer<Job> {
        self.node().pin(id, pinned).await
    }

    async fn old_jobs(&self, query: OldJobs, now: Timestamp, limit: usize) -> Answer<Vec<Job>> {
        self.node().old_jobs(query, now, limit).await
    }

    async fn output_expired(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>> {
        self.node().output_expired(jobs).await
    }

    async fn remove(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>> {
        self.node().remove(jobs).await
    }

    async fn join(&self, node: NewNode, lease: Duration, now: Timestamp) -> Answer<NodeRecord> {
        self.node().join(node, lease, now).await
    }

    async fn beat(&self, node: NodeId, incarnation: String, lease: Duration, now: Timestamp) -> Answer<NodeRecord> {
        self.node().beat(node, incarnation, lease, now).await
    }

    async fn leave(&self, node: NodeId, incarnation: String) -> Answer<()> {
        self.node().leave(node, incarnation).await
    }

    async fn nodes(&self, now: Timestamp) -> Answer<Vec<NodeRecord>> {
        self.node().nodes(now).await
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Answer<()> {
        self.node().set_draining(node, draining).await
    }

    async fn secret(&self, name: String, fresh: [u8; 32]) -> Answer<[u8; 32]> {
        self.node().secret(name, fresh).await
    }

    async fn document(&self, name: String) -> Answer<Option<Document>> {
        self.node().document(name).await
    }

    async fn write_document(&self, new: NewDocument, now: Timestamp) -> Answer<bool> {
        self.node().write_document(new, now).await
    }

    async fn changed(&self, seen: u64) -> Answer<u64> {
        self.nodes[0].changed(seen).await
    }

    async fn facts(&self) -> Answer<StoreFacts> {
        self.node().facts().await
    }

    async fn close(&self) {
        self.nodes[0].close().await;
        self.nodes[1].close().await;
    }
}
