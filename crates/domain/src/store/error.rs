//! Why a store did not do what it was asked, and what its callers are told of that.

use crate::fault::{Fault, FaultCode};
use crate::id::{JobId, NodeId};
use crate::job::Refusal;
use crate::time::Timestamp;

/// Why a store did not do what it was asked. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such job.
    #[error("there is no job {0}")]
    JobNotFound(JobId),
    /// The state machine refused the event.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The key was used for something else.
    #[error("the idempotency key belongs to {job}, which asked for something else")]
    KeyConflict {
        /// The job that holds the key.
        job: JobId,
    },
    /// A job to wait for does not exist.
    #[error("there is no job {0} to wait for")]
    DependencyNotFound(JobId),
    /// No such node.
    #[error("there is no node {0}")]
    NodeNotFound(NodeId),
    /// Another process is this node.
    #[error("another process serves as node {node} (`{name}`), last heard of at {seen_at}")]
    NodeTaken {
        /// The node.
        node: NodeId,
        /// How the other process calls itself.
        name: String,
        /// When it was last heard of.
        seen_at: Timestamp,
    },
    /// The disk is full.
    #[error("the disk that holds the store is full")]
    Full(#[source] BoxedError),
    /// It cannot be written.
    #[error("the store cannot be written")]
    ReadOnly(#[source] BoxedError),
    /// It is damaged.
    #[error("the database is damaged")]
    Corrupt(#[source] BoxedError),
    /// A newer Longshore wrote it.
    #[error("the database has schema {found}; this Longshore knows up to {known}")]
    Newer {
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
    /// Another process uses it.
    #[error("the database is in use by another process")]
    InUse,
    /// It cannot be reached, or does not serve us now; trying again was in vain.
    #[error("the database cannot be reached")]
    Unavailable(#[source] BoxedError),
    /// The connection broke in the very moment of committing, and looking again did not tell what became of it. Whether
    /// the change took effect is unknown.
    #[error("the connection to the database was lost during a commit")]
    Unknown(#[source] BoxedError),
    /// It is shut, or its writer has ended. Whether a write under way took effect is unknown.
    #[error("the store is shut")]
    Closed,
    /// Anything else.
    #[error("the store failed to {operation}")]
    Failed {
        /// What it was doing.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: BoxedError,
    },
}

/// The cause of a store's failure, whatever its driver calls it.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let detail = chain(&error);
        let message = error.to_string();
        match error {
            StoreError::JobNotFound(id) => Self::job_not_found(id),
            StoreError::Refused(refusal) => refused(refusal),
            StoreError::KeyConflict { .. } => Self::new(FaultCode::IdempotencyConflict, message)
                .next("repeat the first request unchanged to get its job, or use another key for another job"),
            StoreError::DependencyNotFound(_) => Self::new(FaultCode::JobNotFound, message)
                .next("give the id of a job that is on record; nothing was submitted"),
            StoreError::NodeNotFound(_) => {
                Self::new(FaultCode::NotFound, message).next("give the id of a node that has joined")
            }
            StoreError::NodeTaken { .. } => Self::new(FaultCode::AlreadyRunning, message)
                .why("two processes under one name would take each other's work for their own")
                .next("stop the other one; if this home is a copy of its home, remove the file `node` and start again"),
            StoreError::Full(_) => Self::new(FaultCode::StoreFull, message)
                .why("nothing was changed")
                .next("free some space (`longshore gc` removes old output) and try again")
                .private(detail),
            StoreError::ReadOnly(_) => Self::new(FaultCode::StoreReadOnly, message)
                .why("the file or its file system does not allow writing; nothing was changed")
                .next("give the daemon's user write permission to the data folder")
                .private(detail),
            StoreError::Corrupt(_) => Self::new(FaultCode::StoreCorrupt, message)
                .next("stop the daemon, keep a copy of the data folder, and restore a backup or run `sqlite3 .recover`")
                .private(detail),
            StoreError::Newer { .. } => Self::new(FaultCode::StoreNewer, message)
                .next("use the newer Longshore that wrote it; nothing was changed"),
            StoreError::InUse => Self::new(FaultCode::StoreUnavailable, message)
                .next("stop the other process; only one daemon may own a data folder"),
            StoreError::Unavailable(_) => Self::new(FaultCode::StoreUnavailable, message)
                .why("nothing was changed")
                .next("check that the database server runs and lets this daemon in, and try again")
                .private(detail),
            StoreError::Unknown(_) => Self::new(FaultCode::StoreUnavailable, message)
                .why("whether the change took effect is not known")
                .next("look whether it took effect before trying again")
                .private(detail),
            StoreError::Closed => Self::new(FaultCode::StoreUnavailable, message)
                .why("the daemon is stopping")
                .next("look whether it took effect before trying again"),
            StoreError::Failed { .. } => Self::internal(detail),
        }
    }
}

fn refused(refusal: Refusal) -> Fault {
    let message = refusal.to_string();
    match refusal {
        Refusal::Finished => Fault::new(FaultCode::JobFinished, message).why("a finished job never changes"),
        Refusal::LeaseLost { .. } => {
            Fault::new(FaultCode::LeaseLost, message).next("stop the work of this attempt and report nothing more")
        }
        Refusal::LeaseLive { .. } => Fault::new(FaultCode::StateConflict, message)
            .why("a live lease is nobody's but its holder's")
            .next("wait until it has run out and try again"),
        Refusal::Unseen => Fault::new(FaultCode::JobNotFound, message),
        _ => Fault::new(FaultCode::StateConflict, message),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
