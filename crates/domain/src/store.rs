//! The storage port: what the engine asks of a store, in the words of the domain.
//!
//! Every verb that writes is one transaction that is durable before the future resolves. A job's row changes only
//! by [`apply`](crate::job::apply), and its event is written in the same transaction. Dropping a future does not
//! undo a write that the store has taken on: look before trying again.
//!
//! Time is the store's: one that many nodes share goes by the clock of its database, so that no node's own clock can
//! take a live lease or fire a timer early. `now` is the caller's clock, and counts where the store has none of its own.

mod artifacts;
mod error;
mod schedules;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::access::{Conversation, Principal};
use crate::id::{AttemptNumber, EventSeq, JobId, JobNumber, NodeId, Nonce, QuestionId};
use crate::job::{
    Effect, Event, EventRecord, Job, JobSpec, OutcomeStatus, Question, QueueName, RetryPolicy, StateName,
};
use crate::label::Labels;
use crate::node::{NewNode, NodeRecord};
use crate::position::Position;
use crate::time::{Timestamp, When};

pub use artifacts::{Ages, ArtifactRecords, Keep};
pub use error::{BoxedError, StoreError};
pub use schedules::{Fire, Fired, ScheduleRecords};

/// A job to be accepted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its name to everybody.
    pub id: JobId,
    /// Who submits it.
    pub principal: Principal,
    /// The chat it belongs to.
    pub conversation: Option<Conversation>,
    /// Name given by the submitter.
    pub name: Option<String>,
    /// What it would do.
    pub spec: JobSpec,
    /// The line it stands in.
    pub queue: QueueName,
    /// Labels that the node must have that runs it.
    pub requires: Labels,
    /// Higher runs first.
    pub priority: i16,
    /// When another attempt may follow a failed one.
    pub retry: RetryPolicy,
    /// Not before this instant, or not until so long after it was accepted.
    pub not_before: Option<When>,
    /// Jobs that must succeed first.
    pub after: Vec<JobId>,
    /// One job per intent.
    pub key: Option<IdempotencyKey>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
}

impl NewJob {
    /// A job without anything special: in the usual queue, ready at once, run once by whoever takes it.
    pub fn new(id: JobId, principal: Principal, spec: JobSpec) -> Self {
        Self {
            id,
            principal,
            conversation: None,
            name: None,
            spec,
            queue: QueueName::default(),
            requires: Labels::default(),
            priority: 0,
            retry: RetryPolicy::default(),
            not_before: None,
            after: vec![],
            key: None,
            retry_of: None,
        }
    }
}

/// One job per intent: the same key of principals of one name gives the same job, whatever their class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The caller's key, 1 to 255 bytes.
    pub key: String,
    /// Digest of everything the caller asked for; another digest under the same key is a conflict.
    pub digest: [u8; 32],
}

/// What became of a submitted job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The job as it stands.
    pub job: Job,
    /// It had been accepted before, under the same key.
    pub existing: bool,
}

/// Room for more attempts. Ready jobs are taken by priority; among those of equal priority one of the queue that has the
/// fewest running, so that no long line keeps another waiting; then by age. A draining holder takes none.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who takes them.
    pub holder: NodeId,
    /// What the holder has: only jobs that require nothing else are taken.
    pub labels: Labels,
    /// The boot of the holder's machine.
    pub boot: String,
    /// How long the new leases last.
    pub lease: Duration,
    /// A secret for each attempt; their number is the most that is taken.
    pub nonces: Vec<Nonce>,
}

/// A job taken for a new attempt, with what it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    /// The job, in state `claimed`.
    pub job: Job,
    /// What to run.
    pub spec: JobSpec,
}

/// An attempt that somebody holds the lease of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HeldAttempt {
    /// The job.
    pub job: JobId,
    /// The attempt, which is the token of the lease.
    pub attempt: AttemptNumber,
}

/// A change that is durable: the job after it, and what is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The job after the change.
    pub job: Job,
    /// Position of the change in the history; a renewal leaves no line there and has the newest one's.
    pub seq: EventSeq,
    /// What is to be done, by whoever runs this process. [`Effect::Settle`] only if other jobs wait for this one.
    pub effects: Vec<Effect>,
}

/// What a list shows. Absent = not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Jobs of principals of this name only.
    pub owner: Option<String>,
    /// Jobs of this chat only.
    pub conversation: Option<Conversation>,
    /// Jobs in one of these states; empty = any.
    pub states: Vec<StateName>,
    /// Jobs that ended this way.
    pub outcome: Option<OutcomeStatus>,
    /// Jobs of this queue.
    pub queue: Option<QueueName>,
    /// Jobs whose name or title contains this text, ignoring case.
    pub text: Option<String>,
    /// Jobs older than this one (the cursor of the page before).
    pub before: Option<JobNumber>,
}

/// Which open questions are shown. Absent = not restricted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuestionFilter {
    /// Questions of jobs whose principal has this name only.
    pub owner: Option<String>,
    /// Questions asked after this one (the cursor of the page before); one that is not on record any more restricts
    /// nothing.
    pub after: Option<QuestionId>,
}

/// Asks for the ends that a chat was not told yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Jobs of principals of this name only.
    pub owner: String,
    /// Jobs of this chat only.
    pub conversation: Conversation,
    /// Ends of which the chat knows already: left out, and announced like the others.
    pub except: Vec<JobId>,
    /// Most jobs that are answered in full.
    pub limit: usize,
    /// Leave them unannounced.
    pub peek: bool,
}

/// Ends that a chat was not told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unannounced {
    /// Finished jobs, the newest end first.
    pub jobs: Vec<Job>,
    /// How many there are, with those beyond the limit.
    pub count: u64,
}

/// Which finished jobs retention looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OldJobs {
    /// They ended more than this long ago.
    pub age: Duration,
    /// They still have their output.
    pub with_output: bool,
    /// They come after the one that ended at this instant and has this number (the cursor of the page before).
    pub after: Option<(Timestamp, JobNumber)>,
}

/// A line of its own for jobs, with its own limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// Most jobs that run at once; 0 = none, the queue is paused.
    pub concurrency: u32,
}

/// How many jobs stand where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Unfinished jobs by state; states without jobs are absent.
    pub unfinished: BTreeMap<StateName, u64>,
    /// Finished jobs that are still on record.
    pub finished: u64,
}

/// Something small that is kept beside the jobs, written as a whole by whoever saw its last version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// How often it was written.
    pub version: u64,
    /// What it says.
    pub text: String,
}

/// A document to be written.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// Its name.
    pub name: String,
    /// The version that it replaces; 0 = there is none.
    pub replaces: u64,
    /// What it says from now on.
    pub text: String,
    /// It passes away this long after it was written last; never if absent.
    pub keep: Option<Duration>,
}

/// Documents that pass away of which a store keeps this many: one more makes that give way that would go first.
pub const DOCUMENTS_PASSING_MAX: u32 = 4096;

/// What a store says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFacts {
    /// Product and version, e.g. `SQLite 3.54.1`.
    pub engine: String,
    /// Where it is: a path or an address without secrets.
    pub location: String,
    /// Version of the schema.
    pub schema: u32,
    /// What a durable commit waits for, e.g. `wal, durability=full`.
    pub durability: String,
    /// Size on disk, where known.
    pub bytes: Option<u64>,
}

/// A place where jobs are kept. Two drivers fulfil it and pass one suite.
#[async_trait]
pub trait Store: ArtifactRecords + ScheduleRecords + Send + Sync + 'static {
    /// Accepts a job, or finds the one that its key already names. With `claim`, ready jobs (this one or others
    /// before it in line) are taken in the same transaction.
    ///
    /// A job whose dependencies have already failed is accepted and ends at once as blocked.
    ///
    /// # Errors
    /// [`StoreError::KeyConflict`], [`StoreError::DependencyNotFound`].
    async fn submit(
        &self,
        job: NewJob,
        claim: Option<Claim>,
        now: Timestamp,
    ) -> Result<(Submitted, Vec<ClaimedJob>), StoreError>;

    /// Takes ready jobs for new attempts, honouring the limits of their queues.
    async fn claim(&self, claim: Claim, now: Timestamp) -> Result<Vec<ClaimedJob>, StoreError>;

    /// Records what happened to a job. With `claim`, ready jobs are taken in the same transaction, also when the
    /// event is refused.
    ///
    /// The questions that the event asks or closes are written in the same transaction. Names of questions, and keys
    /// within an attempt, serve once: asking under one that was used before is refused as
    /// [`Refusal::Already`](crate::job::Refusal::Already).
    ///
    /// # Errors
    /// In the first part of the answer: [`StoreError::Refused`] with the reason, [`StoreError::JobNotFound`].
    async fn record(
        &self,
        job: JobId,
        event: Event,
        claim: Option<Claim>,
        now: Timestamp,
    ) -> (Result<Change, StoreError>, Vec<ClaimedJob>);

    /// Has every lease that `holder` still holds last at least `lease` from now on; answers with their attempts. One
    /// that it misses there it has lost.
    async fn renew(&self, holder: NodeId, lease: Duration, now: Timestamp) -> Result<Vec<HeldAttempt>, StoreError>;

    /// Up to `limit` jobs whose leases have run out, the earliest first, whoever holds them. They stay live until
    /// somebody records [`Event::Expired`]; their holders may still report or renew before that.
    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError>;

    /// How long until the next lease runs out.
    async fn next_expiry(&self, now: Timestamp) -> Result<Option<Duration>, StoreError>;

    /// Queues up to `limit` waiting jobs whose time has come.
    async fn promote_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError>;

    /// How long until the next waiting job falls due.
    async fn next_due(&self, now: Timestamp) -> Result<Option<Duration>, StoreError>;

    /// Tells up to `limit` dependents of finished jobs; call again until nothing comes back.
    async fn settle(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError>;

    /// Lets up to `limit` questions run out whose deadline has passed.
    async fn expire_questions(&self, now: Timestamp, limit: usize) -> Result<Vec<Change>, StoreError>;

    /// How long until the next deadline of an open question.
    async fn next_question_deadline(&self, now: Timestamp) -> Result<Option<Duration>, StoreError>;

    /// All questions of a job, open and closed, in the order of asking.
    async fn questions(&self, job: JobId) -> Result<Vec<Question>, StoreError>;

    /// Up to `limit` open questions of all jobs, in the order of asking.
    async fn open_questions(&self, filter: QuestionFilter, limit: usize) -> Result<Vec<Question>, StoreError>;

    /// The job of that id.
    async fn job(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// The job of that number.
    async fn job_by_number(&self, number: JobNumber) -> Result<Option<Job>, StoreError>;

    /// The job that a principal submitted with that key; to be looked up before anything else of a repeated submit fails.
    ///
    /// # Errors
    /// [`StoreError::KeyConflict`] if it was another body that was submitted with it.
    async fn job_by_key(&self, principal: &Principal, key: &IdempotencyKey) -> Result<Option<Job>, StoreError>;

    /// What the job would do.
    async fn spec(&self, id: JobId) -> Result<Option<JobSpec>, StoreError>;

    /// Up to `limit` jobs, newest first.
    async fn jobs(&self, filter: JobFilter, limit: usize) -> Result<Vec<Job>, StoreError>;

    /// The ends that a chat of one principal was not told yet. Unless `peek` is set, all ends so far count as announced
    /// to it from then on, in the same transaction: each is answered exactly once.
    async fn announce(&self, notice: Notice) -> Result<Unannounced, StoreError>;

    /// Every job that somebody holds a lease on.
    async fn live_jobs(&self) -> Result<Vec<Job>, StoreError>;

    /// How many ready jobs of its queue that require the same labels come before this one, as far as they are counted.
    async fn position(&self, id: JobId) -> Result<Option<Position>, StoreError>;

    /// Up to `limit` events after `after`, oldest first; of one job only if `job` is given.
    async fn events(&self, after: EventSeq, job: Option<JobId>, limit: usize) -> Result<Vec<EventRecord>, StoreError>;

    /// Position of the newest event.
    async fn last_event(&self) -> Result<EventSeq, StoreError>;

    /// How long the newest successes of a likeness took, at most [`SAMPLES_MAX`](crate::estimate::SAMPLES_MAX).
    async fn samples(&self, likeness: u64) -> Result<Vec<Duration>, StoreError>;

    /// Forgets how long jobs of up to `limit` likenesses took of which nothing was learned for `age`; how many these were.
    /// Likenesses of which a former schema did not say when something was learned count as learned of now, and among them.
    async fn forget_samples(&self, age: Duration, limit: usize, now: Timestamp) -> Result<usize, StoreError>;

    /// How many jobs stand where.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Every queue that a job ever stood in or that was configured.
    async fn queues(&self) -> Result<Vec<Queue>, StoreError>;

    /// Sets the limit of a queue, making it if need be.
    async fn set_queue(&self, queue: Queue) -> Result<(), StoreError>;

    /// Keeps a job from retention, or no longer.
    async fn pin(&self, id: JobId, pinned: bool) -> Result<Job, StoreError>;

    /// Up to `limit` finished jobs that are not pinned, the first to end first.
    async fn old_jobs(&self, query: OldJobs, now: Timestamp, limit: usize) -> Result<Vec<Job>, StoreError>;

    /// Notes that the output of these jobs is to go, and returns those of which it is; the artifacts that it was kept in
    /// are no longer theirs. Left alone are unfinished jobs, pinned ones, and those of which it was noted before.
    async fn output_expired(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError>;

    /// Removes finished jobs with their history, spec, questions, key and artifacts; returns which. Left alone are
    /// unfinished jobs, pinned ones, and those whose dependents have not been told yet.
    async fn remove(&self, jobs: Vec<JobId>) -> Result<Vec<JobId>, StoreError>;

    /// Waits until another process may have changed something that is kept here, and returns the mark to call again
    /// with. Begin with 0, which is answered at once: take the mark first, then look, then wait.
    ///
    /// A hint: it may come for nothing, and several changes may give one. It is never lost, but may be some seconds
    /// late. Where no other process can write it never comes.
    ///
    /// # Errors
    /// [`StoreError::Closed`] as soon as the store is shut.
    async fn changed(&self, seen: u64) -> Result<u64, StoreError>;

    /// Enters a node, or one that comes back. What it says replaces what was there; whether it drains stays as it was.
    /// It counts as alive for `lease` from now on. Nodes not heard of for [`NODE_FORGOTTEN_AFTER`] are forgotten.
    ///
    /// # Errors
    /// [`StoreError::NodeTaken`] while another incarnation of this node is alive.
    ///
    /// [`NODE_FORGOTTEN_AFTER`]: crate::node::NODE_FORGOTTEN_AFTER
    async fn join(&self, node: NewNode, lease: Duration, now: Timestamp) -> Result<NodeRecord, StoreError>;

    /// Has a node count as alive for `lease` from now on; answers with what is on record of it.
    ///
    /// # Errors
    /// [`StoreError::NodeNotFound`] if it must join first, [`StoreError::NodeTaken`] if another incarnation has.
    async fn beat(
        &self,
        node: NodeId,
        incarnation: String,
        lease: Duration,
        now: Timestamp,
    ) -> Result<NodeRecord, StoreError>;

    /// Strikes a node off, unless another incarnation of it has joined.
    async fn leave(&self, node: NodeId, incarnation: String) -> Result<(), StoreError>;

    /// Every node, by name.
    async fn nodes(&self, now: Timestamp) -> Result<Vec<NodeRecord>, StoreError>;

    /// Has a node take no more jobs, or take them again: once this is answered no claim of a draining node takes any.
    ///
    /// # Errors
    /// [`StoreError::NodeNotFound`].
    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError>;

    /// The secret of that name, the same for everybody: `fresh`, from a secure source, if there was none.
    async fn secret(&self, name: String, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;

    /// The document of that name. One whose time is over may be there a while longer.
    async fn document(&self, name: String) -> Result<Option<Document>, StoreError>;

    /// Writes a document if the version that it replaces is still the newest; whether it did. Others learn of it by
    /// [`Store::changed`].
    async fn write_document(&self, new: NewDocument, now: Timestamp) -> Result<bool, StoreError>;

    /// What the store says of itself.
    async fn facts(&self) -> Result<StoreFacts, StoreError>;

    /// Finishes the writes under way and shuts the store. Shutting twice is fine.
    async fn close(&self);
}
